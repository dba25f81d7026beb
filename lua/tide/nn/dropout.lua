--- Dropout(p): zeroes elements with probability p (0.5) while training, and scales the others by 1 / (1 - p) (Srivastava et al.
-- 2014). Dropout1d, 2d and 3d zero whole channels of (batch, channels, ...) (Tompson et al., arXiv 1411.4280).
local tide = require "tide.core"
local Module = require("tide.nn.module").Module
local arguments = require "tide.arguments"

local function class(name, ndim)
  local Dropout = Module:extend(name)
  local read = arguments(name, "p", 0, { p = 0.5 })

  function Dropout:init(...)
    self.p = read(...).p
    if self.p < 0 or self.p > 1 then tide._fail(("[%s] p must lie in [0, 1], not %g"):format(name, self.p)) end
  end
  function Dropout:forward(x)
    if not self.training then return x end
    arguments.tensor(name, "input", x)
    if not ndim then return tide.nn.functional.dropout(x, { p = self.p }) end
    if x.ndim ~= ndim and x.ndim ~= ndim - 1 then tide._fail(("[%s] an input of %d dims"):format(name, x.ndim)) end
    local shape = x.shape
    for d = x.ndim - ndim + 3, x.ndim do shape[d] = 1 end
    return x * tide.nn.functional.dropout(tide.ones(shape, { dtype = x.dtype }), { p = self.p })
  end
  function Dropout:extra() return ("p=%g"):format(self.p) end
  return Dropout
end

return { Dropout = class("Dropout"), Dropout1d = class("Dropout1d", 3), Dropout2d = class("Dropout2d", 4), Dropout3d = class("Dropout3d", 5) }
