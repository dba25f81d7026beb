-- stock Lua counts to 1e18
return string.rep("", 1000000000000000000)
