local tide = require "tide.core"
local Module = require("tide.nn.module").Module

--- Normalises each channel over the batch. options: eps (1e-5), momentum (0.1), affine (true),
-- track_running_stats (true), dtype.
local function class(name, ndims)
  local BatchNorm = Module:extend(name)

  function BatchNorm:init(num_features, options)
    options = options or {}
    self.num_features, self.eps, self.momentum = num_features, options.eps or 1e-5, options.momentum or 0.1
    local o = { dtype = options.dtype }
    if options.affine ~= false then
      self.weight = tide.ones({ num_features }, o):requires_grad_(true)
      self.bias = tide.zeros({ num_features }, o):requires_grad_(true)
    end
    if options.track_running_stats ~= false then
      self:register_buffer("running_mean", tide.zeros({ num_features }, o))
      self:register_buffer("running_var", tide.ones({ num_features }, o))
    end
  end

  function BatchNorm:forward(x)
    if not ndims[#x.shape] then error(("%s: an input of %d dims"):format(name, #x.shape), 2) end
    return tide.nn.functional.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias,
      { training = self.training or not self.running_mean, momentum = self.momentum, eps = self.eps })
  end

  function BatchNorm:extra() return tostring(self.num_features) end
  return BatchNorm
end

return { BatchNorm1d = class("BatchNorm1d", { [2] = true, [3] = true }), BatchNorm2d = class("BatchNorm2d", { [4] = true }) }
