local s = ("x"):rep(7 << 20)
while true do local _ = s:upper():lower():reverse() end
