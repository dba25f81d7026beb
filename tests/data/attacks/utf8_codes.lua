local s = ("x"):rep(4 << 20)
while true do for _ in utf8.codes(s) do end end
