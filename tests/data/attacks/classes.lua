-- the library's classes, by way of objects
local m = tide.nn.Linear(2, 2)
local function evil() return "evil" end
pcall(function() getmetatable(m).forward = evil end)
pcall(function() getmetatable(m).__index.forward = evil end)
pcall(function() m.__index.forward = evil end)
pcall(function() rawset(getmetatable(m), "forward", evil) end)
pcall(function() rawset(getmetatable(m).__index, "forward", evil) end)
pcall(function() getmetatable(getmetatable(m)).__index.forward = evil end)
pcall(function() setmetatable(getmetatable(m), { __index = { forward = evil } }) end)
pcall(function() tide.nn.Module.__call = evil end)
pcall(function() tide.nn.Module.forward = evil end)
local opt = tide.optim.SGD(m:parameters(), { lr = 0.1 })
pcall(function() getmetatable(opt).step = evil end)
pcall(function() opt.__index.step = evil end)
pcall(function() getmetatable(opt.param_groups[1]).__index = evil end)
pcall(function() opt.param_groups[1]._handle.__index.step = evil end)
pcall(function() getmetatable(opt.param_groups[1]._handle).step = evil end)
local n = tide.nn.Linear(2, 2)
if n(tide.ones(1, 2)) == "evil" or n.forward == evil then error "ESCAPED: a class was changed" end
local other = tide.optim.SGD(n:parameters(), { lr = 0.1 })
if other:step() == "evil" or other.param_groups[1].lr ~= 0.1 then error "ESCAPED: the optimizer was changed" end
