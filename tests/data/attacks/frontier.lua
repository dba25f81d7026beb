return ("a b "):rep(1 << 17):find "%f[%d].-%f[%D].-%f[%d]"
