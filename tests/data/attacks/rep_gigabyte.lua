-- field notes: succeeded
local list = {}
while true do
  local ok, s = pcall(string.rep, "x", 1 << 30)
  if ok then list[#list + 1] = s end
end
