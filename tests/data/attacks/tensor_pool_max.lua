local x = tide.rand(1, 1, 2000000)
while true do local _ = tide.nn.functional.max_pool1d(x, 501, { stride = 1 }) end
