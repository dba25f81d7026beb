local s = ("x"):rep(1 << 20)
return s:gsub("(.*)", ("%1"):rep(1000))
