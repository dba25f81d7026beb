-- luacheck: Lua 5.4, no globals of our own; the tests are busted's
std = "lua54"
max_line_length = 180
exclude_files = {"build*"}
files["tests"] = {std = "lua54+busted"}
