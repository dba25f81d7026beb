local x = tide.rand(1, 1, 2000, 2000)
while true do local _ = tide.nn.functional.avg_pool2d(x, 31, { stride = 1 }) end
