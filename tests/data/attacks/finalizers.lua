local ran = false
local function gc() ran = true while true do end end
local mt = {}
local x = setmetatable({}, mt)
mt.__gc = gc
pcall(setmetatable, {}, { __gc = gc })
pcall(setmetatable, {}, mt)
pcall(setmetatable, x, mt)
pcall(setmetatable, {}, setmetatable({}, { __index = { __gc = gc } }))
x = nil
collectgarbage()
collectgarbage()
if ran then error "ESCAPED: a finalizer ran" end
