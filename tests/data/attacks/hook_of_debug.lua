-- field notes: debug.sethook missed a coroutine and pcall swallowed the error
if debug or pcall(function() debug.sethook() end) then error "ESCAPED: debug" end
while true do coroutine.wrap(function() pcall(function() while true do end end) end)() end
