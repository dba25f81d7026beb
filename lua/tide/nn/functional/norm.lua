--- Normalisations made of layer_norm and batch_norm.
local tide = require "tide.core"
local define = require "tide.nn.functional.define"
local F, fail = tide.nn.functional, tide._fail

-- a parameter of each channel, over an input of `ndim` dims
local function over_channels(p, ndim)
  local shape = { 1, -1 }
  for d = 3, ndim do shape[d] = 1 end
  return p:reshape(shape)
end
local function affine(y, weight, bias)
  if weight then y = y * over_channels(weight, y.ndim) end
  if bias then y = y + over_channels(bias, y.ndim) end
  return y
end

--- Normalises each of num_groups groups of channels of each example (Wu and He, arXiv 1803.08494).
define("group_norm", "input num_groups weight bias:tensor eps", { eps = 1e-5 }, function(a)
  local x, groups = a.input, a.num_groups
  local s = x.shape
  if x.ndim < 2 then fail("[group_norm] input needs at least the dims (batch, channels)") end
  if s[2] == 0 then fail("[group_norm] input has no channels") end
  if groups < 1 or s[2] % groups ~= 0 then fail(("[group_norm] %d groups do not divide %d channels"):format(groups, s[2])) end
  for _, key in ipairs { "weight", "bias" } do
    local p = a[key]
    if p and (p.ndim ~= 1 or p.shape[1] ~= s[2]) then fail(("[group_norm] %s does not fit %d channels"):format(key, s[2])) end
  end
  local rest = s[2] // groups
  for d = 3, x.ndim do rest = rest * s[d] end
  if rest == 0 or s[1] == 0 then return affine(x, a.weight, a.bias) end
  return affine(F.layer_norm(x:reshape({ s[1] * groups, rest }), { rest }, { eps = a.eps }):reshape(s), a.weight, a.bias)
end, 2)
tide.group_norm = F.group_norm

--- Normalises each channel of each example (Ulyanov et al., arXiv 1607.08022); running statistics as batch_norm's, averaged
-- over the batch. use_input_stats = false: by the running ones.
define("instance_norm", "input running_mean running_var weight bias:tensor use_input_stats momentum eps",
  { use_input_stats = true, momentum = 0.1, eps = 1e-5 }, function(a)
  local x, s = a.input, a.input.shape
  if not a.use_input_stats then
    return F.batch_norm(x, a.running_mean, a.running_var, a.weight, a.bias, { training = false, eps = a.eps })
  end
  if x.ndim < 3 then fail("[instance_norm] input needs at least the dims (batch, channels, length)") end
  local n, c = s[1], s[2]
  local function each(t) return t and t:detach():unsqueeze(1):expand({ n, c }):reshape({ n * c }):clone() end
  local mean, var = each(a.running_mean), each(a.running_var)
  local y = F.batch_norm(x:reshape({ 1, n * c, -1 }), mean, var, { training = true, momentum = a.momentum, eps = a.eps })
  tide.no_grad(function()
    if mean then a.running_mean:copy_(mean:reshape({ n, c }):mean(1)) end
    if var then a.running_var:copy_(var:reshape({ n, c }):mean(1)) end
  end)
  return affine(y:reshape(s), a.weight, a.bias)
end)

--- input over its p-norm along dim, which is at least eps.
define("normalize", "input p dim eps", { p = 2.0, dim = 2, eps = 1e-12 }, function(a)
  local x, p = a.input, a.p
  local function over_dim(t, reduce) return t[reduce](t, a.dim, { keepdim = true }) end
  local norm = p == 2 and over_dim(x:square(), "sum"):sqrt() or p == 0 and over_dim(x:ne(0), "sum"):to(x.dtype)
    or p == 1 and over_dim(x:abs(), "sum") or p == math.huge and over_dim(x:abs(), "amax") or over_dim(x:abs():pow(p), "sum"):pow(1 / p)
  return x / norm:clamp(a.eps)
end)
