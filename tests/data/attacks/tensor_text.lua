local t = tide.ones(1):expand(1000, 1000, 1000, 1000)
while true do local _ = tostring(t) end
