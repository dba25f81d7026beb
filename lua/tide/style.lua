--- Colours and the size of the terminal. Colours are for terminals, and only where NO_COLOR (no-color.org) is not set.
local tide = require "tide.core"

local codes = { bold = 1, dim = 2, red = 31, green = 32, yellow = 33, blue = 34, magenta = 35, cyan = 36 }
local M = {}

--- May colours be written to the file descriptor fd (1 by default)?
function M.colour(fd)
  local none, term = os.getenv "NO_COLOR", os.getenv "TERM"
  return not (none and none ~= "") and term ~= nil and term ~= "dumb" and tide._terminal(fd or 1) ~= nil
end

--- text in a colour, or as it is.
function M.paint(text, colour, on)
  if not on then return text end
  return ("\27[%dm%s\27[0m"):format(codes[colour], text)
end

--- Columns and rows of the terminal that fd (1 by default) is; 80 and 24 where it is none.
function M.size(fd)
  local columns, rows = tide._terminal(fd or 1)
  return columns or 80, rows or 24
end

return M
