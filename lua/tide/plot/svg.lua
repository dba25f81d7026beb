--- Figures as SVG (www.w3.org/TR/SVG11): one file that stands alone, text as text.
local axis = require "tide.plot.axis"
local ramp = require "tide.plot.ramp"

local M = {}
local colours = { "#0072b2", "#e69f00", "#cc79a7", "#009e73", "#d55e00", "#56b4e9" } -- Okabe and Ito, 2008: told apart by everybody
local TOP, BOTTOM, LEFT, RIGHT = 36, 48, 64, 16
local escapes = { ["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;", ['"'] = "&quot;" }

-- Text that any XML reader takes: what is no character of XML becomes U+FFFD.
local function escape(text)
  local out = {}
  if not utf8.len(text) then text = text:gsub("[\x80-\xff]", "\u{fffd}") end
  for _, c in utf8.codes(text) do
    local fine = c >= 32 and c ~= 0xfffe and c ~= 0xffff or c == 9 or c == 10
    out[#out + 1] = fine and utf8.char(c) or "\u{fffd}"
  end
  return (table.concat(out):gsub('[&<>"]', escapes))
end

local function number(v) return (("%.2f"):format(v):gsub("%.?0+$", ""):gsub("^-0$", "0")) end

local Page = {}
Page.__index = Page
function Page:add(format, ...) self[#self + 1] = format:format(...) end
function Page:text(x, y, anchor, text, more) self:add('<text x="%s" y="%s" text-anchor="%s"%s>%s</text>', number(x), number(y), anchor, more or "", escape(text)) end
function Page:line(x0, y0, x1, y1, colour)
  self:add('<line x1="%s" y1="%s" x2="%s" y2="%s" stroke="%s"/>', number(x0), number(y0), number(x1), number(y1), colour)
end
function Page:rect(x, y, w, h, fill) self:add('<rect x="%s" y="%s" width="%s" height="%s" fill="%s"/>', number(x), number(y), number(w), number(h), fill) end

local function page(figure, width, height)
  local p = setmetatable({}, Page)
  local w, h = number(width), number(height)
  p:add('<svg xmlns="http://www.w3.org/2000/svg" width="%s" height="%s" viewBox="0 0 %s %s" font-family="sans-serif" font-size="12">', w, h, w, h)
  p:rect(0, 0, width, height, "white")
  if figure.title then p:text(width / 2, 22, "middle", figure.title, ' font-size="15"') end
  return p
end

-- Grid, numbers and names of two axes; returns where values lie.
local function frame(p, figure, x, y, width, height)
  local w, h = width - LEFT - RIGHT, height - TOP - BOTTOM
  local function px(v) return LEFT + x.at(v) * w end
  local function py(v) return TOP + (1 - y.at(v)) * h end
  for _, t in ipairs(x.ticks) do
    p:line(px(t.value), TOP, px(t.value), TOP + h, "#dddddd")
    p:text(px(t.value), TOP + h + 16, "middle", t.label)
  end
  for _, t in ipairs(y.ticks) do
    p:line(LEFT, py(t.value), LEFT + w, py(t.value), "#dddddd")
    p:text(LEFT - 6, py(t.value) + 4, "end", t.label)
  end
  p:add('<rect x="%s" y="%s" width="%s" height="%s" fill="none" stroke="#444444"/>', number(LEFT), number(TOP), number(w), number(h))
  if figure.xlabel then p:text(LEFT + w / 2, height - 10, "middle", figure.xlabel) end
  if figure.ylabel then p:text(16, TOP + h / 2, "middle", figure.ylabel, (' transform="rotate(-90 16 %s)"'):format(number(TOP + h / 2))) end
  return px, py
end

-- Many points in one column of the page draw what its first, lowest, highest and last draw.
local function thinned(points)
  if #points < 4000 then return points end
  local out, group, low, high = {}, 1, 1, 1
  local function put(...)
    local order = { ... }
    table.sort(order)
    for k, i in ipairs(order) do
      if i ~= order[k - 1] then out[#out + 1] = points[i] end
    end
  end
  for i = 2, #points do
    if points[i][1] // 1 ~= points[group][1] // 1 then
      put(group, low, high, i - 1)
      group, low, high = i, i, i
    end
    if points[i][2] < points[low][2] then low = i end
    if points[i][2] > points[high][2] then high = i end
  end
  put(group, low, high, #points)
  return out
end

local function close(p)
  p:add "</svg>\n"
  return table.concat(p, "\n")
end

function M.line(figure, width, height)
  local p = page(figure, width, height)
  local x = axis.new(figure.xlo, figure.xhi, 8, { log = figure.logx, whole = figure.counted })
  local y = axis.new(figure.ylo, figure.yhi, 6, { log = figure.logy, widen = true })
  local px, py = frame(p, figure, x, y, width, height)
  local labelled = 0
  for k, s in ipairs(figure.series) do
    local colour, run = colours[(k - 1) % #colours + 1], {}
    local function flush()
      if #run == 1 then
        p:add('<circle cx="%s" cy="%s" r="2" fill="%s"/>', number(run[1][1]), number(run[1][2]), colour)
      elseif #run > 1 then
        local points = {}
        for i, at in ipairs(thinned(run)) do points[i] = number(at[1]) .. "," .. number(at[2]) end
        p:add('<polyline fill="none" stroke="%s" stroke-width="1.5" points="%s"/>', colour, table.concat(points, " "))
      end
      run = {}
    end
    for i = 1, #s.x do
      if s.drawn(i) then run[#run + 1] = { px(s.x[i]), py(s.y[i]) } else flush() end
    end
    flush()
  end
  for k, s in ipairs(figure.series) do
    if s.label then
      local at = TOP + 16 + 18 * labelled
      p:add('<line x1="%s" y1="%s" x2="%s" y2="%s" stroke="%s" stroke-width="2"/>', number(width - RIGHT - 32), number(at - 4), number(width - RIGHT - 10),
        number(at - 4), colours[(k - 1) % #colours + 1])
      p:text(width - RIGHT - 38, at, "end", s.label)
      labelled = labelled + 1
    end
  end
  return close(p)
end

function M.histogram(figure, width, height)
  local p, most = page(figure, width, height), 1
  for _, n in ipairs(figure.counts) do most = math.max(most, n) end
  local x = axis.new(figure.edges[1], figure.edges[#figure.edges], 8, {})
  local y = axis.new(0, most, 6, { widen = true })
  local px, py = frame(p, figure, x, y, width, height)
  for i, n in ipairs(figure.counts) do
    local a, b = px(figure.edges[i]), px(figure.edges[i + 1])
    if n > 0 then p:rect(a + 0.5, py(n), math.max(0.5, b - a - 1), py(0) - py(n), colours[1]) end
  end
  return close(p)
end

function M.heatmap(figure, width, height)
  local p, m, n = page(figure, width, height), figure.rows, figure.columns
  local w, h = width - LEFT - RIGHT - 70, height - TOP - BOTTOM
  local each = math.min(w / n, h / m)
  local function hex(v) return v ~= v and "#888888" or ("#%02x%02x%02x"):format(ramp(v)) end
  for i, row in ipairs(figure.matrix) do
    for j, v in ipairs(row) do p:rect(LEFT + (j - 1) * each, TOP + (i - 1) * each, each, each, hex(figure.at(v))) end
  end
  local right, tall = LEFT + n * each + 20, math.max(40, m * each)
  for k = 0, 31 do p:rect(right, TOP + tall * (31 - k) / 32, 14, tall / 32, hex(k / 31)) end
  p:text(right + 18, TOP + 10, "start", axis.short(figure.hi))
  p:text(right + 18, TOP + tall, "start", axis.short(figure.lo))
  if figure.xlabel then p:text(LEFT + n * each / 2, TOP + m * each + 20, "middle", figure.xlabel) end
  if figure.ylabel then p:text(LEFT - 10, TOP + m * each / 2, "end", figure.ylabel) end
  return close(p)
end

return M
