--- The prompt: reads, runs, shows. The program (bindings/cli) gives it `term`: a way to read lines, and to run a function
-- that Ctrl-C stops.
local tide = require "tide"
local style = require "tide.style"
local show = require "tide.prompt.show"

local HISTORY = 1000 -- lines kept

local function folder(variable, default)
  local home = os.getenv(variable)
  if home and home ~= "" then return home .. "/tide" end
  home = os.getenv "HOME"
  return home and ("%s/%s/tide"):format(home, default)
end

-- ---- history: a file of lines, appended to at once, so that no end of the process loses them ----

local function open_history(term)
  local at = term.editing and folder("XDG_STATE_HOME", ".local/state")
  if not at then return function() end end
  term.make_folders(at)
  local path, lines, last = at .. "/history", {}, nil
  local f = io.open(path)
  if f then
    for line in f:lines() do lines[#lines + 1] = line end
    f:close()
  end
  if #lines > 2 * HISTORY then
    lines = table.move(lines, #lines - HISTORY + 1, #lines, 1, {})
    local new = io.open(path .. ".new", "w")
    if new and new:write(table.concat(lines, "\n"), "\n") and new:close() then os.rename(path .. ".new", path) end
  end
  for i = math.max(1, #lines - HISTORY + 1), #lines do term.add(lines[i]) end
  return function(text)
    -- several lines become one where that is the same code
    local parts = {}
    if text:find("--", 1, true) or text:find "%[=*%[" then
      for line in text:gmatch "[^\n]+" do parts[#parts + 1] = line end
    else
      parts[1] = text:gsub("%s*\n%s*", " ")
    end
    local out = io.open(path, "a")
    for _, part in ipairs(parts) do
      if part:find "%S" and part ~= last then
        last = part
        term.add(part)
        if out then out:write(part, "\n") end
      end
    end
    if out then out:close() end
  end
end

-- ---- errors: the message, and the frames that are the user's ----

local function handler(err)
  if type(err) ~= "string" then
    local mt = getmetatable(err)
    err = mt and mt.__tostring and tostring(err) or ("(error object is a %s value)"):format(type(err))
  end
  local frames = {}
  for line in debug.traceback("", 3):gmatch "\n\t([^\n]+)" do
    if line:find("tide/prompt/", 1, true) then break end
    frames[#frames + 1] = "\t" .. line
  end
  while frames[1] and frames[1]:find "^\t%[C%]: in" do table.remove(frames, 1) end
  while #frames > 0 and (frames[#frames]:find "in [%a ]+'chunk'$" or frames[#frames]:find "tail calls") do
    table.remove(frames) -- the input itself
  end
  if #frames == 0 then return err end
  return err .. "\nstack traceback:\n" .. table.concat(frames, "\n")
end

-- ---- one input ----

-- A chunk whose lines have the numbers of the lines typed, as a value or as statements; or nil, message, incomplete.
local function compile(code, first)
  local space = ("\n"):rep(first - 1)
  local body = code:match "^%s*=(.*)$" or code
  local chunk, why_not = load(space .. "return " .. body, "=stdin", "t")
  if chunk then return chunk, true end
  local message
  chunk, message = load(space .. code, "=stdin", "t")
  if chunk then return chunk, false end
  local open = message:find "near <eof>$" or why_not:find "near <eof>$"
  return nil, body ~= code and why_not or message, open and true or false
end

local function start(term)
  local colour, remember = style.colour(1), open_history(term)
  local inputs, number = {}, 0 -- every line that was typed
  local P = { running = true }

  local function say(text) io.stdout:write(text, "\n") end
  local function complain(text) io.stderr:write(style.paint(text, "red", style.colour(2)), "\n") end

  local function attempt(fn)
    local results = table.pack(term.run(fn, handler))
    if not results[1] then
      io.stdout:flush()
      local where = tostring(results[2]):match "^[^\n]-:%d+:"
      complain(results[3] and ("interrupted%s"):format(where and " at " .. where:sub(1, -2) or "") or tostring(results[2]))
    end
    return results[1]
  end

  local function evaluate(chunk, quiet, timed)
    attempt(function()
      local wall, cpu = tide.seconds(), os.clock()
      local results = table.pack(chunk())
      wall, cpu = tide.seconds() - wall, os.clock() - cpu
      if results[1] ~= nil then _G._ = results[1] end
      if results.n > 0 and not quiet then say(show.results(results, (style.size(1)), colour)) end
      if timed then say(style.paint(("%.3f ms  (%.3f ms of processor time)"):format(wall * 1e3, cpu * 1e3), "dim", colour)) end
    end)
  end

  -- Reads on until the code is complete. Returns the chunk and its text; nil if there is none to run.
  local function finish(code, first)
    while true do
      local chunk, message, open = compile(code, first)
      if chunk then return chunk, code end
      if not open then return nil, code, message end
      local line = term.read(">> ")
      if line == false then
        say "^C"
        return nil, code
      end
      if line == nil then
        P.running = false
        return nil, code, message
      end
      number = number + 1
      inputs[number] = line
      code = code .. "\n" .. line
    end
  end

  local function help_on(text)
    text = text:match "^%s*(.-)%s*$"
    attempt(function() say(require("tide.help").about(text, _G)) end)
  end

  local function input(line)
    number = number + 1
    inputs[number] = line
    if not line:find "%S" then return end
    local about = line:match "^%s*%?(.*)$" or line:match "^%s*([%w_.:]+)%?%s*$"
    if about then
      remember(line)
      return help_on(about)
    end
    local command, rest = line:match "^%s*:([%a_]+)%s*(.*)$"
    local timed = command == "time"
    if command and not timed then return complain((":%s is no command; there is :time EXPRESSION"):format(command)) end
    local chunk, code, message = finish(timed and rest or line, number)
    remember(timed and ":time " .. code or code)
    if chunk then return evaluate(chunk, code:find ";%s*$" ~= nil, timed) end
    if message then complain(message) end
  end

  --- help(x): what it is, how it is called, an example and its errors. help(): how to begin.
  function _G.help(...)
    local h = require "tide.help"
    say(select("#", ...) == 0 and h.start or h(...))
  end
  --- who(): the live tensors by size, with the lines that made them.
  function _G.who()
    collectgarbage()
    say(require "tide.prompt.who"(_G, function(n) return n and inputs[n] end))
  end

  local config = folder("XDG_CONFIG_HOME", ".config")
  local f = config and io.open(config .. "/init.lua")
  if f then
    f:close()
    local chunk, message = loadfile(config .. "/init.lua")
    if chunk then attempt(chunk) else complain(message) end
  end
  term.complete = function(text)
    term.complete = require "tide.prompt.complete"(term, _G)
    return term.complete(text)
  end
  if term.terminal then say(("Tide %s  %s  help() shows how to begin, Ctrl-D leaves"):format(tide.version, _VERSION)) end
  while P.running do
    local line = term.read("> ")
    if line == nil then break end
    if line == false then say "^C" else input(line) end
  end
  if term.terminal then say "" end
end

return start
