local root
while true do
  pcall(function() while true do root = { root } end end)
end
