local t = {}
for i = 1, 1000 do t[i] = ("x"):rep(1000) end
while true do local _ = table.concat(t, ("y"):rep(100)) end
