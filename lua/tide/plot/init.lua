--- Pictures: curves, histograms and heat maps, as text in the terminal and as SVG.
--   tide.plot.line{losses, title = "loss"}                     at the prompt: shown
--   tide.plot.line{{y = a, label = "train"}, {y = b, label = "valid"}, logy = true}:save("loss.svg")
--   print(tide.plot.histogram{net.weight, bins = 20})
--   tide.plot.heatmap{confusion}:show()
-- Numbers come as a list or a tensor. A figure is text by tostring (as wide as the terminal, 80 where there is none; colours
-- only on a terminal, without NO_COLOR); options common to all: title, xlabel, ylabel, width and height (of the text, in
-- characters). NaN and infinite numbers are left out.
local tide = require "tide.core"
local style = require "tide.style"
local with_options = require "tide.options"

local M = {}
local Figure = { __name = "tide.Figure" }
Figure.__index = Figure

local function fail(what, ...) tide._fail(("plot.%s: %s"):format(what, (...))) end

-- A list of floats from a list or a tensor (of `ndim` dims), or nil, message.
local function numbers(data)
  if tide.is_tensor(data) then
    data = data:detach():flatten():to("float64"):tolist()
    if type(data) ~= "table" then data = { data } end
  end
  if type(data) ~= "table" then return nil, "expected numbers (a list or a tensor), not a " .. type(data) end
  local out = {}
  for i = 1, #data do
    local v = data[i]
    if tide.is_tensor(v) then v = v:item() end
    if type(v) ~= "number" then return nil, ("expected numbers; entry %d is a %s"):format(i, type(v)) end
    out[i] = v + 0.0
  end
  return out
end

local function finite(v) return v == v and v ~= math.huge and v ~= -math.huge end

local known = { title = "string", xlabel = "string", ylabel = "string", width = "number", height = "number" }
local function new(kind, options, more)
  local figure = setmetatable({ kind = kind }, Figure)
  for key, v in next, options do
    local expected = math.type(key) == "integer" and "any" or known[key] or more[key]
    if not expected then tide._fail(("plot.%s: unknown option '%s'"):format(kind, tostring(key))) end
    if expected ~= "any" and type(v) ~= expected then tide._fail(("plot.%s: %s must be a %s, not a %s"):format(kind, key, expected, type(v))) end
    if type(key) == "string" then figure[key] = v end
  end
  return figure
end

-- The one table that a plot takes, its numbers as a list of their own.
local function given(kind, options, ...)
  if select("#", ...) > 0 then fail(kind, "takes one table, with options beside the numbers: {numbers, title = text}") end
  if tide.is_tensor(options) then return { options } end
  if type(options) ~= "table" then tide._fail(("plot.%s: expected a table, not a %s"):format(kind, type(options))) end
  if type(options[1]) ~= "number" then return options end
  local whole = { {} } -- a plain list of numbers, with options beside them
  for key, v in next, options do
    if math.type(key) == "integer" then whole[1][key] = v else whole[key] = v end
  end
  return whole
end

--- Curves: tide.plot.line{series, ..., logx?, logy?}. A series is a list or a tensor of numbers (its x is 1, 2, ...), or
-- {y = numbers, x = numbers?, label = text?}. logx, logy: axes in powers of ten, without what is not above 0.
-- Returns a figure. Errors: no series, lengths that differ, what are no numbers.
function M.line(options, ...)
  options = given("line", options, ...)
  local f = new("line", options, { logx = "boolean", logy = "boolean" })
  f.series, f.xlo, f.xhi, f.ylo, f.yhi = {}, math.huge, -math.huge, math.huge, -math.huge
  for k, entry in ipairs(options) do
    local s = type(entry) == "table" and entry.y ~= nil and entry or { y = entry }
    local y, message = numbers(s.y)
    if not y then fail("line", ("series %d: %s"):format(k, message)) end
    local x = {}
    f.counted = f.counted ~= false and s.x == nil -- x counts: 1, 2, ...
    if s.x ~= nil then
      x, message = numbers(s.x)
      if not x then fail("line", ("series %d: x: %s"):format(k, message)) end
      if #x ~= #y then fail("line", ("series %d: %d numbers in x, %d in y"):format(k, #x, #y)) end
    else
      for i = 1, #y do x[i] = i + 0.0 end
    end
    local function drawn(i) return finite(x[i]) and finite(y[i]) and not (f.logx and x[i] <= 0) and not (f.logy and y[i] <= 0) end
    f.series[k] = { x = x, y = y, label = s.label and tostring(s.label), drawn = drawn }
    for i = 1, #y do
      if drawn(i) then
        f.xlo, f.xhi = math.min(f.xlo, x[i]), math.max(f.xhi, x[i])
        f.ylo, f.yhi = math.min(f.ylo, y[i]), math.max(f.yhi, y[i])
      end
    end
  end
  if #f.series == 0 then fail("line", "no series") end
  if f.xlo > f.xhi then f.xlo, f.xhi, f.ylo, f.yhi = 1, 2, 1, 2 end -- nothing to draw: empty axes
  return f
end

--- How often values fall between equal steps: tide.plot.histogram{values, bins?, range?}; bins: 10, range: {lo, hi}, by
-- default the smallest and the largest; the last step includes its end, as NumPy's. Returns a figure; its `counts` and
-- `edges` are lists. Errors: no finite values, bins below 1, an empty range.
function M.histogram(options, ...)
  options = given("histogram", options, ...)
  local f = new("histogram", options, { bins = "number", range = "table" })
  local values, message = numbers(options[1])
  if not values then fail("histogram", message) end
  local bins, lo, hi = math.tointeger(f.bins or 10), math.huge, -math.huge
  if not bins or bins < 1 or bins > 10000 then fail("histogram", "bins must be an integer from 1 to 10000") end
  for _, v in ipairs(values) do
    if finite(v) then lo, hi = math.min(lo, v), math.max(hi, v) end
  end
  if f.range then
    lo, hi = f.range[1], f.range[2]
    if type(lo) ~= "number" or type(hi) ~= "number" or lo >= hi or not finite(hi - lo) then fail("histogram", "range must be {lo, hi}, lo < hi") end
  end
  if lo > hi then fail("histogram", "no finite values") end
  if lo == hi then lo, hi = lo - 0.5, hi + 0.5 end
  if not finite(hi - lo) or hi - lo <= 0 then fail("histogram", "the values are too far apart") end
  f.counts, f.edges = {}, {}
  for i = 1, bins do f.counts[i] = 0 end
  for i = 0, bins do f.edges[i + 1] = i == bins and hi or lo + (hi - lo) * (i / bins) end
  for _, v in ipairs(values) do
    if v >= lo and v <= hi then
      local i = math.min(bins, math.floor((v - lo) / (hi - lo) * bins) + 1)
      f.counts[i] = f.counts[i] + 1
    end
  end
  return f
end

--- A matrix in colours (shades without them): tide.plot.heatmap{matrix, range?}; a tensor of two dims or a list of rows;
-- range: {lo, hi}. Larger ones are drawn as the means of blocks. Returns a figure. Errors: no matrix, ragged rows.
function M.heatmap(options, ...)
  if type(options) == "table" and type(options[1]) == "table" and type(options[1][1]) == "number" then
    fail("heatmap", "expected {matrix}: a list of rows inside the table")
  end
  options = given("heatmap", options, ...)
  local f = new("heatmap", options, { range = "table" })
  local m = options[1]
  if tide.is_tensor(m) then
    if m.ndim ~= 2 then fail("heatmap", ("expected a tensor of 2 dims, not (%s)"):format(table.concat(m.shape, ","))) end
    m = m:detach():to("float64"):tolist()
  end
  if type(m) ~= "table" or type(m[1]) ~= "table" or #m[1] == 0 then fail("heatmap", "expected a matrix that is not empty") end
  f.matrix, f.rows, f.columns, f.lo, f.hi = {}, #m, #m[1], math.huge, -math.huge
  for i = 1, #m do
    local row, message = numbers(m[i])
    if not row then fail("heatmap", ("row %d: %s"):format(i, message)) end
    if #row ~= f.columns then fail("heatmap", ("row %d has %d numbers, row 1 has %d"):format(i, #row, f.columns)) end
    f.matrix[i] = row
    for _, v in ipairs(row) do
      if finite(v) then f.lo, f.hi = math.min(f.lo, v), math.max(f.hi, v) end
    end
  end
  if f.range then
    f.lo, f.hi = f.range[1], f.range[2]
    if type(f.lo) ~= "number" or type(f.hi) ~= "number" or f.lo > f.hi then fail("heatmap", "range must be {lo, hi}") end
  end
  if f.lo > f.hi then f.lo, f.hi = 0, 1 end
  local lo, hi = f.lo / 2, f.hi / 2 -- halves: hi - lo may be too large for a number
  function f.at(v) return v ~= v and v or hi == lo and 0.5 or math.max(0, math.min(1, (v / 2 - lo) / (hi - lo))) end
  return f
end

--- The figure as text. options: width, height (characters), colour (boolean); by default as the terminal is.
function Figure:text(options)
  options = with_options("plot.text", options, "width:number height:number colour:boolean")
  local columns, rows = style.size(1)
  local colour = options.colour
  if colour == nil then colour = style.colour(1) end
  local function characters(n, least) return math.tointeger(math.max(least, math.min(n, 10000)) // 1) end
  columns = characters(options.width or self.width or columns, 20)
  rows = characters(options.height or self.height or math.min(16, rows - 6), 4)
  return table.concat(require("tide.plot.terminal")[self.kind](self, columns, rows, colour), "\n")
end
Figure.__tostring = Figure.text

--- Prints the figure.
function Figure:show() print(self:text()) end

--- The figure as SVG text. options: width (640), height (400), in pixels.
function Figure:svg(options)
  options = with_options("plot.svg", options, "width:number height:number")
  return require("tide.plot.svg")[self.kind](self, options.width or 640, options.height or 400)
end

--- Writes the figure as an SVG file; options as of svg(). Returns true, or nil, message, code.
function Figure:save(path, options)
  if type(path) ~= "string" or not path:find "%.svg$" then tide._fail("plot: save writes SVG: the path must end with .svg") end
  local ok, message, code = tide._write(path, self:svg(options))
  if not ok then return nil, message, code end
  return true
end

return M
