local a, b = ("x"):rep(7 << 20) .. "a", ("x"):rep(7 << 20) .. "a"
while true do local _ = a == b, a < b, a <= b end
