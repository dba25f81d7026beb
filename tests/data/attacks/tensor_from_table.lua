local t = {}
t[1] = t
pcall(tide.tensor, t)
local wide = {}
for i = 1, 200000 do wide[i] = i end
while true do local _ = tide.tensor { wide, wide, wide, wide } end
