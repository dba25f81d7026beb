local t, index = tide.rand(1000, 1000), tide.zeros({ 1000 }, { dtype = "int64" }):add(1)
while true do local _ = t[index] end
