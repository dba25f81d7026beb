local m = tide.nn.Module:extend(("x"):rep(1 << 20))()
for i = 1, math.huge do m["f" .. i] = tide.nn.Linear(1, 1) end
