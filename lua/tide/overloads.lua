--- Names that mean more than one operation, as in PyTorch, and conveniences over several operations.
local tide = require "tide.core"
local a_tensor = require("tide.arguments").tensor
local methods, F = tide._methods, tide.nn.functional

local function both(name, fn)
  tide[name] = fn
  methods[name] = fn
end

-- max(x), max(x, dim[, options]) -> values, indices, max(x, other)
local function extreme(all, along, pair)
  return function(x, by, options)
    if by == nil then return all(x) end
    if tide.is_tensor(by) then return pair(x, by) end
    if type(by) == "table" and by.dim then return along(x, by) end
    if options then return along(x, by, options) end
    return along(x, by)
  end
end
both("max", extreme(tide.amax, tide.max_dim, tide.maximum))
both("min", extreme(tide.amin, tide.min_dim, tide.minimum))
tide.max_dim, tide.min_dim, methods.max_dim, methods.min_dim = nil, nil, nil, nil

-- to(x, dtype) or to(x, "cpu")
local convert = tide.to
both("to", function(x, what)
  if what == "cpu" then return x end
  return convert(x, what)
end)
for name, dtype in pairs { float = "float32", double = "float64", half = "float16", bfloat16 = "bfloat16", long = "int64", int = "int32", bool = "bool" } do
  methods[name] = function(x) return convert(x, dtype) end
end

-- Towards another tensor's shape or dtype
for name, of in pairs { view = "shape", reshape = "shape", expand = "shape", type = "dtype" } do
  local act = of == "dtype" and convert or tide[name]
  methods[name .. "_as"] = function(x, other)
    return act(x, a_tensor(name .. "_as", "other", other)[of])
  end
end
methods.cpu = function(x) return tide.to(x, "cpu") end

both("t", function(x)
  a_tensor("t", "input", x)
  if x.ndim > 2 then tide._fail("t: takes at most 2 dims") end
  return x.ndim < 2 and x or x:transpose(1, 2)
end)

both("flatten", function(x, first, last)
  local shape, n = a_tensor("flatten", "input", x).shape, x.ndim
  if n == 0 then return x:reshape(1) end
  first, last = math.tointeger(first or 1), math.tointeger(last or -1)
  if not first or not last or first == 0 or last == 0 or math.max(first, last, -first, -last) > n then
    tide._fail(("[flatten] dims must be within 1 and %d, or negative from the end"):format(n))
  end
  if first < 0 then first = n + 1 + first end
  if last < 0 then last = n + 1 + last end
  local out, size = {}, 1
  for d = 1, n do
    if d >= first and d <= last then size = size * shape[d] else out[#out + 1] = shape[d] end
    if d == last then out[#out + 1] = size end
  end
  return x:reshape(out)
end)

for name, alias in pairs { swapaxes = "transpose", swapdims = "transpose", absolute = "abs", divide = "div", multiply = "mul", subtract = "sub",
  negative = "neg", clip = "clamp", concat = "cat", concatenate = "cat", greater = "gt", greater_equal = "ge", less = "lt", less_equal = "le",
  not_equal = "ne" } do
  tide[name] = tide[alias]
  if methods[alias] then methods[name] = methods[alias] end
end

for _, name in ipairs { "relu", "sigmoid", "tanh", "softmax", "log_softmax" } do F[name] = tide[name] end
F.relu_, F.dropout_ = tide.relu_, F.dropout_
tide.layer_norm, tide.rms_norm, tide.batch_norm, tide.embedding = F.layer_norm, F.rms_norm, F.batch_norm, nil

local nonzero = tide.nonzero
both("nonzero", function(x, options)
  local places = nonzero(x)
  if not (type(options) == "table" and options.as_tuple) then return places end
  if x.ndim == 0 then return { places:reshape({ -1 }) } end
  local list = {}
  for d = 1, x.ndim do list[d] = places:select(2, d) end
  return list
end)

local function two_tensors(name, x, y)
  if tide.is_tensor(x) and tide.is_tensor(y) then return end
  tide._fail(("%s: expected two tensors, not %s and %s"):format(name, tide.is_tensor(x) and "a tensor" or type(x), tide.is_tensor(y) and "a tensor" or type(y)))
end
local function all(mask) return mask:numel() == 0 or mask:amin():item() end

--- Whether two tensors have one shape and equal elements (NaN equals nothing): a Lua boolean.
both("equal", function(x, y)
  two_tensors("equal", x, y)
  if x.ndim ~= y.ndim then return false end
  local a, b = x.shape, y.shape
  for d = 1, #a do if a[d] ~= b[d] then return false end end
  return all(x:eq(y))
end)

--- Whether all elements are close, as in tide.isclose with the same options (rtol, atol, equal_nan): a Lua boolean.
both("allclose", function(x, y, options)
  two_tensors("allclose", x, y)
  if options then return all(tide.isclose(x, y, options)) end
  return all(tide.isclose(x, y))
end)
