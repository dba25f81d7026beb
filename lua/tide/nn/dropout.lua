local tide = require "tide.core"
local Module = require("tide.nn.module").Module

--- Zeroes elements with probability p while training, and scales the others by 1 / (1 - p).
local Dropout = Module:extend("Dropout")

function Dropout:init(p) self.p = p or 0.5 end
function Dropout:forward(x)
  if not self.training then return x end
  return tide.nn.functional.dropout(x, { p = self.p })
end
function Dropout:extra() return ("p=%g"):format(self.p) end

return Dropout
