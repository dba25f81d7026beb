local s = ("x"):rep(1 << 19)
while true do pcall(function() return string.char(s:byte(1, -1)) end) end
