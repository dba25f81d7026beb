-- coroutines that resume themselves, those that resume them, and dead ones
local outer
outer = coroutine.create(function()
  local inner = coroutine.create(function()
    for _ = 1, 10 do
      pcall(coroutine.resume, outer)
      pcall(coroutine.resume, (coroutine.running()))
      pcall(coroutine.close, outer)
      pcall(coroutine.close, (coroutine.running()))
    end
    error "dead"
  end)
  for _ = 1, 3 do
    coroutine.resume(inner)
    coroutine.close(inner)
  end
  coroutine.yield()
end)
coroutine.resume(outer)
coroutine.resume(outer)
coroutine.resume(outer)
pcall(coroutine.resume, (coroutine.running()))
pcall(coroutine.close, (coroutine.running()))
local wrapped
wrapped = coroutine.wrap(function() wrapped() end)
while true do pcall(wrapped) end
