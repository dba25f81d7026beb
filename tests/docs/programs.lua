-- The C programs of a Markdown file, and what they print (lines with `//> text`):  lua5.4 tests/docs/programs.lua FILE OUT_DIR
-- writes 1.c, 1.txt, 2.c ... and prints how many there are.
local n = 0
local f <close> = assert(io.open(arg[1]))
for code in ("\n" .. f:read "a"):gmatch "\n```c\n(.-)\n```" do
  if code:find "int main" then
    n = n + 1
    local c <close> = assert(io.open(arg[2] .. "/" .. n .. ".c", "w"))
    local text <close> = assert(io.open(arg[2] .. "/" .. n .. ".txt", "w"))
    c:write(code, "\n")
    for line in code:gmatch "//> ([^\n]*)" do text:write(line, "\n") end
  end
end
print(n)
