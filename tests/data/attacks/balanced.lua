local s = ("("):rep(1 << 18)
return s:find("%b()", 1)
