--- Normalisations within each example.
--   nn.LayerNorm(normalized_shape, {eps = 1e-5, elementwise_affine = true, bias = true, dtype}): the last dims, whose sizes are
--     normalized_shape, an int or a table (Ba et al., arXiv 1607.06450)
--   nn.RMSNorm(normalized_shape, {eps, elementwise_affine = true, dtype}): divides by the root of their mean square (Zhang and
--     Sennrich, arXiv 1910.07467)
--   nn.GroupNorm(num_groups, num_channels, {eps = 1e-5, affine = true, dtype}): groups of channels (Wu and He, arXiv 1803.08494)
local tide = require "tide.core"
local Module = require("tide.nn.module").Module
local arguments = require "tide.arguments"

local function shape_of(x) return type(x) == "table" and x or { x } end
local function affine(self, shape, dtype, bias)
  self.weight = tide.ones(shape, { dtype = dtype }):requires_grad_(true)
  if bias then self.bias = tide.zeros(shape, { dtype = dtype }):requires_grad_(true) end
end

local LayerNorm = Module:extend("LayerNorm")
local read_layer = arguments("LayerNorm", "normalized_shape eps elementwise_affine bias dtype", 1, { eps = 1e-5, elementwise_affine = true, bias = true })
function LayerNorm:init(...)
  local a = read_layer(...)
  self.normalized_shape, self.eps = shape_of(a.normalized_shape), a.eps
  if a.elementwise_affine then affine(self, self.normalized_shape, a.dtype, a.bias) end
end
function LayerNorm:forward(x) return tide.nn.functional.layer_norm(x, self.normalized_shape, self.weight, self.bias, { eps = self.eps }) end
function LayerNorm:extra() return table.concat(self.normalized_shape, "x") end

local RMSNorm = Module:extend("RMSNorm")
local read_rms = arguments("RMSNorm", "normalized_shape eps elementwise_affine dtype", 1, { elementwise_affine = true })
function RMSNorm:init(...)
  local a = read_rms(...)
  self.normalized_shape, self.eps = shape_of(a.normalized_shape), a.eps
  if a.elementwise_affine then affine(self, self.normalized_shape, a.dtype) end
end
function RMSNorm:forward(x)
  if self.eps then return tide.nn.functional.rms_norm(x, self.normalized_shape, self.weight, { eps = self.eps }) end
  return tide.nn.functional.rms_norm(x, self.normalized_shape, self.weight)
end
RMSNorm.extra = LayerNorm.extra

local GroupNorm = Module:extend("GroupNorm")
local read_group = arguments("GroupNorm", "num_groups num_channels eps affine dtype", 2, { eps = 1e-5, affine = true })
function GroupNorm:init(...)
  local a = read_group(...)
  if a.num_groups < 1 or a.num_channels % a.num_groups ~= 0 then tide._fail(("[GroupNorm] %d groups do not divide %d channels"):format(a.num_groups, a.num_channels)) end
  self.num_groups, self.num_channels, self.eps = a.num_groups, a.num_channels, a.eps
  if a.affine then affine(self, { a.num_channels }, a.dtype, true) end
end
function GroupNorm:forward(x) return tide.nn.functional.group_norm(x, self.num_groups, self.weight, self.bias, self.eps) end
function GroupNorm:extra() return ("%d of %d"):format(self.num_groups, self.num_channels) end

return { LayerNorm = LayerNorm, RMSNorm = RMSNorm, GroupNorm = GroupNorm }
