-- a hook on the main thread alone would not see it
local co = coroutine.create(function() while true do end end)
while true do coroutine.resume(co) end
