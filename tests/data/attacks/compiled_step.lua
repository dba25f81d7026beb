local f = tide.compile(function(x) while true do x = x + 1 end end)
while true do pcall(f, tide.ones(2)) end
