local set = "[" .. ("b"):rep(1 << 19) .. "]"
for _ = 1, 1e9 do local _ = ("a"):rep(1 << 16):find(set) end
