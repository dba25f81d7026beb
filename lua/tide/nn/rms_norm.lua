local tide = require "tide.core"
local Module = require("tide.nn.module").Module

--- Divides by the root of the mean square over the last dims. options: eps, elementwise_affine (true), dtype.
local RMSNorm = Module:extend("RMSNorm")

function RMSNorm:init(normalized_shape, options)
  options = options or {}
  self.normalized_shape = type(normalized_shape) == "table" and normalized_shape or { normalized_shape }
  self.eps = options.eps
  if options.elementwise_affine ~= false then self.weight = tide.ones(self.normalized_shape, { dtype = options.dtype }):requires_grad_(true) end
end

function RMSNorm:forward(x)
  if self.eps then return tide.nn.functional.rms_norm(x, self.normalized_shape, self.weight, { eps = self.eps }) end
  return tide.nn.functional.rms_norm(x, self.normalized_shape, self.weight)
end
function RMSNorm:extra() return table.concat(self.normalized_shape, "x") end

return RMSNorm
