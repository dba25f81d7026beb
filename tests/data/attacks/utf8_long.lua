local s = ("\u{10FFFF}"):rep(1 << 20)
while true do local _ = utf8.len(s), utf8.codepoint(s, -4), utf8.offset(s, 1 << 19) end
