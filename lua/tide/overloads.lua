--- Names that mean more than one operation, as in PyTorch, and conveniences over several operations.
local tide = require "tide.core"
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

both("t", function(x)
  if x.ndim > 2 then error("t: takes at most 2 dims", 2) end
  return x.ndim < 2 and x or x:transpose(1, 2)
end)

both("flatten", function(x, first, last)
  local shape, n = x.shape, x.ndim
  if n == 0 then return x:reshape(1) end
  first, last = first or 1, last or -1
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
  if not (options and options.as_tuple) then return places end
  if x.ndim == 0 then return { places:reshape({ -1 }) } end
  local list = {}
  for d = 1, x.ndim do list[d] = places:select(2, d) end
  return list
end)
