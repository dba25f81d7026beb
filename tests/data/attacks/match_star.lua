return ("x"):rep(30000):match(("x*"):rep(20) .. "y")
