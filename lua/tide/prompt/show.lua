--- Values as the prompt shows them.
local tide = require "tide.core"
local style = require "tide.style"

local M = {}
local MOST, DEEPEST = 40, 3 -- entries of a table, and tables inside tables

local function short(x)
  if math.type(x) == "integer" then return tostring(x) end
  return ("%.4g"):format(x)
end

local function statistics(x)
  if x:numel() < 2 then return "" end
  if x.dtype == "bool" then return ("  true %d of %d"):format(x:to("int64"):sum():item(), x:numel()) end
  local missing = ""
  if x.dtype:find "float" then
    local nan = x:isnan()
    local n = nan:sum():item()
    if n == x:numel() then return "  nan everywhere" end
    if n > 0 then
      missing = ("  nan %d of %d"):format(n, x:numel())
      x = x:flatten():masked_select(nan:flatten():logical_not())
    end
  end
  local mean = x:mean { dtype = "float64" }:item()
  return ("  min %s  max %s  mean %s%s"):format(short(x:amin():item()), short(x:amax():item()), short(mean), missing)
end

--- "float32 (3,4) cpu  min -1.2  max 3.4  mean 0.1"
function M.line(x)
  local head = ("%s (%s) %s"):format(x.dtype, table.concat(x.shape, ","), x.device)
  local ok, rest = pcall(tide.no_grad, statistics, x)
  return ok and head .. rest or head
end

local function key_text(key)
  if type(key) == "string" and key:match "^[%a_][%w_]*$" then return key end
  return ("[%s]"):format(type(key) == "string" and ("%q"):format(key) or tostring(key))
end

local function less(a, b) -- names with a leading underscore, which are nobody's business, come last
  local ta, tb = type(a), type(b)
  if ta ~= tb then return ta < tb end
  if ta == "string" then
    local ua, ub = a:byte() == 95, b:byte() == 95
    if ua ~= ub then return ub end
  end
  if ta == "number" or ta == "string" then return a < b end
  return tostring(a) < tostring(b)
end

local function by_itself(value)
  local mt = getmetatable(value)
  return mt and (rawget(mt, "__tostring") or rawget(mt, "__name"))
end

local function inner(value, depth, above, room)
  if type(value) == "string" then return (("%q"):format(value):gsub("\\\n", "\\n")) end
  if tide.is_tensor(value) then
    local ok, shape = pcall(function() return ("%s (%s)"):format(value.dtype, table.concat(value.shape, ",")) end)
    return ok and ("tensor %s"):format(shape) or "tensor(closed)"
  end
  if type(value) ~= "table" then return tostring(value) end
  if by_itself(value) then return (tostring(value):gsub("\n.*", " ...")) end
  if above[value] then return "{...}" end
  if next(value) == nil then return "{}" end
  if depth > DEEPEST then return "{...}" end
  above[value] = true
  local parts, n = {}, #value
  for i = 1, math.min(n, MOST) do parts[i] = inner(value[i], depth + 1, above, room - 2) end
  local keys = {}
  for key in pairs(value) do
    if not (math.type(key) == "integer" and key >= 1 and key <= n) then keys[#keys + 1] = key end
  end
  table.sort(keys, less)
  for i = 1, math.min(#keys, MOST) do
    parts[#parts + 1] = ("%s = %s"):format(key_text(keys[i]), inner(value[keys[i]], depth + 1, above, room - 2))
  end
  above[value] = nil
  local left = math.max(n - MOST, 0) + math.max(#keys - MOST, 0)
  if left > 0 then parts[#parts + 1] = ("... %d more"):format(left) end
  local line = ("{ %s }"):format(table.concat(parts, ", "))
  if #line <= room and not line:find "\n" then return line end
  local lines, now = {}, ""
  for i, part in ipairs(parts) do -- as many on a line as fit
    local piece = part .. (i < #parts and "," or "")
    if now ~= "" and (#now + #piece + 1 > room - 2 or part:find "\n" or now:find "\n" or #keys > 0) then
      lines[#lines + 1] = now
      now = piece
    else
      now = now == "" and piece or now .. " " .. piece
    end
  end
  lines[#lines + 1] = now
  return "{\n  " .. table.concat(lines, "\n"):gsub("\n", "\n  ") .. "\n}"
end

--- One value as text, `wide` columns at most where that can be.
function M.value(value, wide, colour)
  if tide.is_tensor(value) then
    local text = tostring(value)
    if text == "tensor(closed)" then return text end
    return text .. "\n" .. style.paint(M.line(value), "dim", colour)
  end
  if type(value) == "table" and not by_itself(value) then return inner(value, 1, {}, wide) end
  return tostring(value)
end

--- Results side by side if all are small, else one below the other.
function M.results(results, wide, colour)
  local parts, small = {}, true
  for i = 1, results.n do
    parts[i] = M.value(results[i], wide, colour)
    small = small and type(results[i]) ~= "table" and not tide.is_tensor(results[i])
  end
  return table.concat(parts, small and "\t" or "\n")
end

return M
