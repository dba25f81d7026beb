local Module = require("tide.nn.module").Module
local expect = require("tide.arguments").one

--- Modules by number; it has no forward of its own.
local ModuleList = Module:extend("ModuleList")

function ModuleList:init(modules)
  for _, module in ipairs(expect("table", "ModuleList", "modules", modules or {})) do self:append(module) end
end

--- One more module, behind the others. -> the list
function ModuleList:append(module)
  rawset(self, #self + 1, expect("module", "ModuleList", #self + 1, module))
  return self
end

return ModuleList
