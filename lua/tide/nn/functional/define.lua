--- Functions written in Lua that take arguments as those of the operation table do.
local F = require("tide.core").nn.functional
local arguments = require "tide.arguments"

--- define("group_norm", "input num_groups weight bias:tensor eps", {eps = 1e-5}, fn): fn gets one table with the arguments.
-- The first `needed` (1) arguments must be there.
return function(name, names, defaults, fn, needed)
  local read = arguments(name, names, needed or 1, defaults)
  F[name] = function(...) return fn(read(...)) end
  return F[name]
end
