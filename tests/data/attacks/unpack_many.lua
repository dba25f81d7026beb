while true do
  pcall(table.unpack, {}, 1, 10000000)
  pcall(table.unpack, {}, 1, 1 << 62)
  pcall(table.unpack, {}, math.mininteger, math.maxinteger)
  pcall(select, "#", table.unpack({}, 1, 100000))
end
