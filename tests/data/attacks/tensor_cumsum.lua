local t = tide.rand(2000, 2000)
while true do local _ = t:cumsum(1) end
