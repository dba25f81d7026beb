--- Scalers of columns: x is (rows, columns). fit learns from the rows in float64, whose NaNs it passes over; transform and
-- inverse_transform give x's dtype, float32 for integers, and keep NaNs; state_dict and load_state_dict keep what was learned and
-- the options. A constant column is only shifted. Definitions are scikit-learn's.
local tide = require "tide.core"
local expect = require("tide.arguments").one
local with_options = require "tide.options"
local M = {}

local EPS = 2.0 ^ -52

-- A class of scalers: y = (x - shift) / scale, where learn(self, x in float64) gives shift, scale and which columns are constant.
-- options: their names and kinds, as tide.options reads them.
local function class(name, options, defaults, learn)
  local Scaler = { __name = "tide.data." .. name }
  Scaler.__index = Scaler

  --- Learns from x (rows, columns), a tensor. Errors: other dims, no rows. -> the scaler
  function Scaler:fit(x)
    expect("tensor", name, "x", x)
    if x.ndim ~= 2 then tide._fail(("%s: expected (rows, columns), got %d dims"):format(name, x.ndim)) end
    if x.shape[1] == 0 then tide._fail(name .. ": no rows to learn from") end
    tide.no_grad(function()
      local shift, scale, constant = learn(self, x:to("float64"))
      self.learned = { shift = shift, scale = tide.where(constant, 1.0, scale) }
    end)
    return self
  end

  local function apply(self, x, f)
    expect("tensor", name, "x", x)
    local learned = self.learned or tide._fail(name .. ": fit() first")
    local columns = x.shape[x.ndim] or 0
    if columns ~= learned.shift.shape[1] then
      tide._fail(("%s: %d columns, learned from %d"):format(name, columns, learned.shift.shape[1]))
    end
    local dtype = x.dtype:find "float" and x.dtype or "float32"
    return tide.no_grad(function() return f(x:to("float64"), learned):to(dtype) end)
  end

  --- x scaled, in its dtype. Errors: fit() was not called, another number of columns.
  function Scaler:transform(x)
    return apply(self, x, function(d, l)
      local y = (d - l.shift) / l.scale
      return self.finish and self:finish(y) or y
    end)
  end
  --- What transform was given. Errors: as of transform.
  function Scaler:inverse_transform(x)
    return apply(self, x, function(d, l)
      if self.start then d = self:start(d) end
      return d * l.scale + l.shift
    end)
  end
  --- fit(x), then transform(x).
  function Scaler:fit_transform(x) return self:fit(x):transform(x) end

  local function configure(self, given)
    for key, value in pairs(with_options(name, given, options)) do self[key] = value end
    return self
  end
  --- {shift, scale} as float64 tensors, and the options.
  function Scaler:state_dict()
    if not self.learned then tide._fail(name .. ": fit() first") end
    local state = { shift = self.learned.shift, scale = self.learned.scale }
    for key in pairs(defaults) do state[key] = self[key] end
    return state
  end
  --- What another scaler learned, copied. Errors: no state of a scaler. -> the scaler
  function Scaler:load_state_dict(dict)
    expect("table", name, "state", dict)
    if not (tide.is_tensor(dict.shift) and tide.is_tensor(dict.scale)) then
      tide._fail(name .. ": expected the tensors 'shift' and 'scale'")
    end
    local given = {}
    for key in pairs(defaults) do given[key] = dict[key] end
    configure(self, given)
    self.learned = { shift = dict.shift:clone(), scale = dict.scale:clone() }
    return self
  end

  for key, value in pairs(defaults) do Scaler[key] = value end
  M[name] = setmetatable(Scaler, { __call = function(_, given) return configure(setmetatable({}, Scaler), given) end })
  return Scaler
end

-- Which cells are no NaN, and how many of each column.
local function present(x)
  local some = x:eq(x)
  return some, some:to("float64"):sum(1)
end

--- StandardScaler{with_mean = true, with_std = true}: (x - mean) / standard deviation, with the count as divisor.
class("StandardScaler", "with_mean:boolean with_std:boolean", { with_mean = true, with_std = true }, function(self, x)
  local some, n = present(x)
  local mean = tide.where(some, x, 0.0):sum(1) / n
  local off = tide.where(some, x - mean, 0.0)
  local var = (off * off):sum(1) / n
  local rounding = n * mean * EPS -- of a column whose values are all one
  return self.with_mean and mean or tide.zeros_like(mean), self.with_std and var:sqrt() or tide.ones_like(var),
    var:le(n * EPS * var + rounding * rounding)
end)

--- MinMaxScaler{feature_range = {0, 1}, clip = false}: the least value of a column goes to the first of the range, the
-- greatest to the second; clip keeps other rows inside it.
local MinMax = class("MinMaxScaler", "feature_range:range clip:boolean", { feature_range = { 0, 1 }, clip = false }, function(_, x)
  local some, n = present(x)
  local least, most = tide.where(some, x, math.huge):amin(1), tide.where(some, x, -math.huge):amax(1)
  local scale = tide.where(n:eq(0.0), 0 / 0, most - least)
  return least, scale, scale:lt(10 * EPS)
end)
--- From [0, 1] to feature_range, the last step of transform.
function MinMax:finish(y)
  local low, high = table.unpack(self.feature_range)
  y = y * (high - low) + low
  return self.clip and y:clamp(low, high) or y
end
--- From feature_range to [0, 1], the first step of inverse_transform.
function MinMax:start(y)
  local low, high = table.unpack(self.feature_range)
  return (y - low) / (high - low)
end

-- The q-th part of the first n cells of each column of sorted x, between its neighbours in proportion, as numpy.percentile.
local function quantile(sorted, n, q)
  local place = ((n - 1) * q):clamp(0.0):unsqueeze(1)
  local low = place:floor()
  local a, b = sorted:gather(1, low:to("int64")), sorted:gather(1, place:ceil():to("int64"))
  return (a + (b - a) * (place - low)):squeeze(1)
end

--- RobustScaler{quantile_range = {25, 75}}: (x - median) / (the distance between two percentiles).
class("RobustScaler", "quantile_range:range", { quantile_range = { 25, 75 } }, function(self, x)
  local low, high = table.unpack(self.quantile_range)
  if low < 0 or high > 100 then tide._fail("RobustScaler: quantile_range must lie within 0 and 100") end
  local _, n = present(x)
  local sorted = x:sort(1) -- NaNs last
  local scale = quantile(sorted, n, high / 100) - quantile(sorted, n, low / 100)
  return quantile(sorted, n, 0.5), scale, scale:lt(10 * EPS)
end)

return M
