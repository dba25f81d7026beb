--- Categories as numbers: LabelEncoder and OneHotEncoder learn the sorted distinct values of a list (strings, numbers or
-- booleans), a table's column, or a tensor of integers.
local tide = require "tide.core"
local expect = require("tide.arguments").one
local with_options = require "tide.options"
local Column = require("tide.data.column").Column
local M = {}

local function values(x, name)
  expect("table|tensor", name, "x", x)
  if tide.is_tensor(x) and x.ndim ~= 1 then tide._fail(("%s: expected a 1-d tensor, got %d dims"):format(name, x.ndim)) end
  if getmetatable(x) == Column and x.missing then tide._fail(("%s: column '%s' has missing cells: dropna() first"):format(name, x.name)) end
  return x.tolist and x:tolist() or x
end

local rank = { boolean = 1, number = 2, string = 3 }
local function before(a, b)
  local s, t = type(a), type(b)
  if s ~= t then return rank[s] < rank[t] end
  if s == "boolean" then return not a and b end
  return a < b
end

-- The sorted distinct values, and the number (from 0) of each.
local function learn(list, name)
  local seen, classes = {}, {}
  for i, v in ipairs(list) do
    if not rank[type(v)] or v ~= v then tide._fail(("%s: value %d is no category: %s"):format(name, i, tostring(v))) end
    if not seen[v] then
      seen[v] = true
      classes[#classes + 1] = v
    end
  end
  table.sort(classes, before)
  return classes
end

local function numbered(classes)
  local code = {}
  for i, v in ipairs(classes) do code[v] = i - 1 end
  return code
end

-- options: their names and kinds, as tide.options reads them.
local function class(name, options, defaults)
  local Encoder = { __name = "tide.data." .. name }
  Encoder.__index = Encoder
  --- Learns the categories.
  function Encoder:fit(x)
    self.classes = learn(values(x, name), name)
    self.code = numbered(self.classes)
    return self
  end
  --- fit(x), then transform(x).
  function Encoder:fit_transform(x) return self:fit(x):transform(x) end
  local function configure(self, given)
    for key, value in pairs(with_options(name, given, options)) do self[key] = value end
    return self
  end
  --- {classes}, the list of categories, and the options. Errors: fit() was not called.
  function Encoder:state_dict()
    if not self.classes then tide._fail(name .. ": fit() first") end
    local state = { classes = table.move(self.classes, 1, #self.classes, 1, {}) }
    for key in pairs(defaults) do state[key] = self[key] end
    return state
  end
  --- The categories of a state_dict, copied. Errors: no list of categories. -> the encoder
  function Encoder:load_state_dict(dict)
    expect("table", name, "state", dict)
    if type(dict.classes) ~= "table" then tide._fail(name .. ": expected the list 'classes'") end
    local given = {}
    for key in pairs(defaults) do given[key] = dict[key] end
    configure(self, given)
    self.classes = table.move(dict.classes, 1, #dict.classes, 1, {})
    self.code = numbered(self.classes)
    return self
  end
  for key, value in pairs(defaults) do Encoder[key] = value end
  M[name] = setmetatable(Encoder, { __call = function(_, given) return configure(setmetatable({}, Encoder), given) end })
  return Encoder
end

local function codes(self, x, name, unknown)
  if not self.classes then tide._fail(name .. ": fit() first") end
  local out, n = {}, 0
  for i, v in ipairs(values(x, name)) do
    n = i
    out[i] = self.code[v] or unknown or tide._fail(("%s: value %d was not seen by fit: %s"):format(name, i, tostring(v)))
  end
  return n > 0 and tide.tensor(out, { dtype = "int64" }) or tide.zeros({ 0 }, { dtype = "int64" })
end

--- LabelEncoder(): transform gives int64 codes, counted from 0 in the order of the sorted values (as class indices are);
-- inverse_transform gives the values back.
local Label = class("LabelEncoder", "", {})
--- The codes of values, int64 (rows). Errors: fit() was not called, a value it has not seen.
function Label:transform(x) return codes(self, x, "LabelEncoder") end
--- The list of values that codes (a tensor) stand for. Errors: fit() was not called, a code of no value.
function Label:inverse_transform(x)
  if not self.classes then tide._fail("LabelEncoder: fit() first") end
  expect("tensor", "LabelEncoder", "codes", x)
  if x.ndim ~= 1 or x.dtype == "bool" then tide._fail("LabelEncoder: codes must be a 1-d tensor of integers") end
  local list = {}
  for i, c in ipairs(x:tolist()) do
    list[i] = self.classes[c + 1]
    if list[i] == nil then tide._fail("LabelEncoder: no class has the code " .. c) end
  end
  return list
end

--- OneHotEncoder{ignore_unknown = false, dtype = "float32"}: transform gives (rows, categories); a value that fit has not
-- seen is an error, or a row of zeros.
local OneHot = class("OneHotEncoder", "ignore_unknown:boolean dtype:string", { ignore_unknown = false, dtype = "float32" })
--- (rows, categories): 1 in the column of the value. Errors: fit() was not called, a value it has not seen.
function OneHot:transform(x)
  local c = codes(self, x, "OneHotEncoder", self.ignore_unknown and -1 or nil)
  return c:reshape({ -1, 1 }):eq(tide.arange(#self.classes)):to(self.dtype)
end
--- The list of values of rows of (rows, categories); false for a row of zeros. Errors: fit() was not called.
function OneHot:inverse_transform(x)
  if not self.classes then tide._fail("OneHotEncoder: fit() first") end
  local list = {}
  expect("tensor", "OneHotEncoder", "x", x)
  local some = x:amax(2):tolist()
  for i, c in ipairs(x:argmax(2):tolist()) do list[i] = some[i] ~= 0 and self.classes[c + 1] or false end
  return list
end

return M
