local co = coroutine.wrap(function()
  local x <close> = setmetatable({}, { __close = function() while true do end end })
  coroutine.yield()
  error "x"
end)
co()
pcall(co)
while true do end
