local list = {}
while true do
  local ok, t = pcall(tide.ones, 512, 512)
  if ok then list[#list + 1] = t end
end
