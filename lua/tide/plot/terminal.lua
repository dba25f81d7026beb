--- Figures as text: curves in braille dots, histograms as bars of eighth blocks, heat maps in colours or shades.
local axis = require "tide.plot.axis"
local braille = require "tide.plot.braille"
local ramp = require "tide.plot.ramp"
local style = require "tide.style"

local M = {}
local colours = { "cyan", "yellow", "magenta", "green", "red", "blue" }
-- Without colours, curves differ by their dashes.
local pens = {
  function() return true end,
  function(i) return i % 8 < 5 end,
  function(i) return i % 4 == 0 end,
  function(i) return i % 10 < 5 or i % 10 == 7 end,
}

local function wide(text) return utf8.len(text) or #text end
local function right(text, n) return (" "):rep(n - wide(text)) .. text end
local function centred(text, n) return (" "):rep(math.max(0, (n - wide(text)) // 2)) .. text end
local function widest(ticks)
  local n = 0
  for _, t in ipairs(ticks) do n = math.max(n, wide(t.label)) end
  return n
end

local function heading(lines, figure, left, columns)
  if figure.title then lines[#lines + 1] = (" "):rep(left) .. centred(figure.title, columns) end
end

-- The line with marks under a drawing, and the line with the numbers.
local function foot(ax, left, columns)
  local marks, numbers, free = {}, "", 0
  for c = 1, columns do marks[c] = "─" end
  for _, t in ipairs(ax.ticks) do
    local c = math.floor(ax.at(t.value) * (columns - 1) + 0.5)
    local start = math.max(0, left + 1 + c - wide(t.label) // 2)
    if start >= free then -- numbers do not touch
      marks[c + 1] = "┬"
      numbers = numbers .. (" "):rep(start - wide(numbers)) .. t.label
      free = wide(numbers) + 1
    end
  end
  return (" "):rep(left) .. "└" .. table.concat(marks), numbers
end

local function scaled(at, n) return math.floor(at * (n - 1) + 0.5) end

function M.line(figure, columns, rows, colour)
  local y = axis.new(figure.ylo, figure.yhi, math.max(4, rows // 3), { log = figure.logy })
  local left = widest(y.ticks) + 1
  columns = math.max(10, columns - left - 1)
  local x = axis.new(figure.xlo, figure.xhi, math.max(4, columns // 10), { log = figure.logx, whole = figure.counted })
  local canvas, lines = braille(columns, rows), {}
  for k, s in ipairs(figure.series) do
    local paint, pen = colours[(k - 1) % #colours + 1], colour and pens[1] or pens[(k - 1) % #pens + 1]
    local px, py, i = nil, nil, 0
    for j = 1, #s.x do
      if s.drawn(j) then
        local cx, cy = scaled(x.at(s.x[j]), 2 * columns), 4 * rows - 1 - scaled(y.at(s.y[j]), 4 * rows)
        i = canvas:line(px or cx, py or cy, cx, cy, paint, pen, i)
        px, py = cx, cy
      else
        px, py = nil, nil
      end
    end
  end
  local label = {}
  for _, t in ipairs(y.ticks) do label[rows - 1 - scaled(y.at(t.value), rows)] = t.label end
  heading(lines, figure, left, columns)
  if figure.ylabel then lines[#lines + 1] = figure.ylabel end
  for r = 0, rows - 1 do
    lines[#lines + 1] = right(label[r] or "", left - 1) .. " " .. (label[r] and "┤" or "│") .. canvas:row(r, colour)
  end
  local marks, numbers = foot(x, left, columns)
  lines[#lines + 1] = marks
  lines[#lines + 1] = numbers
  if figure.xlabel then lines[#lines + 1] = (" "):rep(left) .. centred(figure.xlabel, columns) end
  local legend = {}
  for k, s in ipairs(figure.series) do
    if s.label then
      local sample = braille(4, 1)
      sample:line(0, 1, 7, 1, colours[(k - 1) % #colours + 1], colour and pens[1] or pens[(k - 1) % #pens + 1], 0)
      legend[#legend + 1] = sample:row(0, colour) .. " " .. s.label
    end
  end
  if #legend > 0 then lines[#lines + 1] = (" "):rep(left + 1) .. table.concat(legend, "   ") end
  return lines
end

local eighths = { "▏", "▎", "▍", "▌", "▋", "▊", "▉" }
local function bar(part, columns)
  local n = math.floor(part * columns * 8 + 0.5)
  return ("█"):rep(n // 8) .. (eighths[n % 8] or "")
end

function M.histogram(figure, columns, _, colour)
  local names, left, right_side, most, lines = {}, 0, 0, 1, {}
  local step = figure.edges[2] - figure.edges[1]
  local function name(v)
    if math.max(math.abs(figure.edges[1]), math.abs(figure.edges[#figure.edges])) >= 1e6 or step < 1e-4 then return axis.short(v) end
    local text = ("%." .. math.max(0, 1 - math.floor(math.log(step, 10))) .. "f"):format(v) -- tells the edges apart
    return text:find "[1-9]" and text or (text:gsub("-", ""))
  end
  for i = 1, #figure.edges do
    names[i] = name(figure.edges[i])
    left = math.max(left, #names[i])
  end
  for _, n in ipairs(figure.counts) do
    most = math.max(most, n)
    right_side = math.max(right_side, #tostring(n))
  end
  columns = math.max(8, columns - 2 * left - 5 - right_side)
  heading(lines, figure, 2 * left + 3, columns)
  for i, n in ipairs(figure.counts) do
    local drawn = bar(n / most, columns)
    if drawn ~= "" then drawn = style.paint(drawn, "cyan", colour) .. " " end
    lines[#lines + 1] = ("%s .. %s %s%d"):format(right(names[i], left), right(names[i + 1], left), drawn, n)
  end
  if figure.xlabel then lines[#lines + 1] = figure.xlabel end
  return lines
end

-- ---- heat maps ----

-- The means of blocks, so that the matrix has at most rows x columns entries.
local function shrunk(matrix, rows, columns)
  local m, n = #matrix, #matrix[1]
  local a, b = math.ceil(m / rows), math.ceil(n / columns)
  if a <= 1 and b <= 1 then return matrix end
  local out = {}
  for i = 1, math.ceil(m / a) do
    out[i] = {}
    for j = 1, math.ceil(n / b) do
      local sum, count = 0.0, 0
      for r = (i - 1) * a + 1, math.min(m, i * a) do
        for c = (j - 1) * b + 1, math.min(n, j * b) do sum, count = sum + matrix[r][c], count + 1 end
      end
      out[i][j] = sum / count
    end
  end
  return out
end

local function colour_code(r, g, b)
  if (os.getenv "COLORTERM" or ""):find "truecolor" or (os.getenv "COLORTERM" or ""):find "24bit" then return ("2;%d;%d;%d"):format(r, g, b) end
  local function level(v) return math.floor(v / 255 * 5 + 0.5) end
  return ("5;%d"):format(16 + 36 * level(r) + 6 * level(g) + level(b)) -- the 6 x 6 x 6 cube of xterm
end

local shades = { " ", "░", "▒", "▓", "█" }
local function shade(v) return v ~= v and "?" or shades[math.min(#shades, math.floor(v * #shades) + 1)] end

function M.heatmap(figure, columns, rows, colour)
  local lines, each = {}, 2 -- characters for an entry: about as wide as high
  if figure.columns > columns // 2 then each = 1 end
  local matrix = shrunk(figure.matrix, colour and 2 * rows or rows, columns // each)
  local function part(v) return figure.at(v) end
  heading(lines, figure, 0, #matrix[1] * each)
  local function rgb(v)
    if v ~= v then return "5;240" end
    return colour_code(ramp(part(v)))
  end
  if colour then -- two entries in a character, one above the other
    for i = 1, #matrix, 2 do
      local parts = {}
      for j = 1, #matrix[i] do
        local below = matrix[i + 1] and ("\27[48;%sm"):format(rgb(matrix[i + 1][j])) or "\27[49m"
        parts[j] = ("\27[38;%sm%s%s"):format(rgb(matrix[i][j]), below, ("▀"):rep(each))
      end
      lines[#lines + 1] = table.concat(parts) .. "\27[0m"
    end
  else
    for i = 1, #matrix do
      local parts = {}
      for j = 1, #matrix[i] do parts[j] = shade(part(matrix[i][j])):rep(each) end
      lines[#lines + 1] = table.concat(parts)
    end
  end
  local scale = {}
  for k = 0, 9 do
    scale[k + 1] = colour and ("\27[48;%sm \27[0m"):format(colour_code(ramp(k / 9))) or shade(k / 9)
  end
  lines[#lines + 1] = ("%s %s %s"):format(axis.short(figure.lo), table.concat(scale), axis.short(figure.hi))
  return lines
end

return M
