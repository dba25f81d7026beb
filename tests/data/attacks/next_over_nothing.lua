-- each call walks over all the empty places
local t = {}
for i = 1, 400000 do t[i .. ""] = i end
for k in pairs(t) do t[k] = nil end
while true do next(t) end
