local s = ("1"):rep(7 << 20)
while true do local _ = tonumber(s), tonumber(s, 36), tonumber("0x" .. s) end
