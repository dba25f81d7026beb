local t = {}
for i = 1, math.huge do t[("k"):rep(1 << 16) .. i] = true end
