local s = "return " .. ("("):rep(1 << 18) .. "1" .. (")"):rep(1 << 18)
while true do load(s) end
