local s = "x"
while true do
  local ok, twice = pcall(function() return s .. s end)
  if ok then s = twice end
end
