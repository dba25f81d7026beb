local Module = require("tide.nn.module").Module
local arguments = require "tide.arguments"

--- Layers one after the other: nn.Sequential{ nn.Linear(64, 128), nn.ReLU() } or nn.Sequential(a, b).
local Sequential = Module:extend("Sequential")

function Sequential:init(first, ...)
  local layers = type(first) == "table" and getmetatable(first) == nil and first or { first, ... }
  for i, layer in ipairs(layers) do rawset(self, i, arguments.one("function", "Sequential", i, layer)) end
end

function Sequential:forward(x)
  for i = 1, #self do x = self[i](x) end
  return x
end

--- One more layer, or another function of what comes before, behind the others. -> the Sequential
function Sequential:append(layer)
  rawset(self, #self + 1, arguments.one("function", "Sequential", #self + 1, layer))
  return self
end

return Sequential
