local tide = require "tide.core"
local Module = require("tide.nn.module").Module
local init = require "tide.nn.initialise"

--- y = x W^T + b. x (..., in_features) -> (..., out_features). options: bias (true), dtype.
local Linear = Module:extend("Linear")

function Linear:init(in_features, out_features, options)
  options = options or {}
  self.in_features, self.out_features = in_features, out_features
  self.weight = tide.empty({ out_features, in_features }, { dtype = options.dtype }):requires_grad_(true)
  if options.bias ~= false then self.bias = tide.empty({ out_features }, { dtype = options.dtype }):requires_grad_(true) end
  init.default_(self.weight, self.bias)
end

function Linear:forward(x) return tide.nn.functional.linear(x, self.weight, self.bias) end

function Linear:extra() return ("%d -> %d%s"):format(self.in_features, self.out_features, self.bias and "" or ", bias=false") end

return Linear
