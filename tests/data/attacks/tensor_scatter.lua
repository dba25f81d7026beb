local at, x = tide.randperm(1500000), tide.rand(1500000)
while true do local _ = x:scatter_add(1, at, x) end
