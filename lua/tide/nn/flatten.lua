--- Layers that only reshape.
local Module = require("tide.nn.module").Module
local arguments = require "tide.arguments"

--- Makes one dim of dims start_dim (2) to end_dim (-1).
local Flatten = Module:extend("Flatten")
local read_flatten = arguments("Flatten", "start_dim end_dim", 0, { start_dim = 2, end_dim = -1 })

function Flatten:init(...)
  local a = read_flatten(...)
  self.start_dim, self.end_dim = a.start_dim, a.end_dim
end

function Flatten:forward(x)
  arguments.tensor("Flatten", "input", x)
  local shape, n = x.shape, #x.shape
  local first, last = self.start_dim, self.end_dim < 0 and n + 1 + self.end_dim or self.end_dim
  local out, size = {}, 1
  for d = 1, n do
    if d >= first and d <= last then size = size * shape[d] else out[#out + 1] = shape[d] end
    if d == last then out[#out + 1] = size end
  end
  return x:reshape(out)
end

--- Makes dims of sizes unflattened_size of one dim.
local Unflatten = Module:extend("Unflatten")
local read_unflatten = arguments("Unflatten", "dim unflattened_size:table", 2)

function Unflatten:init(...)
  local a = read_unflatten(...)
  self.dim, self.unflattened_size = a.dim, a.unflattened_size
end

function Unflatten:forward(x)
  arguments.tensor("Unflatten", "input", x)
  local shape, n = x.shape, #x.shape
  local at, out = self.dim < 0 and n + 1 + self.dim or self.dim, {}
  for d = 1, n do
    if d ~= at then out[#out + 1] = shape[d] else table.move(self.unflattened_size, 1, #self.unflattened_size, #out + 1, out) end
  end
  return x:reshape(out)
end

--- Returns its arguments.
local Identity = Module:extend("Identity")
function Identity.forward(_, ...) return ... end

return { Flatten = Flatten, Unflatten = Unflatten, Identity = Identity }
