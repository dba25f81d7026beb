local Module = require("tide.nn.module").Module

--- Makes one dim of dims start_dim (2) to end_dim (-1).
local Flatten = Module:extend("Flatten")

function Flatten:init(start_dim, end_dim) self.start_dim, self.end_dim = start_dim or 2, end_dim or -1 end

function Flatten:forward(x)
  local shape, n = x.shape, #x.shape
  local first, last = self.start_dim, self.end_dim < 0 and n + 1 + self.end_dim or self.end_dim
  local out, size = {}, 1
  for d = 1, n do
    if d >= first and d <= last then size = size * shape[d] else out[#out + 1] = shape[d] end
    if d == last then out[#out + 1] = size end
  end
  return x:reshape(out)
end

return Flatten
