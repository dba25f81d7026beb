--- Scalers of columns: x is (rows, columns). fit learns from the rows in float64; transform and inverse_transform give x's
-- dtype; state_dict and load_state_dict keep what was learned. A constant column is only shifted. Definitions are
-- scikit-learn's.
local tide = require "tide.core"
local expect = require("tide.arguments").one
local with_options = require "tide.options"
local M = {}

-- A class of scalers: y = (x - shift) / scale, where learn(self, x in float64) gives shift and scale.
local function class(name, defaults, learn)
  local Scaler = { __name = "tide.data." .. name }
  Scaler.__index = Scaler

  --- Learns from x (rows, columns), a tensor. Errors: other dims, no rows. -> the scaler
  function Scaler:fit(x)
    expect("tensor", name, "x", x)
    if x.ndim ~= 2 then tide._fail(("%s: expected (rows, columns), got %d dims"):format(name, x.ndim)) end
    if x.shape[1] == 0 then tide._fail(name .. ": no rows to learn from") end
    tide.no_grad(function()
      local shift, scale = learn(self, x:to("float64"))
      self.learned = { shift = shift, scale = tide.where(scale:eq(0.0), 1.0, scale) }
    end)
    return self
  end

  local function apply(self, x, f)
    expect("tensor", name, "x", x)
    local learned = self.learned or tide._fail(name .. ": fit() first")
    if x.shape[x.ndim] ~= learned.shift.shape[1] then
      tide._fail(("%s: %d columns, learned from %d"):format(name, x.shape[x.ndim], learned.shift.shape[1]))
    end
    return tide.no_grad(function() return f(x:to("float64"), learned):to(x.dtype) end)
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
  --- {shift, scale} as float64 tensors.
  function Scaler:state_dict()
    if not self.learned then tide._fail(name .. ": fit() first") end
    return { shift = self.learned.shift, scale = self.learned.scale }
  end
  --- What another scaler learned, copied. Errors: no state of a scaler. -> the scaler
  function Scaler:load_state_dict(dict)
    expect("table", name, "state", dict)
    if not (tide.is_tensor(dict.shift) and tide.is_tensor(dict.scale)) then
      tide._fail(name .. ": expected the tensors 'shift' and 'scale'")
    end
    self.learned = { shift = dict.shift:clone(), scale = dict.scale:clone() }
    return self
  end

  local known = {}
  for key in pairs(defaults) do known[#known + 1] = key end
  table.sort(known)
  known = table.concat(known, " ")
  local function make(_, options)
    local self = setmetatable({}, Scaler)
    for key, value in pairs(defaults) do self[key] = value end
    for key, value in pairs(with_options(name, options, known)) do self[key] = value end
    return self
  end
  M[name] = setmetatable(Scaler, { __call = make })
  return Scaler
end

--- StandardScaler{with_mean = true, with_std = true}: (x - mean) / standard deviation, with the count as divisor.
class("StandardScaler", { with_mean = true, with_std = true }, function(self, x)
  local mean, std = x:mean(1), x:std(1, { correction = 0 })
  return self.with_mean and mean or tide.zeros_like(mean), self.with_std and std or tide.ones_like(std)
end)

--- MinMaxScaler{feature_range = {0, 1}, clip = false}: the least value of a column goes to the first of the range, the
-- greatest to the second; clip keeps other rows inside it.
local MinMax = class("MinMaxScaler", { feature_range = { 0, 1 }, clip = false }, function(self, x)
  local low, high = table.unpack(self.feature_range)
  if low >= high then tide._fail("MinMaxScaler: feature_range must rise") end
  local least = x:amin(1)
  return least, x:amax(1) - least
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

-- The q-th part of each column of sorted x, between its neighbours in proportion, as numpy.percentile.
local function quantile(sorted, q)
  local n = sorted.shape[1]
  local place = q * (n - 1)
  local low = math.floor(place)
  local a, b = sorted[low + 1], sorted[math.min(low + 2, n)]
  return a + (b - a) * (place - low)
end

--- RobustScaler{quantile_range = {25, 75}}: (x - median) / (the distance between two percentiles).
class("RobustScaler", { quantile_range = { 25, 75 } }, function(self, x)
  local low, high = table.unpack(self.quantile_range)
  if not (low >= 0 and low < high and high <= 100) then tide._fail("RobustScaler: quantile_range must rise within 0 and 100") end
  local sorted = x:sort(1)
  return quantile(sorted, 0.5), quantile(sorted, high / 100) - quantile(sorted, low / 100)
end)

return M
