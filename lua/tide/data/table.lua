--- A table of named columns, as a CSV file has them. A column is a tensor (int64, float64, bool) or a sequence of
-- strings; missing cells are marked beside it. Tables are not changed: every method gives a new one.
local tide = require "tide.core"
local split = require "tide.data.split"

local Table = { __name = "tide.data.Table" }
Table.__index = Table

local Column = { __name = "tide.data.Column" }
Column.__index = Column

--- The column's values as a tensor. options: dtype (float32). Strings and missing cells raise.
function Column:tensor(options)
  local dtype = options and options.dtype or "float32"
  if self.type == "string" then error(("column '%s' holds strings"):format(self.name), 2) end
  if self.missing then error(("column '%s' has missing cells: dropna() first"):format(self.name), 2) end
  return self.values:to(dtype)
end

function Column:__len() return self.rows end

--- The values as a Lua sequence; missing cells are false.
function Column:tolist()
  local list = self.type == "string" and { table.unpack(self.values) } or self.values:tolist()
  if self.missing then
    for i, m in ipairs(self.missing:tolist()) do
      if m then list[i] = false end
    end
  end
  return list
end

local function new(columns, rows)
  local self = setmetatable({ columns = columns, rows = rows, by_name = {} }, Table)
  for _, c in ipairs(columns) do self.by_name[c.name] = c end
  return self
end

--- Reads a CSV file with pandas' rules for quoting, missing values and types.
-- options: sep (","), header (true), na_values, keep_default_na (true), skip_initial_space (false).
-- Returns a table, or nil, message, code.
function Table.csv(path, options)
  local raw, message, code = tide._csv(path, options or {})
  if not raw then return nil, message, code end
  local columns = {}
  for i, c in ipairs(raw) do
    c.rows = raw.rows
    columns[i] = setmetatable(c, Column)
  end
  return new(columns, raw.rows)
end

function Table:__len() return self.rows end

function Table:names()
  local list = {}
  for i, c in ipairs(self.columns) do list[i] = c.name end
  return list
end

function Table:column(name)
  return self.by_name[name] or error(("no column '%s'; there are: %s"):format(name, table.concat(self:names(), ", ")), 2)
end

--- The rows of an int64 tensor of row numbers, counted from 0.
function Table:take(index)
  local columns, list = {}, nil
  for i, c in ipairs(self.columns) do
    local d = { name = c.name, type = c.type, rows = index:numel() }
    if c.type == "string" then
      list = list or index:tolist()
      d.values = {}
      for k, row in ipairs(list) do d.values[k] = c.values[row + 1] end
    else
      d.values = c.values:index_select(1, index)
    end
    if c.missing then
      d.missing = c.missing:index_select(1, index)
      if d.missing:sum():item() == 0 then d.missing = nil end
    end
    columns[i] = setmetatable(d, Column)
  end
  return new(columns, index:numel())
end

--- Without the rows that have a missing cell, in any column or in options.subset.
function Table:dropna(options)
  local bad
  for _, c in ipairs(self.columns) do
    local wanted = not (options and options.subset)
    for _, name in ipairs(options and options.subset or {}) do wanted = wanted or name == c.name end
    if wanted and c.missing then bad = bad and (bad | c.missing) or c.missing end
  end
  if not bad then return self end
  return self:take(tide.nonzero(~bad):reshape({ -1 }))
end

local function chosen(self, keep)
  local columns = {}
  for _, c in ipairs(self.columns) do
    if keep(c) then columns[#columns + 1] = c end
  end
  return new(columns, self.rows)
end

local function set(self, names)
  local s = {}
  for _, name in ipairs(type(names) == "table" and names or { names }) do
    self:column(name)
    s[name] = true
  end
  return s
end

function Table:drop(names)
  local s = set(self, names)
  return chosen(self, function(c) return not s[c.name] end)
end
function Table:select(names)
  local columns = {}
  for i, name in ipairs(names) do columns[i] = self:column(name) end
  return new(columns, self.rows)
end

--- All columns as one tensor (rows, columns). options: dtype (float32).
function Table:tensor(options)
  local list = {}
  for i, c in ipairs(self.columns) do list[i] = c:tensor(options) end
  return tide.stack(list, 2)
end

--- Splits the rows in two: `fraction` of them, and the rest. options: seed (0), shuffle (true), stratify (a column
-- whose values keep their shares in both parts; counts are rounded by largest remainder).
function Table:split(fraction, options)
  options = options or {}
  local first, second = split.rows(self.rows, fraction, { seed = options.seed, shuffle = options.shuffle,
    stratify = options.stratify and self:column(options.stratify):tolist() })
  return self:take(first), self:take(second)
end

function Table:__tostring()
  local kinds = {}
  for i, c in ipairs(self.columns) do
    if i > 8 then
      kinds[i] = ("... %d more"):format(#self.columns - 8)
      break
    end
    kinds[i] = ("%s: %s%s"):format(c.name, c.type, c.missing and " (some missing)" or "")
  end
  return ("table of %d rows, %d columns {%s}"):format(self.rows, #self.columns, table.concat(kinds, ", "))
end

return Table
