rockspec_format = "3.0"
package = "tide"
version = "0.1.0-1"
source = { url = "." } -- from a checkout: luarocks --lua-version=5.4 make rockspec/tide-0.1.0-1.rockspec
description = {
  summary = "Tensors, gradients, optimizers and compiled training steps",
  detailed = "An embeddable tensor engine in C with a Lua front end whose semantics are PyTorch's.",
  license = "MIT",
}
supported_platforms = { "linux" }
dependencies = { "lua >= 5.4, < 5.5", "luafilesystem >= 1.8" }
build = {
  type = "make",
  build_target = "rock",
  build_variables = { BUILD = "build-rock" },
  install_target = "rock-install",
  install_variables = { BUILD = "build-rock", LUADIR = "$(LUADIR)", LIBDIR = "$(LIBDIR)" },
}
test = { type = "command", command = "lua5.4 -e 'assert(require(\"tide\").ones(2):sum():item() == 2)'" }
