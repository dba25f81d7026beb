--- Rows of equal keys: numbering, aggregation and joins, all as tensor operations over sorted rows.
local tide = require "tide.core"
local columns = require "tide.data.column"
local M = {}

local stable = { stable = true }
local function iota(n) return tide.arange(n) end

--- Numbers the distinct values of 1-d x in their order: ids (int64, from 0) of each, and how many there are.
local function number(x)
  local n = x:numel()
  if n == 0 then return tide.zeros({ 0 }, { dtype = "int64" }), 0 end
  local order = x:argsort(1, stable)
  local sorted = x:index_select(1, order)
  local steps = tide.zeros({ n }, { dtype = "int64" })
  if n > 1 then steps:narrow(1, 2, n - 1):copy_(sorted:narrow(1, 2, n - 1):ne(sorted:narrow(1, 1, n - 1)):to("int64")) end
  local rank = steps:cumsum(1)
  return tide.zeros({ n }, { dtype = "int64" }):scatter(1, order, rank), rank[n]:item() + 1
end
M.number = number

--- Numbers rows of several columns together; missing cells are a value of their own, after all others.
function M.number_rows(list)
  local ids, count
  for _, c in ipairs(list) do
    local keys = c:keys()
    if c.missing then keys = tide.where(c.missing, 0, keys) end
    local k, n = number(keys)
    if c.missing then k = tide.where(c.missing, n, k) end
    if ids then ids, count = number(ids * (n + 1) + k) else ids, count = number(k) end
  end
  return ids, count
end

-- ---- aggregates: of a column whose rows have ids in 0 .. n-1; missing cells are left out ----

local function present(c, ids)
  if not c.missing then return c.values, ids, c:keys() end
  local rows = tide.nonzero(~c.missing):reshape({ -1 })
  return c.values:index_select(1, rows), ids:index_select(1, rows), c:keys():index_select(1, rows)
end

local function add_up(values, ids, n, dtype)
  return tide.zeros({ n }, { dtype = dtype }):index_add(1, ids, values:to(dtype))
end
local function counts(ids, n) return add_up(tide.ones_like(ids), ids, n, "int64") end

-- Rows by group, and inside by value if `keys` is given; where each group begins; its size.
local function arranged(ids, n, keys)
  local order = keys and keys:argsort(1, stable) or iota(ids:numel())
  order = order:index_select(1, ids:index_select(1, order):argsort(1, stable))
  local size = counts(ids, n)
  return order, size:cumsum(1) - size, size
end

-- The column of the cells at `places` of `order` in each group; missing where the group has none.
local function pick(name, c, values, order, places, size)
  local none = size:eq(0)
  if values:numel() == 0 then return columns.new(name, c.type, tide.zeros({ size:numel() }, { dtype = values.dtype }), none, c.levels) end
  local at = order:index_select(1, places:clamp(0, values:numel() - 1))
  return columns.new(name, c.type, values:index_select(1, at), none, c.levels)
end

local function numeric(c, what)
  if c.type == "string" then tide._fail(("%s: column '%s' holds strings"):format(what, c.name)) end
end

local function mean(c, ids, n)
  local values, own = present(c, ids)
  local size = counts(own, n):to("float64")
  return add_up(values, own, n, "float64") / size, size, values, own
end
local function variance(c, ids, n)
  local m, size, values, own = mean(c, ids, n)
  local off = values:to("float64") - m:index_select(1, own)
  local v = add_up(off * off, own, n, "float64") / (size - 1)
  return tide.where(size:le(1), 0 / 0, v)
end

-- The q-th part of each group, between neighbours in proportion, as pandas' default.
local function quantile(name, c, ids, n, q)
  numeric(c, "quantile")
  local values, own, keys = present(c, ids)
  local order, first, size = arranged(own, n, keys)
  if values:numel() == 0 then return columns.new(name, "float64", tide.full({ n }, 0 / 0, { dtype = "float64" })) end
  local sorted = values:to("float64"):index_select(1, order)
  local place = (size - 1):to("float64") * q
  local low = place:floor()
  local function at(p) return sorted:index_select(1, (first + p:to("int64")):clamp(0, values:numel() - 1)) end
  local a, b = at(low), at(place:ceil())
  return columns.new(name, "float64", tide.where(size:eq(0), 0 / 0, a + (b - a) * (place - low)))
end
M.quantile = quantile

--- By name: function(name of the result, column, ids, n) -> column.
M.aggregates = {
  count = function(name, c, ids, n)
    local _, own = present(c, ids)
    return columns.new(name, "int64", counts(own, n))
  end,
  size = function(name, _, ids, n) return columns.new(name, "int64", counts(ids, n)) end,
  sum = function(name, c, ids, n)
    numeric(c, "sum")
    local values, own = present(c, ids)
    local dtype = c.type == "float64" and "float64" or "int64"
    return columns.new(name, dtype, add_up(values, own, n, dtype))
  end,
  mean = function(name, c, ids, n)
    numeric(c, "mean")
    return columns.new(name, "float64", (mean(c, ids, n)))
  end,
  var = function(name, c, ids, n)
    numeric(c, "var")
    return columns.new(name, "float64", variance(c, ids, n))
  end,
  std = function(name, c, ids, n)
    numeric(c, "std")
    return columns.new(name, "float64", variance(c, ids, n):sqrt())
  end,
  min = function(name, c, ids, n)
    local values, own, keys = present(c, ids)
    local order, first, size = arranged(own, n, keys)
    return pick(name, c, values, order, first, size)
  end,
  max = function(name, c, ids, n)
    local values, own, keys = present(c, ids)
    local order, first, size = arranged(own, n, keys)
    return pick(name, c, values, order, first + size - 1, size)
  end,
  median = function(name, c, ids, n) return quantile(name, c, ids, n, 0.5) end,
  first = function(name, c, ids, n)
    local values, own = present(c, ids)
    local order, first, size = arranged(own, n)
    return pick(name, c, values, order, first, size)
  end,
  last = function(name, c, ids, n)
    local values, own = present(c, ids)
    local order, first, size = arranged(own, n)
    return pick(name, c, values, order, first + size - 1, size)
  end,
  nunique = function(name, c, ids, n)
    local _, own, keys = present(c, ids)
    local value, m = number(keys)
    local pair = number(own * math.max(m, 1) + value)
    local rows, firsts = arranged(pair, pair:numel() > 0 and pair:amax():item() + 1 or 0)
    if pair:numel() == 0 then return columns.new(name, "int64", tide.zeros({ n }, { dtype = "int64" })) end
    return columns.new(name, "int64", counts(own:index_select(1, rows:index_select(1, firsts)), n))
  end,
}

--- Row numbers of the first row of every group.
function M.firsts(ids, n)
  local order, first = arranged(ids, n)
  return n > 0 and order:index_select(1, first) or first
end

--- Pairs of rows with the same number: left rows in their order, right rows in theirs. `outer`: a left row without a partner
-- is kept; its right row is -1.
function M.pairs(left, right, n, outer)
  local order, first, size = arranged(right, n)
  local partners = n > 0 and size:index_select(1, left) or tide.zeros({ 0 }, { dtype = "int64" })
  local repeats = outer and partners:clamp(1) or partners
  local offset = repeats:cumsum(1) - repeats
  local total = left:numel() > 0 and repeats:sum():item() or 0
  if total == 0 then
    local none = tide.zeros({ 0 }, { dtype = "int64" })
    return none, none
  end
  local rows = tide.zeros({ total + 1 }, { dtype = "int64" }):index_add(1, offset, tide.ones_like(offset)):cumsum(1):narrow(1, 1, total) - 1
  local within = iota(total) - offset:index_select(1, rows)
  local place = first:index_select(1, left:index_select(1, rows)) + within
  if right:numel() == 0 then return rows, tide.full({ total }, -1, { dtype = "int64" }) end
  local others = order:index_select(1, place:clamp(0, right:numel() - 1))
  return rows, tide.where(partners:index_select(1, rows):eq(0), -1, others)
end

return M
