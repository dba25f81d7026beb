--- Masks: tensors of ones and zeros in the shape and dtype of a weight, which say what stays.
local tide = require "tide.core"
local Module = require("tide.nn.module").Module
local parametrize = require "tide.nn.parametrize"

local arguments = require "tide.arguments"
local M = {}

local function want(name, tensor, sparsity)
  arguments.tensor(name, "tensor", tensor)
  arguments.one("number", name, "sparsity", sparsity)
  if not (sparsity >= 0 and sparsity <= 1) then tide._fail(("[%s] sparsity must lie in [0, 1], not %g"):format(name, sparsity)) end
end
local function want_all(name, tensors, sparsity)
  arguments.one("table", name, "tensors", tensors)
  if #tensors == 0 then tide._fail(("[%s] there are no tensors"):format(name)) end
  for _, t in ipairs(tensors) do want(name, t, sparsity) end
end
local function quiet(fn) return function(...) return tide.no_grad(fn, ...) end end

-- Halves to even, as Python's round.
local function round(x)
  local low = math.floor(x)
  local rest = x - low
  if rest > 0.5 or (rest == 0.5 and low % 2 == 1) then low = low + 1 end
  return math.tointeger(low)
end
local function kept(n, sparsity) return math.max(round(n * (1 - sparsity)), 1) end

--- Ones where |tensor| is at least its k-th largest, k = max(round(n (1 - sparsity)), 1). Ties are all kept.
M.magnitude_mask = quiet(function(tensor, sparsity)
  want("magnitude_mask", tensor, sparsity)
  local size = tensor:detach():abs()
  local n = size:numel()
  if n == 0 then return tide.ones_like(tensor) end
  local k = kept(n, sparsity)
  return size:ge(tide.topk(size:reshape(-1), k)[k]):to(tensor.dtype)
end)

--- magnitude_mask over several tensors at once: a sequence of masks with one threshold.
M.global_masks = quiet(function(tensors, sparsity)
  want_all("global_masks", tensors, sparsity)
  local flat, masks = {}, {}
  for i, t in ipairs(tensors) do flat[i] = t:detach():abs():to("float64"):reshape(-1) end
  local all = tide.cat(flat, 1)
  local k = kept(all:numel(), sparsity)
  local threshold = tide.topk(all, k)[k]
  for i, t in ipairs(tensors) do masks[i] = flat[i]:ge(threshold):to(t.dtype):reshape(t.shape) end
  return masks
end)

--- Ones for the n largest of every m neighbours along dim (2: the inputs), as sparse tensor cores want them (2:4; Mishra et
-- al., arXiv 2104.08378). A last group of fewer than m keeps n of them.
M.n_m_mask = quiet(function(tensor, n, m, dim)
  dim = dim or 2
  arguments.tensor("n_m_mask", "tensor", tensor)
  for name, v in pairs { n = n or 0.5, m = m or 0.5, dim = dim } do arguments.one("integer", "n_m_mask", name, v) end
  if n < 0 or n > m or m < 1 then tide._fail(("[n_m_mask] %d of %d"):format(n, m)) end
  if dim < 1 or tensor.ndim < dim then tide._fail(("[n_m_mask] a tensor of %d dims has no dim %d"):format(tensor.ndim, dim)) end
  local size = tensor:detach():abs():transpose(dim, tensor.ndim)
  local shape, length = size.shape, size.shape[size.ndim]
  if length == 0 or n == m then return tide.ones_like(tensor) end
  local missing = -length % m
  if missing > 0 then -- places that are never among the largest
    local fill = { table.unpack(shape) }
    fill[#fill] = missing
    size = tide.cat({ size, tide.full(fill, -1.0, { dtype = size.dtype }) }, size.ndim)
  end
  local groups = size:reshape(-1, m)
  local mask = tide.zeros_like(groups)
  if n > 0 then
    local _, best = tide.topk(groups, n, 2)
    mask:scatter_(2, best, 1.0)
  end
  shape[#shape] = length + missing
  return mask:reshape(shape):narrow(-1, 1, length):transpose(dim, tensor.ndim):contiguous()
end)

-- The p-norm of what belongs to each position of dim.
local function norms(tensor, dim, p)
  local rest = {}
  for d = 1, tensor.ndim do
    if d ~= dim then rest[#rest + 1] = d end
  end
  local size = tensor:detach():abs():to("float64")
  if #rest == 0 then return size end
  if p == 1 then return size:sum(rest) end
  return size:pow(p):sum(rest):pow(1 / p)
end

--- Ones for the whole channels (positions of dim, 1: the outputs) of the largest p-norms (2), max(round(n (1 - sparsity)), 1) of
-- them. Returns the mask and its channels (n).
M.channel_mask = quiet(function(tensor, sparsity, dim, p)
  dim = dim or 1
  want("channel_mask", tensor, sparsity)
  arguments.one("integer", "channel_mask", "dim", dim)
  if dim < 1 or tensor.ndim < dim then tide._fail(("[channel_mask] a tensor of %d dims has no dim %d"):format(tensor.ndim, dim)) end
  local strength = norms(tensor, dim, p or 2)
  local _, best = tide.topk(strength, kept(strength:numel(), sparsity))
  local channels = tide.zeros_like(strength):scatter(1, best, 1.0):to(tensor.dtype)
  return M.spread(channels, tensor, dim), channels
end)

--- Channels (n) as a mask in the shape of tensor.
function M.spread(channels, tensor, dim)
  local shape = {}
  for d = 1, tensor.ndim do shape[d] = d == dim and -1 or 1 end
  return channels:reshape(shape):expand(tensor.shape):contiguous()
end

--- Channels of several tensors, ranked together by their root mean squares; each tensor keeps one at least. Returns a sequence of
-- channels.
M.global_channels = quiet(function(tensors, dims, sparsity)
  want_all("global_channels", tensors, sparsity)
  arguments.one("table", "global_channels", "dims", dims)
  local strength, all = {}, {}
  for i, t in ipairs(tensors) do
    local n = t.shape[dims[i]]
    strength[i] = norms(t, dims[i], 2) / math.sqrt(t:numel() / n)
    all[i] = strength[i]
  end
  local whole = tide.cat(all, 1)
  local k = kept(whole:numel(), sparsity)
  local threshold = tide.topk(whole, k)[k]
  local list = {}
  for i, t in ipairs(tensors) do list[i] = strength[i]:ge(tide.minimum(threshold, strength[i]:amax())):to(t.dtype) end
  return list
end)

-- ---- masks as parametrizations ----

--- The parametrization that multiplies by a mask, which is a buffer of its own.
local Mask = Module:extend("Mask")
function Mask:init(mask) self:register_buffer("mask", mask) end
function Mask:forward(x) return arguments.tensor("Mask", "input", x) * self.mask end
M.Mask = Mask

local function same_shape(a, b) return table.concat(a.shape, ",") == table.concat(b.shape, ",") end

local function mask_of(module, name)
  for _, fn in ipairs(parametrize.is_parametrized(module, name) and module.parametrizations[name] or {}) do
    if getmetatable(fn) == Mask then return fn end
  end
end

--- From now on module[name] is its values times mask, of its shape; what is masked keeps its value, gets no gradient, and may come back with
-- another mask. A second mask takes away more.
function M.custom_from_mask(module, name, mask)
  arguments.one("string", "custom_from_mask", "name", name)
  arguments.tensor("custom_from_mask", "mask", mask)
  local there = mask_of(module, name)
  local weight = module[name]
  if not tide.is_tensor(weight) then tide._fail(("[custom_from_mask] the module has no parameter '%s'"):format(name)) end
  if not same_shape(weight, mask) then
    tide._fail(("[custom_from_mask] a mask of shape (%s) for '%s' of (%s)"):format(table.concat(mask.shape, ","), name, table.concat(weight.shape, ",")))
  end
  if there then
    tide.no_grad(function() there.mask:mul_(mask) end)
  else
    parametrize.register_parametrization(module, name, Mask(mask:to(weight.dtype):clone()))
  end
  return module
end

--- Whether module[name] has a mask as a parametrization.
function M.is_pruned(module, name) return mask_of(module, name) ~= nil end

--- Takes the mask away; the zeros stay.
function M.remove(module, name)
  if not mask_of(module, name) then tide._fail(("remove: '%s' has no mask"):format(name)) end
  return parametrize.remove_parametrizations(module, name)
end

return M
