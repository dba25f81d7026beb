--- Activations as layers: no parameters, one function each.
local tide = require "tide.core"
local Module = require("tide.nn.module").Module

local function layer(name, apply)
  local class = Module:extend(name)
  function class:init(options) self._options = options end
  function class:forward(x) return apply(x, self._options) end
  return class
end

return {
  ReLU = layer("ReLU", function(x) return tide.relu(x) end),
  GELU = layer("GELU", function(x, o) return o and tide.nn.functional.gelu(x, o) or tide.nn.functional.gelu(x) end),
  SiLU = layer("SiLU", function(x) return tide.nn.functional.silu(x) end),
  Tanh = layer("Tanh", function(x) return tide.tanh(x) end),
  Sigmoid = layer("Sigmoid", function(x) return tide.sigmoid(x) end),
}
