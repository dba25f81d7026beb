-- ephemerons that refer to each other keep the collector busy
local list, last = {}, {}
for i = 1, 20000 do
  local key = {}
  list[i] = setmetatable({ [key] = last }, { __mode = "k" })
  last = key
end
while true do collectgarbage() end
