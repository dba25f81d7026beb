-- a set of a megabyte, asked for each character
local set = "[" .. ("b"):rep(1 << 20) .. "]*c"
return ("a"):rep(1 << 20):match("(" .. set)
