local function chain() return coroutine.wrap(chain)() end
while true do pcall(chain) end
