local t = tide.ones(2)
local mt = getmetatable(t)
if type(mt) == "table" then error "ESCAPED: the metatable of tensors" end
for _, f in ipairs { "__gc", "__index", "_methods", "__close" } do
  local ok, value = pcall(function() return t[f] end)
  if ok and type(value) == "table" then error "ESCAPED: methods" end
end
local opt = tide.optim.SGD({ tide.ones(2):requires_grad_(true) }, { lr = 1 })
local handle = opt.param_groups[1]._handle
pcall(function() handle.__gc(t) end)
pcall(function() handle.__gc(handle) handle:step() end)
pcall(function() handle.step(t) end)
