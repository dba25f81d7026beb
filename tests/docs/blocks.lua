-- Runs every ```lua block of the Markdown files given:  lua5.4 tests/docs/blocks.lua FILE...
-- The blocks of a file are one script in its order (locals of a block stay in it; globals go on; `tide` is there, as in the program). A line with `--> text`
-- says what that line prints, in full; a block without such lines only has to run. A block marked by ```lua excerpt, or of C
-- without a main, must stand so in core/op. An indented `$ build/tide ...` is run, and writes the lines below it.
local passed, failed = 0, 0

-- What a block expects: the texts after `-->`, a line each.
local function expectations(code)
  local list = {}
  for line in (code .. "\n"):gmatch "(.-)\n" do
    local text = line:match "%-%->%s?(.-)%s*$"
    if text then list[#list + 1] = text end
  end
  return list
end

local function squeeze(text) return (text:gsub("%s+", " "):gsub("^ ", ""):gsub(" $", "")) end

local function verdict(ok, message)
  if ok then
    passed = passed + 1
  else
    failed = failed + 1
    print(message)
  end
end

local function run(path, line, code, env)
  local printed = {}
  env.print = function(...)
    local parts = table.pack(...)
    for i = 1, parts.n do parts[i] = tostring(parts[i]) end
    printed[#printed + 1] = squeeze(table.concat(parts, " "))
  end
  local chunk, message = load(("\n"):rep(line) .. code, "@" .. path, "t", env)
  local ok = false
  if chunk then ok, message = xpcall(chunk, debug.traceback) end
  local want = expectations(code)
  if ok and #want > 0 then
    for i = 1, math.max(#want, #printed) do
      if squeeze(want[i] or "nothing") ~= (printed[i] or "nothing") then
        ok, message = false, ("%s:%d: printed\n  %s\nexpected\n  %s"):format(path, line, printed[i] or "nothing", want[i] or "nothing")
        break
      end
    end
  end
  verdict(ok, message)
end

-- A command of the reader's, and what it writes.
local function command(path, line, text, expected)
  local pipe = assert(io.popen(text:gsub("^build/tide", os.getenv "TIDE") .. " 2>&1"))
  local got = squeeze(pipe:read "a")
  pipe:close()
  local wanted = squeeze(expected)
  local open = wanted:match "^(.-)%s*%.%.%.$" -- what follows the dots may be anything
  verdict(open and got:sub(1, #open) == open or got == wanted, ("%s:%d: wrote\n  %s\nexpected\n  %s"):format(path, line, got, expected))
end

-- Part of a source.
local sources
local function excerpt(path, line, code)
  if not sources then
    local pipe = assert(io.popen(("cat '%s'/core/op/*.lua '%s'/core/op/*.c"):format(os.getenv "ROOT", os.getenv "ROOT")))
    sources = squeeze(pipe:read "a")
    pipe:close()
  end
  verdict(sources:find(squeeze(code), 1, true), ("%s:%d: no source has this excerpt"):format(path, line))
end

for _, path in ipairs(arg) do
  local env, n, start, indent, kind, lines = setmetatable({ tide = require "tide" }, { __index = _G }), 0, nil, "", nil, {}
  local typed, written -- a command, and what is below it
  for line in io.lines(path) do
    n = n + 1
    if typed then
      local text = line:match "^    (.*)$"
      if text then
        written[#written + 1] = text
      else
        command(path, n, typed, table.concat(written, "\n"))
        typed = nil
      end
    end
    if start then
      if line:match "^%s*```%s*$" then
        local code = table.concat(lines, "\n")
        if kind == "lua" then
          run(path, start, code, env)
        elseif not code:find("int main", 1, true) then
          excerpt(path, start, code)
        end
        start, lines = nil, {}
      else
        lines[#lines + 1] = line:sub(#indent + 1)
      end
    else
      indent, kind = line:match "^(%s*)```(%l+.*)$"
      if indent then start, kind = n, kind:match "^(.-)%s*$" end
      local text = line:match "^    %$ (build/tide .*)$"
      if text then typed, written = text, {} end
    end
  end
  if start then
    failed = failed + 1
    print(("%s:%d: the block does not end"):format(path, start))
  end
end
print(("%d passed, %d failed"):format(passed, failed))
os.exit(failed == 0)
