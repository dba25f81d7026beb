--- From numbers to places along an axis, with ticks at round numbers.
local M = {}

-- 1, 2 or 5 times a power of ten: the smallest such step that is not below `rough`.
local function round_step(rough)
  local power = 10.0 ^ math.floor(math.log(rough, 10))
  for _, m in ipairs { 1, 2, 5 } do
    if rough <= m * power * (1 + 1e-9) then return m * power end
  end
  return 10 * power
end

local function plain(v, digits)
  local text = ("%." .. digits .. "f"):format(v)
  return tonumber(text) == 0 and text:gsub("^-", "") or text
end

local function scientific(v, digits)
  if v == 0 then return "0" end
  local m, e = ("%." .. digits .. "e"):format(v):match "^(.-)e(.+)$"
  return ("%se%d"):format(m, math.tointeger(tonumber(e)))
end

--- A number, short: "0.25", "1e-05" as "1e-5".
function M.short(v)
  if v ~= v or v == math.huge or v == -math.huge then return tostring(v) end
  return (("%.4g"):format(v):gsub("e([+-])0*(%d)", function(sign, d) return "e" .. (sign == "-" and "-" or "") .. d end))
end

local function linear(lo, hi, count, widen, whole)
  local size = math.max(math.abs(lo), math.abs(hi))
  if hi / 2 - lo / 2 <= 1e-13 * size or size < 1e-290 then -- one value
    local by = size < 1e-290 and 1 or size * 0.1
    lo, hi = math.max(lo - by, -1.7e308), math.min(hi + by, 1.7e308)
  end
  local step = round_step((hi / count) - (lo / count)) -- halves: hi - lo might be no number
  if whole then step = math.max(1.0, step) end
  local first, last = math.ceil(lo / step - 1e-9), math.floor(hi / step + 1e-9)
  if widen then
    first, last = math.floor(lo / step + 1e-9), math.ceil(hi / step - 1e-9)
    if first * step == -math.huge then first = first + 1 end -- past the largest number
    if last * step == math.huge then last = last - 1 end
    lo, hi = math.min(lo, first * step), math.max(hi, last * step)
  end
  local most, digits = math.max(math.abs(lo), math.abs(hi)), math.max(0, math.ceil(-math.log(step, 10) - 1e-9))
  local ticks = {}
  for i = 0, math.min(math.tointeger(last - first) or 0, 100) do
    local v = (first + i) * step
    local far = most >= 1e6 or most < 1e-3
    local label = far and scientific(v, math.max(0, math.floor(math.log(most, 10)) - math.floor(math.log(step, 10) + 1e-9))) or plain(v, digits)
    ticks[#ticks + 1] = { value = v, label = label }
  end
  return { lo = lo, hi = hi, ticks = ticks, at = function(v) return (v / 2 - lo / 2) / (hi / 2 - lo / 2) end }
end

local function logarithmic(lo, hi, count, widen)
  local a, b = math.log(lo, 10), math.log(hi, 10)
  local first, last = math.floor(a + 1e-9), math.ceil(b - 1e-9)
  if first == last then last = last + 1 end
  local ticks, every = {}, math.max(1, math.ceil((last - first) / count))
  local within = last - first <= 2 and { 1, 2, 5 } or { 1 }
  if widen then a, b = first, last end
  a, b = math.max(a, -323), math.min(b, 308.2) -- what doubles hold
  if b - a < 1e-9 then a, b = a - 0.5, b + 0.5 end
  lo, hi = 10.0 ^ a, 10.0 ^ b
  for e = first, last do
    for _, m in ipairs(e % every == 0 and within or {}) do
      local l = e + math.log(m, 10)
      if l >= a - 1e-9 and l <= b + 1e-9 and l < 308.2 and l > -308 then ticks[#ticks + 1] = { value = m * 10.0 ^ e, label = M.short(m * 10.0 ^ e) } end
    end
  end
  if #ticks < 2 then -- less than a decade
    ticks = {}
    for _, t in ipairs(linear(lo, hi, count).ticks) do
      if t.value >= lo and t.value <= hi then ticks[#ticks + 1] = t end
    end
  end
  return { lo = lo, hi = hi, ticks = ticks, at = function(v) return (math.log(v, 10) - a) / (b - a) end }
end

--- An axis over lo..hi with about `count` ticks, {lo, hi, ticks = {{value, label}}, at = function(v) -> 0..1}.
-- options.log: in powers of ten (lo > 0); options.widen: to the ticks
-- around; options.whole: ticks at integers only.
function M.new(lo, hi, count, options)
  return (options.log and logarithmic or linear)(lo, hi, count, options.widen, options.whole)
end

return M
