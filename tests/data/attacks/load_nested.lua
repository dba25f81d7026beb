local s = ("function f() "):rep(150) .. ("end "):rep(150)
while true do load(s) load("x=" .. ("{"):rep(190) .. ("}"):rep(190)) end
