-- field notes: runs past any hook
return ("a"):rep(24):match(("a?"):rep(24) .. ("a"):rep(24) .. "b")
