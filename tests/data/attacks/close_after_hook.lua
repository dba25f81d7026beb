-- a coroutine that a hook ended has no hooks any more; its variables would be closed without any
local function body()
  local x <close> = setmetatable({}, { __close = function() while true do end end })
  while true do end
end
local co = coroutine.create(body)
pcall(coroutine.resume, co)
pcall(coroutine.close, co)
pcall(coroutine.wrap(body))
