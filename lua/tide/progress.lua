--- A progress bar on the terminal; quiet when output is not one.
--   for batch in progress(loader, {total = #loader, label = "epoch 1"}) do ... end
local tide = require "tide.core"

local WIDTH = 30

local function draw(label, i, total, started)
  local seconds = os.clock() - started
  local rate = seconds > 0 and i / seconds or 0
  if total then
    local done = math.min(WIDTH, WIDTH * i // math.max(total, 1))
    io.stderr:write(("\r%s [%s%s] %d/%d %.0f/s "):format(label, ("#"):rep(done), ("."):rep(WIDTH - done), i, total, rate))
  else
    io.stderr:write(("\r%s %d %.0f/s "):format(label, i, rate))
  end
end

--- Wraps an iterator (a generic for's three values after the options are dropped): progress(options, next, state, control).
-- Or a table with an __call iterator such as a DataLoader: progress(loader, options).
return function(iterable, options)
  options = options or {}
  local total = options.total or (type(iterable) == "table" and getmetatable(iterable) and getmetatable(iterable).__len and #iterable) or nil
  local next_item = type(iterable) == "function" and iterable or iterable:iterate()
  if not (tide._isatty and tide._isatty(2)) then return next_item end
  local i, started, shown = 0, os.clock(), -1
  local label = options.label or ""
  return function()
    local values = table.pack(next_item())
    if values[1] == nil then
      draw(label, i, total, started)
      io.stderr:write("\n")
      return nil
    end
    i = i + 1
    if os.clock() - shown > 0.1 then
      shown = os.clock()
      draw(label, i, total, started)
    end
    return table.unpack(values, 1, values.n)
  end
end
