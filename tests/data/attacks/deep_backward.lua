local x = tide.rand(4):requires_grad_(true)
while true do
  local y = x
  for _ = 1, 3000 do y = y * 1.0001 end
  y:sum():backward()
end
