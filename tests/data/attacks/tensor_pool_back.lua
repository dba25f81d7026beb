local F, x = tide.nn.functional, tide.rand(1, 1, 1, 1000000):requires_grad_()
while true do
  F.avg_pool2d(x, { 1, 501 }, { stride = 1 }):sum():backward()
  F.max_pool2d(x, { 1, 9 }, { stride = 1 }):sum():backward()
end
