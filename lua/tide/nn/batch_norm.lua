--- Normalise each channel over the batch (Ioffe and Szegedy, arXiv 1502.03167), or over each example alone (InstanceNorm; Ulyanov
-- et al., arXiv 1607.08022).
--   nn.BatchNorm2d(num_features, {eps = 1e-5, momentum = 0.1, affine = true, track_running_stats = true, dtype})
--   nn.InstanceNorm2d(num_features, {eps = 1e-5, momentum = 0.1, affine = false, track_running_stats = false, dtype})
-- momentum = false: the running statistics are the means over all batches so far (not InstanceNorm, as in PyTorch).
local tide = require "tide.core"
local Module = require("tide.nn.module").Module
local arguments = require "tide.arguments"

local function class(name, affine, track)
  local Norm = Module:extend(name)
  local read = arguments(name, "num_features eps momentum:number|false affine track_running_stats dtype", 1,
    { eps = 1e-5, momentum = 0.1, affine = affine, track_running_stats = track })

  function Norm:init(...)
    local a = read(...)
    self.num_features, self.eps, self.momentum = a.num_features, a.eps, a.momentum
    local size, o = { a.num_features }, { dtype = a.dtype }
    if a.affine then
      self.weight = tide.ones(size, o):requires_grad_(true)
      self.bias = tide.zeros(size, o):requires_grad_(true)
    end
    if a.track_running_stats then
      self:register_buffer("running_mean", tide.zeros(size, o))
      self:register_buffer("running_var", tide.ones(size, o))
      self:register_buffer("num_batches_tracked", tide.zeros({}, { dtype = "int64" }))
    end
  end

  function Norm:extra() return tostring(self.num_features) end
  return Norm
end

-- The share of this batch in the running statistics; counts it.
local function share(self)
  if not (self.training and self.num_batches_tracked) then return self.momentum or 0.0 end
  self.num_batches_tracked:add_(1)
  return self.momentum or 1.0 / self.num_batches_tracked:item()
end

local function want_dims(name, x, dims, features)
  arguments.tensor(name, "input", x)
  if not dims[x.ndim] then tide._fail(("[%s] an input of %d dims"):format(name, x.ndim)) end
  local channels = x.shape[dims[x.ndim]]
  if channels ~= features then tide._fail(("[%s] %d channels for %d features"):format(name, channels, features)) end
end

-- dims: where the channels are, by the input's number of dims
local function batch(name, dims)
  local Norm = class(name, true, true)
  function Norm:forward(x)
    want_dims(name, x, dims, self.num_features)
    return tide.nn.functional.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias,
      { training = self.training or not self.running_mean, momentum = share(self), eps = self.eps })
  end
  return Norm
end

local function instance(name, n)
  local Norm = class(name, false, false)
  local dims = { [n + 1] = 1, [n + 2] = 2 }
  function Norm:forward(x)
    want_dims(name, x, dims, self.num_features)
    local alone = x.ndim == n + 1
    local y = tide.nn.functional.instance_norm(alone and x:unsqueeze(1) or x, self.running_mean, self.running_var, self.weight, self.bias,
      self.training or not self.running_mean, self.momentum or 0.0, self.eps)
    return alone and y:squeeze(1) or y
  end
  return Norm
end

return {
  BatchNorm1d = batch("BatchNorm1d", { [2] = 2, [3] = 2 }), BatchNorm2d = batch("BatchNorm2d", { [4] = 2 }),
  BatchNorm3d = batch("BatchNorm3d", { [5] = 2 }),
  InstanceNorm1d = instance("InstanceNorm1d", 1), InstanceNorm2d = instance("InstanceNorm2d", 2), InstanceNorm3d = instance("InstanceNorm3d", 3),
}
