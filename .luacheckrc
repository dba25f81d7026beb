-- luacheck: Lua 5.4, no globals of our own; the tests are busted's
std = "lua54"
max_line_length = 180
exclude_files = {"build*", "tests/data/attacks"}
files["tests"] = {std = "lua54+busted"}
