while true do
  pcall(string.rep, "", 1 << 40, "x")
  pcall(string.rep, "x", math.maxinteger, "x")
  pcall(string.rep, "", 1 << 22, "x")
end
