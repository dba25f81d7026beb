while true do
  pcall(string.format, "%99999d", 1)
  local _ = ("%99.99f"):format(1e308), ("%s"):rep(64):format(table.unpack({}, 1, 64)), ("%q"):format(("\0"):rep(1 << 19))
end
