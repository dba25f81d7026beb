--- Categories as numbers: LabelEncoder and OneHotEncoder learn the sorted distinct values of a list (strings, numbers or
-- booleans), a table's column, or a tensor of integers.
local tide = require "tide.core"
local expect = require("tide.arguments").one
local with_options = require "tide.options"
local M = {}

local function values(x, name)
  if type(x) ~= "table" and not tide.is_tensor(x) then tide._fail(name .. ": expected a list, a column or a tensor") end
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

local function class(name, options)
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
  --- {classes}: the list of categories. Errors: fit() was not called.
  function Encoder:state_dict()
    if not self.classes then tide._fail(name .. ": fit() first") end
    return { classes = table.move(self.classes, 1, #self.classes, 1, {}) }
  end
  --- The categories of a state_dict, copied. Errors: no list of categories. -> the encoder
  function Encoder:load_state_dict(dict)
    expect("table", name, "state", dict)
    if type(dict.classes) ~= "table" then tide._fail(name .. ": expected the list 'classes'") end
    self.classes = table.move(dict.classes, 1, #dict.classes, 1, {})
    self.code = numbered(self.classes)
    return self
  end
  local known = {}
  for key in pairs(options) do known[#known + 1] = key end
  table.sort(known)
  known = table.concat(known, " ")
  M[name] = setmetatable(Encoder, { __call = function(_, given)
    local self = setmetatable({}, Encoder)
    for key, value in pairs(options) do self[key] = value end
    for key, value in pairs(with_options(name, given, known)) do self[key] = value end
    return self
  end })
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
local Label = class("LabelEncoder", {})
--- The codes of values, int64 (rows). Errors: fit() was not called, a value it has not seen.
function Label:transform(x) return codes(self, x, "LabelEncoder") end
--- The list of values that codes (a tensor) stand for. Errors: fit() was not called, a code of no value.
function Label:inverse_transform(x)
  if not self.classes then tide._fail("LabelEncoder: fit() first") end
  local list = {}
  for i, c in ipairs(expect("tensor", "LabelEncoder", "codes", x):tolist()) do list[i] = self.classes[c + 1] or tide._fail("LabelEncoder: no class has the code " .. c) end
  return list
end

--- OneHotEncoder{ignore_unknown = false, dtype = "float32"}: transform gives (rows, categories); a value that fit has not
-- seen is an error, or a row of zeros.
local OneHot = class("OneHotEncoder", { ignore_unknown = false, dtype = "float32" })
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
