--- A canvas of dots: 2 x 4 in a character (U+2800 and on), each character in the colour that was last drawn there.
local style = require "tide.style"

local Canvas = {}
Canvas.__index = Canvas
local bit = { { 0x01, 0x02, 0x04, 0x40 }, { 0x08, 0x10, 0x20, 0x80 } } -- by column and row of the dot

--- A canvas of columns x rows characters; dots are (0..2 columns - 1, 0..4 rows - 1), from the top left.
local function new(columns, rows) return setmetatable({ columns = columns, rows = rows, dots = {}, colour = {} }, Canvas) end

function Canvas:dot(x, y, colour)
  if x < 0 or y < 0 or x >= 2 * self.columns or y >= 4 * self.rows then return end
  local cell = (y // 4) * self.columns + x // 2
  self.dots[cell] = (self.dots[cell] or 0) | bit[x % 2 + 1][y % 4 + 1]
  self.colour[cell] = colour
end

--- A straight line (Bresenham 1965, "Algorithm for computer control of a digital plotter"). `pen(i)`: is the i-th dot drawn?
-- i goes on from `start`; returns where it ended, so that dashes run on over corners.
function Canvas:line(x0, y0, x1, y1, colour, pen, start)
  local dx, dy = math.abs(x1 - x0), -math.abs(y1 - y0)
  local sx, sy = x0 < x1 and 1 or -1, y0 < y1 and 1 or -1
  local err, i = dx + dy, start
  while true do
    if pen(i) then self:dot(x0, y0, colour) end
    if x0 == x1 and y0 == y1 then return i end
    i = i + 1
    local twice = 2 * err
    if twice >= dy then err, x0 = err + dy, x0 + sx end
    if twice <= dx then err, y0 = err + dx, y0 + sy end
  end
end

--- Row r (from 0) as text, without spaces at its end.
function Canvas:row(r, paint)
  local parts, last = {}, 0
  for c = 0, self.columns - 1 do
    local dots = self.dots[r * self.columns + c]
    parts[c + 1] = dots and style.paint(utf8.char(0x2800 + dots), self.colour[r * self.columns + c], paint) or " "
    if dots then last = c + 1 end
  end
  return table.concat(parts, "", 1, last)
end

return new
