local a = tide.rand(1500, 1500)
while true do local _ = a:matmul(a) end
