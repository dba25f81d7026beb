-- leaves the gradient mode, and a step, half way
local f = tide.compile(function() while true do end end)
coroutine.wrap(function() tide.no_grad(f) end)()
