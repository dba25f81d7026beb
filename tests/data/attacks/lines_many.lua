-- every call stands on a line of its own
for n = 1, math.huge do load("local _ = tide.ones(1) + 1", "=chunk" .. n)() end
