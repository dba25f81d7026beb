local t = {}
for i = 1, 300000 do t[i] = { i } end
pcall(collectgarbage, "stop")
pcall(collectgarbage, "generational")
while true do collectgarbage "collect" end
