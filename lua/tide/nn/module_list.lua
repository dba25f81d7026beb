local Module = require("tide.nn.module").Module

--- Modules by number; it has no forward of its own.
local ModuleList = Module:extend("ModuleList")

function ModuleList:init(modules)
  for i, module in ipairs(modules or {}) do rawset(self, i, module) end
end

function ModuleList:append(module)
  rawset(self, #self + 1, module)
  return self
end

return ModuleList
