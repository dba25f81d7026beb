local form = ("i8"):rep(1 << 18)
while true do
  pcall(string.packsize, form)
  pcall(string.unpack, form, ("\0"):rep(1 << 20))
end
