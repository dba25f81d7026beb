local x = tide.rand(1000000)
while true do
  local _ = x:sort()
  _ = x:topk(500000)
end
