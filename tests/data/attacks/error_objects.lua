while true do
  pcall(error, setmetatable({}, { __index = function() while true do end end }))
  pcall(error, ("x"):rep(1 << 20))
end
