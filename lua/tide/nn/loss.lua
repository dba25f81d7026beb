--- Losses as layers: options are those of the functions.
local tide = require "tide.core"
local Module = require("tide.nn.module").Module

local function loss(name, apply)
  local class = Module:extend(name)
  function class:init(options) self._options = options and next(options) ~= nil and options or nil end
  function class:forward(input, target)
    if self._options then return apply(input, target, self._options) end
    return apply(input, target)
  end
  return class
end

return {
  CrossEntropyLoss = loss("CrossEntropyLoss", function(...) return tide.nn.functional.cross_entropy(...) end),
  MSELoss = loss("MSELoss", function(...) return tide.nn.functional.mse_loss(...) end),
}
