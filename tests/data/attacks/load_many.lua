local s = ("x=1 "):rep(1 << 17)
while true do load(s) end
