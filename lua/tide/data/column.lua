--- A named column of a table. `values` is a tensor: int64, float64 or bool cells, or for text the place of each cell's text in
-- the sequence `levels` (from 0; -1 where missing). `missing` is a bool tensor, or nil when no cell is. As pandas has it: a
-- missing number makes the column float64, with NaN.
local tide = require "tide.core"

local Column = { __name = "tide.data.Column" }
Column.__index = Column
local M = { Column = Column }

local nan = 0 / 0

--- From parts: name, type ("int64", "float64", "bool" or "string"), values[, missing[, levels]].
function M.new(name, type, values, missing, levels)
  if type == "float64" and not missing then missing = values:ne(values) end
  if missing and missing:sum():item() == 0 then missing = nil end
  if missing and type == "int64" then type, values = "float64", values:to("float64") end
  if missing and type == "float64" then values = tide.where(missing, nan, values) end
  return setmetatable({ name = name, type = type, values = values, missing = missing, levels = levels, rows = values:numel() }, Column)
end

local function same_kind(list, name)
  local kind
  for i = 1, #list do
    local v = list[i]
    local k = math.type(v) or type(v)
    if k ~= "integer" and k ~= "float" and k ~= "boolean" and k ~= "string" then
      tide._fail(("column '%s': row %d is a %s"):format(name, i, k))
    end
    if not (v == false and kind and kind ~= "boolean") then -- there false means missing
      if kind == "integer" and k == "float" then kind = "float" elseif kind == "float" and k == "integer" then k = "float" end
      if kind and kind ~= k and not (kind == "boolean" and M.all_false(list, i - 1)) then
        tide._fail(("column '%s': row %d is a %s, those before are %ss"):format(name, i, k, kind))
      end
      kind = k
    end
  end
  return kind or "float"
end

function M.all_false(list, n)
  for i = 1, n do
    if list[i] then return false end
  end
  return true
end

local function tensor(list, dtype) return #list > 0 and tide.tensor(list, { dtype = dtype }) or tide.zeros({ 0 }, { dtype = dtype }) end
M.tensor = tensor

--- From a Lua sequence (false: a missing number or text) or a 1-d tensor.
function M.of(name, list)
  if getmetatable(list) == Column then return M.new(name, list.type, list.values, list.missing, list.levels) end
  if tide.is_tensor(list) then
    if list.ndim ~= 1 then tide._fail(("column '%s': expected a 1-d tensor, got %d dims"):format(name, list.ndim)) end
    local dtype = list.dtype:find("^float") and "float64" or list.dtype == "bfloat16" and "float64" or list.dtype == "bool" and "bool" or "int64"
    return M.new(name, dtype, list:to(dtype))
  end
  if type(list) ~= "table" then tide._fail(("column '%s': expected a sequence or a 1-d tensor, not a %s"):format(name, type(list))) end
  local kind = same_kind(list, name)
  if kind == "boolean" then return M.new(name, "bool", tensor(list, "bool")) end
  local cells, gone, some = {}, {}, false
  if kind == "string" then
    local levels, code = {}, {}
    for i, v in ipairs(list) do
      gone[i] = not v
      some = some or not v
      if v and not code[v] then
        levels[#levels + 1] = v
        code[v] = #levels - 1
      end
      cells[i] = v and code[v] or -1
    end
    return M.new(name, "string", tensor(cells, "int64"), some and tensor(gone, "bool") or nil, levels)
  end
  for i, v in ipairs(list) do
    gone[i], cells[i] = not v, v or 0
    some = some or not v
  end
  local dtype = kind == "integer" and "int64" or "float64"
  return M.new(name, dtype, tensor(cells, dtype), some and tensor(gone, "bool") or nil)
end

--- The column's values as a tensor. options: dtype (float32). Strings and missing cells raise.
function Column:tensor(options)
  local dtype = options and options.dtype or "float32"
  if self.type == "string" then tide._fail(("column '%s' holds strings"):format(self.name)) end
  if self.missing then tide._fail(("column '%s' has missing cells: dropna() first"):format(self.name)) end
  return self.values:to(dtype)
end

function Column:__len() return self.rows end

--- The values as a Lua sequence; missing cells are false.
function Column:tolist()
  local list = self.values:tolist()
  if self.type == "string" then
    for i, code in ipairs(list) do list[i] = self.levels[code + 1] or false end
  end
  if self.missing then
    for i, m in ipairs(self.missing:tolist()) do
      if m then list[i] = false end
    end
  end
  return list
end

local function like(c, values, missing)
  if missing then return M.new(c.name, c.type, values, missing, c.levels) end -- perhaps none is any more
  return setmetatable({ name = c.name, type = c.type, values = values, levels = c.levels, rows = values:numel() }, Column)
end

--- The cells where `mask` is true. whole: it is known that none of them is missing.
function Column:keep(mask, whole)
  return like(self, tide._keep(self.values, mask), not whole and self.missing and tide._keep(self.missing, mask))
end

--- The cells at these rows (int64, from 0; -1: a missing cell), under the same name.
function Column:take(index, absent)
  local places = absent and index:clamp(0) or index
  local values, missing
  if absent and self.rows == 0 then
    values, missing = tide.zeros({ index:numel() }, { dtype = self.values.dtype }), tide.ones({ index:numel() }, { dtype = "bool" })
  else
    values = self.values:index_select(1, places)
    missing = self.missing and self.missing:index_select(1, places)
    if absent then missing = missing and (missing | absent) or absent end
  end
  if self.type == "string" and absent then values = tide.where(absent, -1, values) end
  return like(self, values, missing)
end

--- Numbers that order the cells as their values are ordered: for text the rank of each text.
function Column:keys()
  if self.type == "bool" then return self.values:to("int64") end
  if self.type ~= "string" then return self.values end
  if self.ranks then return self.ranks end
  local order, rank = {}, {}
  for i = 1, #self.levels do order[i] = i end
  table.sort(order, function(a, b) return self.levels[a] < self.levels[b] end)
  for r, i in ipairs(order) do rank[i] = r - 1 end
  if #rank == 0 then return self.values end
  self.ranks = tensor(rank, "int64"):index_select(1, self.values:clamp(0))
  return self.ranks
end

--- With missing cells replaced by `value`.
function Column:fillna(value)
  if not self.missing then return self end
  if self.type == "string" then
    if type(value) ~= "string" then tide._fail(("column '%s' holds strings, not a %s"):format(self.name, type(value))) end
    local levels = table.move(self.levels, 1, #self.levels, 1, {})
    local code
    for i, v in ipairs(levels) do code = v == value and i - 1 or code end
    if not code then
      levels[#levels + 1] = value
      code = #levels - 1
    end
    return M.new(self.name, "string", tide.where(self.missing, code, self.values), nil, levels)
  end
  if self.type == "bool" and type(value) ~= "boolean" or self.type ~= "bool" and type(value) ~= "number" then
    tide._fail(("column '%s' holds %s, not a %s"):format(self.name, self.type, type(value)))
  end
  if self.type == "bool" then
    local present = self.values & ~self.missing
    return M.new(self.name, "bool", value and (present | self.missing) or present)
  end
  return M.new(self.name, self.type, tide.where(self.missing, value + 0.0, self.values))
end

--- Cells of a, then of b, with one set of keys: text by text, numbers as float64 where the types differ.
function M.concat(a, b)
  local missing
  if a.missing or b.missing then
    local function mask(c) return c.missing or tide.zeros({ c.rows }, { dtype = "bool" }) end
    missing = tide.cat({ mask(a), mask(b) }, 1)
  end
  if a.type ~= "string" then
    local kind = a.type == b.type and a.type or "float64"
    return M.new(a.name, kind, tide.cat({ a.values:to(kind), b.values:to(kind) }, 1), missing)
  end
  local levels, code, places = table.move(a.levels, 1, #a.levels, 1, {}), {}, {}
  for i, v in ipairs(levels) do code[v] = i - 1 end
  for i, v in ipairs(b.levels) do
    if not code[v] then
      levels[#levels + 1] = v
      code[v] = #levels - 1
    end
    places[i] = code[v]
  end
  local moved = #places > 0 and tensor(places, "int64"):index_select(1, b.values:clamp(0)) or b.values
  return M.new(a.name, "string", tide.cat({ a.values, moved }, 1), missing, levels)
end

return M
