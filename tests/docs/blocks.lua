-- Runs every ```lua block of the Markdown files given:  lua5.4 tests/docs/blocks.lua FILE...
-- The blocks of a file are one script in its order (locals of a block stay in it; globals go on; `tide` is there, as in the program). A line with `--> text`
-- says what that line prints, in full; a block without such lines only has to run. A block that is an excerpt is
-- marked by ```lua excerpt, and is not run.
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
  if ok then
    passed = passed + 1
  else
    failed = failed + 1
    print(message)
  end
end

for _, path in ipairs(arg) do
  local env, n, start, indent, lines = setmetatable({ tide = require "tide" }, { __index = _G }), 0, nil, "", {}
  for line in io.lines(path) do
    n = n + 1
    if start then
      if line:match "^%s*```%s*$" then
        run(path, start, table.concat(lines, "\n"), env)
        start, lines = nil, {}
      else
        lines[#lines + 1] = line:sub(#indent + 1)
      end
    else
      indent = line:match "^(%s*)```lua%s*$"
      if indent then start = n end
    end
  end
  if start then
    failed = failed + 1
    print(("%s:%d: the block does not end"):format(path, start))
  end
end
print(("%d passed, %d failed"):format(passed, failed))
os.exit(failed == 0)
