-- every step is another
for n = 1, math.huge do
  local f = tide.compile(function(x) return x * n end)
  for _ = 1, 4 do f(tide.ones(n % 100 + 1)) end
end
