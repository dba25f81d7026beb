--- A table of named columns, as a CSV file has them (tide.data.column). Tables are not changed: every method gives a new one.
-- Rows count from 1.
local tide = require "tide.core"
local expect = require("tide.arguments").one
local with_options = require "tide.options"
local split = require "tide.data.split"
local columns = require "tide.data.column"
local group = require "tide.data.group"

local Table = { __name = "tide.data.Table" }
Table.__index = Table

local function new(list, rows, operation)
  local self = setmetatable({ columns = list, rows = rows, by_name = {} }, Table)
  for _, c in ipairs(list) do
    if self.by_name[c.name] then tide._fail(("%s: two columns have the name '%s'"):format(operation, c.name)) end
    self.by_name[c.name] = c
  end
  return self
end

-- One name or a list of them, as a list.
local function listed(names, operation)
  expect("string|strings", operation, "names", names)
  return type(names) == "table" and names or { names }
end

--- tide.data.table{{name, values}, ...}: values is a 1-d tensor or a sequence, where false is a missing number or text and NaN a
-- missing cell of any type.
function Table.of(list)
  local made = {}
  expect("table", "table", "columns", list)
  if #list == 0 and next(list) ~= nil then tide._fail("table: expected a list {{name, values}, ...}") end
  for i, pair in ipairs(list) do
    if type(pair) ~= "table" then tide._fail(("table: column %d must be {name, values}, not a %s"):format(i, type(pair))) end
    if type(pair[1]) ~= "string" then tide._fail(("table: column %d needs a name"):format(i)) end
    made[i] = columns.of(pair[1], pair[2])
    if made[i].rows ~= made[1].rows then tide._fail(("table: column '%s' has %d rows, the first %d"):format(pair[1], made[i].rows, made[1].rows)) end
  end
  return new(made, made[1] and made[1].rows or 0, "table")
end

-- ---- CSV ----

-- The options as the core takes them.
local function prepared(options)
  local raw = { typed = {}, types = {} }
  for key, value in pairs(options) do
    raw[key] = type(value) == "table" and table.move(value, 1, #value, 1, {}) or value
  end
  for name, dtype in pairs(options.dtypes or {}) do
    expect("string", "csv", "a name in dtypes", name)
    if dtype ~= "float64" and dtype ~= "int64" and dtype ~= "bool" and dtype ~= "string" then
      tide._fail(("csv: column '%s' cannot be '%s': int64, float64, bool or string"):format(name, dtype))
    end
    raw.typed[#raw.typed + 1], raw.types[#raw.types + 1] = name, dtype
  end
  return raw
end

local function from_raw(raw)
  for i, c in ipairs(raw) do
    c.rows = raw.rows
    raw[i] = setmetatable(c, columns.Column)
  end
  return new(raw, raw.rows)
end

--- Reads a CSV file with pandas' rules for quoting, missing values and types.
-- options: sep (","), header (true), na_values, keep_default_na (true), skip_initial_space (false); columns: only these, in the
-- file's order; dtypes {name = "int64" | "float64" | "bool" | "string"}: not inferred, and a cell that is something else is an
-- error; limit: rows at most. Returns a table, or nil, message, code.
-- With chunk_rows = n: an iterator of tables of n rows, whose types are inferred for each alone; only one of them is in memory.
-- It raises when a later part cannot be read.
function Table.csv(path, options)
  expect("path", "csv", "path", path)
  options = with_options("csv", options, "sep:string header:boolean na_values:strings keep_default_na:boolean " ..
    "skip_initial_space:boolean columns:strings dtypes:table limit:positive chunk_rows:positive")
  local wanted = prepared(options)
  if not options.chunk_rows then
    local raw, message, code = tide._csv(path, wanted)
    if not raw then return nil, message, code end
    return from_raw(raw)
  end
  local file, message, code = tide._csv_open(path, wanted)
  if not file then return nil, message, code end
  local left = options.limit or math.maxinteger
  return function()
    if left == 0 then return nil end
    local raw, why = tide._csv_next(file, math.min(options.chunk_rows, left))
    if raw == nil then tide._fail(why) end
    if not raw then
      left = 0
      return nil
    end
    left = left - raw.rows
    return from_raw(raw)
  end
end

-- ---- rows and columns ----

function Table:__len() return self.rows end

--- The names of the columns in their order.
function Table:names()
  local list = {}
  for i, c in ipairs(self.columns) do list[i] = c.name end
  return list
end

--- The column of that name: a list with its type; an error names the columns that are there.
function Table:column(name)
  return self.by_name[name] or tide._fail(("no column '%s'; there are: %s"):format(name, table.concat(self:names(), ", ")))
end

--- Row i as {name = value}; missing cells are absent.
function Table:row(i)
  if math.type(i) ~= "integer" or i < 1 or i > self.rows then tide._fail(("row %s of a table of %d"):format(i, self.rows)) end
  local row = {}
  for _, c in ipairs(self.columns) do
    if not (c.missing and c.missing[i]:item()) then
      local v = c.values[i]:item()
      if c.type == "string" then v = c.levels[v + 1] end
      row[c.name] = v
    end
  end
  return row
end

--- The rows of an int64 tensor of row numbers, counted from 0.
function Table:take(index)
  expect("tensor", "take", "index", index)
  local list = {}
  for i, c in ipairs(self.columns) do list[i] = c:take(index) end
  return new(list, index:numel())
end

local function range(self, first, n) return self:take(tide.arange(n) + first) end
--- The first or the last n (5) rows.
function Table:head(n) return range(self, 0, math.min(expect("count", "head", "n", n or 5), self.rows)) end
--- The last n rows (5).
function Table:tail(n)
  n = math.min(expect("count", "tail", "n", n or 5), self.rows)
  return range(self, self.rows - n, n)
end

local function set(self, names, operation)
  local s = {}
  for _, name in ipairs(listed(names, operation)) do
    self:column(name)
    s[name] = true
  end
  return s
end

-- The rows where the mask is true; whole(c) says that column c has no missing cell there.
local function keep(self, mask, whole)
  local list = {}
  for i, c in ipairs(self.columns) do list[i] = c:keep(mask, whole and whole(c)) end
  return new(list, list[1] and list[1].rows or mask:sum():item())
end

--- Without the rows that have a missing cell, in any column or in options.subset.
function Table:dropna(options)
  options = with_options("dropna", options, "subset:string|strings")
  local subset, bad = options.subset and set(self, options.subset, "dropna"), nil
  local function looked_at(c) return not subset or subset[c.name] end
  for _, c in ipairs(self.columns) do
    if c.missing and looked_at(c) then bad = bad and (bad | c.missing) or c.missing end
  end
  if not bad then return self end
  return keep(self, ~bad, looked_at)
end

--- Missing cells replaced: by one value in the columns that can hold it, or {name = value}.
function Table:fillna(value)
  expect("number|string|boolean|table", "fillna", "value", value)
  local list = {}
  if type(value) == "table" then
    for name in pairs(value) do self:column(name) end
  end
  local holds = { number = { int64 = true, float64 = true }, string = { string = true }, boolean = { bool = true } }
  for i, c in ipairs(self.columns) do
    if type(value) == "table" then
      list[i] = value[c.name] == nil and c or c:fillna(value[c.name])
    else
      list[i] = (holds[type(value)] or {})[c.type] and c:fillna(value) or c
    end
  end
  return new(list, self.rows)
end

--- Without these columns.
function Table:drop(names)
  local s, list = set(self, names, "drop"), {}
  for _, c in ipairs(self.columns) do
    if not s[c.name] then list[#list + 1] = c end
  end
  return new(list, self.rows)
end
--- These columns, in this order.
function Table:select(names)
  local list = {}
  for i, name in ipairs(listed(names, "select")) do list[i] = self:column(name) end
  return new(list, self.rows, "select")
end

--- With the column `name` added, or in the place of the one of that name.
function Table:with(name, values)
  expect("string", "with", "name", name)
  local c, list, put = columns.of(name, values), {}, false
  if #self.columns > 0 and c.rows ~= self.rows then tide._fail(("with: %d values for %d rows"):format(c.rows, self.rows)) end
  for i, old in ipairs(self.columns) do
    list[i] = old.name == name and c or old
    put = put or old.name == name
  end
  if not put then list[#list + 1] = c end
  return new(list, c.rows)
end

-- Calls f(row, i) for every row, as row(i) gives them.
local function each(self, f)
  local lists, gone = {}, {}
  for i, c in ipairs(self.columns) do lists[i], gone[i] = c:tolist(), c.missing and c.missing:tolist() or {} end
  for i = 1, self.rows do
    local row = {}
    for k, c in ipairs(self.columns) do
      if not gone[k][i] then row[c.name] = lists[k][i] end
    end
    f(row, i)
  end
end

--- The rows for which `which` holds: a bool tensor, or a function of a row ({name = value}; slower).
function Table:filter(which)
  if tide.is_tensor(which) then
    if which.dtype ~= "bool" or which.ndim ~= 1 or which.shape[1] ~= self.rows then
      tide._fail(("filter: expected a bool tensor of %d rows"):format(self.rows))
    end
    return keep(self, which)
  end
  expect("function", "filter", "which", which)
  local rows = {}
  each(self, function(row, i) if which(row) then rows[#rows + 1] = i - 1 end end)
  return self:take(columns.tensor(rows, "int64"))
end

--- map(name, f): the column with every cell v that is not missing replaced by f(v) (nil: missing), or, where f is a tensor
-- function, write t:with(name, f(t:column(name):tensor())). map(f): a new table of what f(row) gives, a table {name = value} a
-- row, with columns in the order of their names.
function Table:map(name, f)
  local missing = 0 / 0
  if type(name) == "string" then
    expect("function", "map", "f", f)
    local c = self:column(name)
    local list, gone = c:tolist(), c.missing and c.missing:tolist() or {}
    for i, v in ipairs(list) do
      if gone[i] then list[i] = missing else list[i] = f(v) end
      if list[i] == nil then list[i] = missing end
    end
    return self:with(name, list)
  end
  expect("function", "map", "f", name)
  local lists, names = {}, {}
  each(self, function(row, i)
    for key, v in pairs(expect("table", "map", "f(row)", name(row))) do
      if not lists[key] then
        lists[key] = {}
        names[#names + 1] = key
      end
      lists[key][i] = v
    end
  end)
  table.sort(names)
  for i, key in ipairs(names) do
    for r = 1, self.rows do
      if lists[key][r] == nil then lists[key][r] = missing end
    end
    names[i] = { key, lists[key] }
  end
  return Table.of(names)
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
  options = with_options("split", options, "seed:integer shuffle:boolean stratify:string")
  local first, second = split.rows(self.rows, fraction, { seed = options.seed, shuffle = options.shuffle,
    stratify = options.stratify and self:column(options.stratify) })
  return self:take(first), self:take(second)
end

--- The rows in the order of a column or of several, the first of which counts most; equal rows stay in their order, missing
-- cells come last. options: descending (false, or a list with one for each column).
function Table:sort(names, options)
  names = listed(names, "sort")
  local down, order = with_options("sort", options, "descending:boolean|table").descending or false, nil
  for i = #names, 1, -1 do
    local c = self:column(names[i])
    local descending = type(down) == "table" and down[i] or down == true
    local keys = c:keys()
    if order then keys = keys:index_select(1, order) end
    local step = keys:argsort(1, { stable = true, descending = descending })
    order = order and order:index_select(1, step) or step
    if c.missing then order = order:index_select(1, c.missing:index_select(1, order):to("int64"):argsort(1, { stable = true })) end
  end
  return order and self:take(order) or self
end

-- ---- groups ----

local Groups = { __name = "tide.data.Groups" }
Groups.__index = Groups

--- groupby(names): rows with equal cells in these columns belong together; rows where one is missing belong to none.
function Table:groupby(names)
  names = listed(names, "groupby")
  if #names == 0 then tide._fail("groupby: no columns") end
  for _, name in ipairs(names) do self:column(name) end
  local whole = self:dropna({ subset = names })
  local ids, n = group.number_rows(whole:select(names).columns)
  return setmetatable({ table = whole, names = names, ids = ids, n = n }, Groups)
end

function Groups:__len() return self.n end

--- A row a group, in the order of the keys: the keys and then each {name, how[, as]} of the list (or {name = how}, in the order
-- of the names). how: "count" (cells that are not missing), "size", "sum", "mean", "std", "var" (both with count - 1), "min",
-- "max", "median", "first", "last", "nunique". The result is called `as`, or as the column; two must not have one name.
function Groups:agg(list)
  expect("table", "agg", "list", list)
  if #list == 0 then
    local pairs_ = {}
    for name, how in pairs(list) do pairs_[#pairs_ + 1] = { name, how } end
    table.sort(pairs_, function(a, b) return tostring(a[1]) < tostring(b[1]) end)
    list = pairs_
  end
  local firsts, out = group.firsts(self.ids, self.n), {}
  for i, name in ipairs(self.names) do out[i] = self.table:column(name):take(firsts) end
  for i, item in ipairs(list) do
    expect("strings", "agg", i, item)
    local c, how = self.table:column(item[1]), group.aggregates[item[2]]
    if not how then tide._fail(("agg: '%s' is no aggregate"):format(tostring(item[2]))) end
    out[#out + 1] = how(item[3] or c.name, c, self.ids, self.n)
  end
  return new(out, self.n, "agg")
end

--- count, mean, std, min, quartiles and max of the columns of numbers, a row each, as pandas.
function Table:describe()
  local out = { columns.of("statistic", { "count", "mean", "std", "min", "25%", "50%", "75%", "max" }) }
  local ids = tide.zeros({ self.rows }, { dtype = "int64" })
  for _, c in ipairs(self.columns) do
    if c.type == "int64" or c.type == "float64" then
      local parts = {}
      for i, how in ipairs { "count", "mean", "std", "min", 0.25, 0.5, 0.75, "max" } do
        local r = type(how) == "number" and group.quantile(c.name, c, ids, 1, how) or group.aggregates[how](c.name, c, ids, 1)
        parts[i] = r.values:to("float64")
      end
      out[#out + 1] = columns.new(c.name, "float64", tide.cat(parts, 1))
    end
  end
  return new(out, 8, "describe")
end

-- ---- joins ----

--- join(other, on, options): the rows of both whose cells in the column `on` (or in all of a list) are equal, in the order of
-- this table, then of the other; missing cells equal each other, as in pandas. options: how: "inner", "left" (rows of this
-- table without a partner stay, with missing cells) or "right"; suffixes {"_x", "_y"} for other columns of one name.
function Table:join(other, on, options)
  on = listed(on, "join")
  options = with_options("join", options, "how:string suffixes:strings")
  if getmetatable(other) ~= Table then tide._fail("join: expected a table of data, not a " .. type(other)) end
  if #on == 0 then tide._fail "join: no column to join on" end
  local how, suffixes = options.how or "inner", options.suffixes or { "_x", "_y" }
  if #suffixes ~= 2 then tide._fail("join: suffixes are two, for this table's columns and the other's") end
  if how == "right" then
    local j = other:join(self, on, { how = "left", suffixes = { suffixes[2], suffixes[1] } })
    return j
  end
  if how ~= "inner" and how ~= "left" then tide._fail(("join: how is inner, left or right, not %s"):format(tostring(how))) end
  local both, key = {}, {}
  for i, name in ipairs(on) do
    local a, b = self:column(name), other:column(name)
    key[name] = true
    if a.rows > 0 and b.rows > 0 and (a.type == "string") ~= (b.type == "string") then
      tide._fail(("join: column '%s' is %s here and %s there"):format(name, a.type, b.type))
    end
    both[i] = columns.concat(a, b)
  end
  local ids, n = group.number_rows(both)
  local rows, partners = group.pairs(ids:narrow(1, 1, self.rows), ids:narrow(1, self.rows + 1, other.rows), n and n + 1 or 0, how == "left")
  local absent = partners:lt(0)
  local out = {}
  local function add(c, clash, suffix)
    if clash then c.name = c.name .. suffix end
    out[#out + 1] = c
  end
  for _, c in ipairs(self.columns) do add(c:take(rows), not key[c.name] and other.by_name[c.name], suffixes[1]) end
  for _, c in ipairs(other.columns) do
    if not key[c.name] then add(c:take(partners, absent), self.by_name[c.name], suffixes[2]) end
  end
  return new(out, rows:numel(), "join")
end

-- ---- as text ----

local function decimals(list) -- as few as show the numbers to 6 decimals
  local most = 1
  for _, v in ipairs(list) do
    if v and v == v and math.abs(v) < 1e15 then
      local text = ("%.6f"):format(v):gsub("0+$", "")
      most = math.max(most, #text - text:find(".", 1, true))
    end
  end
  return most
end

local function cells(c)
  local list = c:tolist()
  local gone, text = c.missing and c.missing:tolist() or {}, {}
  local digits = c.type == "float64" and decimals(list)
  for i, v in ipairs(list) do
    if gone[i] then
      text[i] = "NaN"
    elseif not digits then
      text[i] = tostring(v):gsub("[\n\t\r]", " ")
      if utf8.len(text[i]) and utf8.len(text[i]) > 40 then text[i] = text[i]:sub(1, utf8.offset(text[i], 38) - 1) .. "..." end
    elseif math.abs(v) >= 1e15 then
      text[i] = ("%.6e"):format(v)
    else
      text[i] = (v ~= v or math.abs(v) == math.huge) and tostring(v) or ("%%.%df"):format(digits):format(v)
    end
  end
  return text
end

local function width(text) return utf8.len(text) or #text end

--- As pandas prints it: the first and last five rows of a long table, as many columns as 100 characters hold.
function Table:__tostring()
  if #self.columns == 0 then return ("Empty table: %d rows"):format(self.rows) end
  local long = self.rows > 20
  local shown = long and self:take(tide.cat({ tide.arange(5), tide.arange(5) + (self.rows - 5) }, 1)) or self
  local index = { "" }
  for i = 1, shown.rows do index[i + 1] = tostring(long and i > 5 and self.rows - 10 + i or i) end
  local blocks, used, left = { index }, width(index[#index]) + 1, 0
  for i, c in ipairs(shown.columns) do
    local block, wide = cells(c), width(c.name)
    table.insert(block, 1, c.name)
    for _, text in ipairs(block) do wide = math.max(wide, width(text)) end
    if used + wide + 2 > 100 and i > 1 then
      left = #shown.columns - i + 1
      break
    end
    used = used + wide + 2
    blocks[#blocks + 1] = block
  end
  local lines = {}
  for k, block in ipairs(blocks) do
    local wide = 0
    for _, text in ipairs(block) do wide = math.max(wide, width(text)) end
    for i = 1, shown.rows + 1 do
      local pad = (" "):rep(wide - width(block[i]))
      lines[i] = k == 1 and block[i] .. pad or lines[i] .. "  " .. pad .. block[i]
    end
  end
  for i = 1, #lines do lines[i] = left > 0 and lines[i] .. (i == 1 and "  ..." or "  ...") or lines[i] end
  if long then table.insert(lines, 7, ".." .. (" "):rep(math.max(0, used - 4)) .. "..") end
  if long or left > 0 then lines[#lines + 1] = ("\n[%d rows x %d columns]"):format(self.rows, #self.columns) end
  return table.concat(lines, "\n")
end

return Table
