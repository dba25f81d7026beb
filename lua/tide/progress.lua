--- A progress bar on the terminal; quiet when standard error is not one.
--   for batch in tide.progress(loader, {label = "epoch 1"}) do ... end
local tide = require "tide.core"
local expect = require("tide.arguments").one
local with_options = require "tide.options"

local WIDTH, OFTEN = 30, 0.1 -- characters, seconds

local function draw(label, i, total, started)
  local seconds = tide.seconds() - started
  local rate = seconds > 0 and i / seconds or 0
  if total then
    local done = math.min(WIDTH, WIDTH * i // math.max(total, 1))
    io.stderr:write(("\r%s [%s%s] %d/%d %.0f/s "):format(label, ("#"):rep(done), ("."):rep(WIDTH - done), i, total, rate))
  else
    io.stderr:write(("\r%s %d %.0f/s "):format(label, i, rate))
  end
end

-- A function that gives the next values, and how many there are if that is known.
local function iterator(x)
  if type(x) == "function" then return x end
  if math.type(x) == "integer" then x = tide.arange(1, x + 1):tolist() end
  expect("table", "progress", "iterable", x)
  if x.iterate then return x:iterate(), #x end
  local i = 0
  return function()
    i = i + 1
    return x[i]
  end, #x
end

--- Gives what `iterable` gives, and draws how far it is: a function for a generic for, a DataLoader or folds, the elements of a
-- sequence, or the numbers 1 .. n of an integer. options: total (as many as there are, where that is known), label ("").
return function(iterable, options)
  options = with_options("progress", options, "total label")
  local next_item, total = iterator(iterable)
  if not tide._isatty(2) then return next_item end
  total = options.total or total
  local i, started, shown = 0, tide.seconds(), -OFTEN
  local label = options.label or ""
  return function()
    local values = table.pack(next_item())
    if values[1] == nil then
      draw(label, i, total, started)
      io.stderr:write("\n")
      return nil
    end
    i = i + 1
    if tide.seconds() - shown > OFTEN then
      shown = tide.seconds()
      draw(label, i, total, started)
    end
    return table.unpack(values, 1, values.n)
  end
end
