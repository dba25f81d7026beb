--- Standardises each column: (x - mean) / standard deviation (with the count as divisor; a constant column is only
-- shifted), as scikit-learn's StandardScaler. x is (rows, columns).
local tide = require "tide.core"

local StandardScaler = { __name = "tide.data.StandardScaler" }
StandardScaler.__index = StandardScaler

--- Learns mean and scale, in float64.
function StandardScaler:fit(x)
  tide.no_grad(function()
    local d = x:to("float64")
    self.mean = d:mean(1)
    local std = d:std(1, { correction = 0 })
    self.scale = tide.where(std:eq(0.0), 1.0, std)
  end)
  return self
end

local function fitted(self)
  if not self.mean then error("StandardScaler: fit() first", 3) end
end

function StandardScaler:transform(x)
  fitted(self)
  return tide.no_grad(function() return ((x:to("float64") - self.mean) / self.scale):to(x.dtype) end)
end
function StandardScaler:inverse_transform(x)
  fitted(self)
  return tide.no_grad(function() return (x:to("float64") * self.scale + self.mean):to(x.dtype) end)
end
function StandardScaler:fit_transform(x) return self:fit(x):transform(x) end
function StandardScaler:state_dict()
  fitted(self)
  return { mean = self.mean, scale = self.scale }
end
function StandardScaler:load_state_dict(dict)
  self.mean, self.scale = dict.mean, dict.scale
  return self
end

return setmetatable({}, { __call = function() return setmetatable({}, StandardScaler) end, __index = StandardScaler })
