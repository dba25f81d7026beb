local s = ("a"):rep(1 << 16)
return s:find "(.*)%1b"
