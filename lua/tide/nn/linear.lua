local tide = require "tide.core"
local Module = require("tide.nn.module").Module
local arguments = require "tide.arguments"
local init = require "tide.nn.initialise"

--- y = x W^T + b. x (..., in_features) -> (..., out_features). options: bias (true), dtype.
local Linear = Module:extend("Linear")
local read = arguments("Linear", "in_features out_features bias dtype", 2, { bias = true })

function Linear:init(...)
  local a = read(...)
  self.in_features, self.out_features = a.in_features, a.out_features
  self.weight = tide.empty({ a.out_features, a.in_features }, { dtype = a.dtype }):requires_grad_(true)
  if a.bias then self.bias = tide.empty({ a.out_features }, { dtype = a.dtype }):requires_grad_(true) end
  init.default_(self.weight, self.bias)
end

function Linear:forward(x) return tide.nn.functional.linear(x, self.weight, self.bias) end

function Linear:extra() return ("%d -> %d%s"):format(self.in_features, self.out_features, self.bias and "" or ", bias=false") end

return Linear
