-- every program is new
for n = 1, math.huge do local _ = (tide.ones(n % 3000 + 1, 2) * 2):sum() end
