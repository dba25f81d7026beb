-- field notes: 23 s in the stock function
return ("a"):rep(3000):find ".-.-b"
