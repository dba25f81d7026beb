local mt = {}
mt.__lt = function(a, b) return a < b end
mt.__eq = function(a, b) return not (a == b) end
mt.__concat = function(a, b) return a .. b end
local a, b = setmetatable({}, mt), setmetatable({}, mt)
while true do
  pcall(function() return a < b end)
  pcall(function() return a == b end)
  pcall(function() return a .. b end)
end
