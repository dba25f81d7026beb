-- runs while the error unwinds the stack
local function f()
  local x <close> = setmetatable({}, { __close = function() while true do end end })
  while true do end
end
while true do pcall(f) end
