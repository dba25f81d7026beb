local a = tide.ones({ 1500, 1500 }, { dtype = "int64" })
while true do local _ = a:matmul(a) end
