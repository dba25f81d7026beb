local tide = require "tide.core"
local Module = require("tide.nn.module").Module

--- Normalises the last dims, whose sizes are normalized_shape (an int or a table). options: eps (1e-5),
-- elementwise_affine (true), bias (true), dtype.
local LayerNorm = Module:extend("LayerNorm")

function LayerNorm:init(normalized_shape, options)
  options = options or {}
  self.normalized_shape = type(normalized_shape) == "table" and normalized_shape or { normalized_shape }
  self.eps = options.eps or 1e-5
  if options.elementwise_affine ~= false then
    self.weight = tide.ones(self.normalized_shape, { dtype = options.dtype }):requires_grad_(true)
    if options.bias ~= false then self.bias = tide.zeros(self.normalized_shape, { dtype = options.dtype }):requires_grad_(true) end
  end
end

function LayerNorm:forward(x) return tide.nn.functional.layer_norm(x, self.normalized_shape, self.weight, self.bias, { eps = self.eps }) end
function LayerNorm:extra() return table.concat(self.normalized_shape, "x") end

return LayerNorm
