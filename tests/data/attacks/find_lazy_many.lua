-- field notes: 15 s
return ("a"):rep(200):find(("a-"):rep(4) .. "b")
