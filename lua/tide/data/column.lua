--- A named column of a table. `values` is a tensor: int64, float64 or bool cells, or for text the place of each cell's text in
-- the sequence `levels` (from 0; -1 where missing). `missing` is a bool tensor, or nil when no cell is. As pandas has it: a
-- missing number makes the column float64, with NaN.
local tide = require "tide.core"
local with_options = require "tide.options"

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

-- What the cells of a list are, numbers one kind; NaN is missing, and so is false among numbers and texts.
local function same_kind(list, name)
  local kind, some_false
  for i = 1, #list do
    local v = list[i]
    local k = math.type(v) or type(v)
    if k ~= "integer" and k ~= "float" and k ~= "boolean" and k ~= "string" then
      tide._fail(("column '%s': row %d is a %s"):format(name, i, k))
    end
    some_false = some_false or v == false
    if v and v == v then
      if kind == "integer" and k == "float" then kind = "float" elseif kind == "float" and k == "integer" then k = "float" end
      if kind and kind ~= k then tide._fail(("column '%s': row %d is a %s, those before are %ss"):format(name, i, k, kind)) end
      kind = k
    end
  end
  return kind or (some_false and "boolean") or "float"
end

local function tensor(list, dtype) return #list > 0 and tide.tensor(list, { dtype = dtype }) or tide.zeros({ 0 }, { dtype = dtype }) end
M.tensor = tensor

--- From a Lua sequence, where false is a missing number or text and NaN a missing cell of any type, or a 1-d tensor.
function M.of(name, list)
  if getmetatable(list) == Column then return M.new(name, list.type, list.values, list.missing, list.levels) end
  if tide.is_tensor(list) then
    if list.ndim ~= 1 then tide._fail(("column '%s': expected a 1-d tensor, got %d dims"):format(name, list.ndim)) end
    local dtype = list.dtype:find("^float") and "float64" or list.dtype == "bfloat16" and "float64" or list.dtype == "bool" and "bool" or "int64"
    return M.new(name, dtype, list:to(dtype))
  end
  if type(list) ~= "table" then tide._fail(("column '%s': expected a sequence or a 1-d tensor, not a %s"):format(name, type(list))) end
  local kind = same_kind(list, name)
  local cells, gone, levels, code = {}, {}, kind == "string" and {} or nil, {}
  for i, v in ipairs(list) do
    gone[i] = v ~= v or not v and kind ~= "boolean"
    if kind == "boolean" then
      cells[i] = v and not gone[i]
    elseif kind == "string" then
      if not gone[i] and not code[v] then
        levels[#levels + 1] = v
        code[v] = #levels - 1
      end
      cells[i] = gone[i] and -1 or code[v]
    else
      cells[i] = gone[i] and 0 or v
    end
  end
  local type = ({ boolean = "bool", integer = "int64", float = "float64", string = "string" })[kind]
  return M.new(name, type, tensor(cells, levels and "int64" or type), tensor(gone, "bool"), levels)
end

--- The column's values as a tensor. options: dtype (float32). Strings and missing cells raise.
function Column:tensor(options)
  local dtype = with_options("tensor", options, "dtype:string").dtype or "float32"
  if self.type == "string" then tide._fail(("column '%s' holds strings"):format(self.name)) end
  if self.missing then tide._fail(("column '%s' has missing cells: dropna() first"):format(self.name)) end
  return self.values:to(dtype)
end

function Column:__len() return self.rows end

--- The values as a Lua sequence; missing cells are false, in a bool column NaN.
function Column:tolist()
  local list = self.values:tolist()
  if self.type == "string" then
    for i, code in ipairs(list) do list[i] = self.levels[code + 1] or false end
  end
  if self.missing then
    for i, m in ipairs(self.missing:tolist()) do
      if m then list[i] = self.type == "bool" and nan end
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

--- Cells of a, then of b, with one set of keys: text by text, numbers as float64 where the types differ. No cells have no type.
function M.concat(a, b)
  if a.rows == 0 or b.rows == 0 then return a.rows == 0 and b or a end
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
