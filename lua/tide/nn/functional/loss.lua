--- Losses and distances made of other operations.
local tide = require "tide.core"
local define = require "tide.nn.functional.define"
local F, fail = tide.nn.functional, tide._fail

local function reduced(x, how, name)
  if how == "mean" then return x:mean() elseif how == "sum" then return x:sum() elseif how == "none" then return x end
  fail(("[%s] reduction is 'none', 'mean' or 'sum', not '%s'"):format(name, tostring(how)))
end
local function floating(x) return x.dtype:find "float" and x or x:to("float32") end

-- "batchmean" is the sum over the number of examples
local kl_div = F.kl_div
define("kl_div", "input target reduction log_target", { reduction = "mean", log_target = false }, function(a)
  local batchmean = a.reduction == "batchmean"
  local y = kl_div(a.input, a.target, { reduction = batchmean and "sum" or a.reduction, log_target = a.log_target })
  return batchmean and a.input.ndim > 0 and y / a.input.shape[1] or y
end, 2)

--- x1 . x2 / (|x1| |x2|) along dim; each norm is at least eps.
define("cosine_similarity", "x1 x2 dim eps", { dim = 2, eps = 1e-8 }, function(a)
  local x, y = floating(a.x1), floating(a.x2)
  local whole = (x:detach() + y:detach()).shape
  x, y = x:expand(whole), y:expand(whole)
  local function norm(t) return t:square():sum(a.dim, { keepdim = true }):sqrt():clamp(a.eps) end
  return ((x / norm(x)) * (y / norm(y))):sum(a.dim)
end, 2)
tide.cosine_similarity = F.cosine_similarity

--- The p-norm of x1 - x2 + eps over the last dim.
define("pairwise_distance", "x1 x2 p eps keepdim", { p = 2.0, eps = 1e-6, keepdim = false }, function(a)
  local d, along = floating(a.x1) - floating(a.x2) + a.eps, { keepdim = a.keepdim }
  if a.p == 2 then return d:square():sum(-1, along):sqrt() end
  if a.p == 1 then return d:abs():sum(-1, along) end
  if a.p == math.huge then return d:abs():amax(-1, along) end
  return d:abs():pow(a.p):sum(-1, along):pow(1 / a.p)
end, 2)

--- 1 - cos(input1, input2) where target is 1, max(0, cos - margin) where it is -1; cos over the last dim.
define("cosine_embedding_loss", "input1 input2 target margin reduction", { margin = 0.0, reduction = "mean" }, function(a)
  local x, y, t = floating(a.input1), floating(a.input2), a.target
  if t.ndim > 1 or (t.ndim == 1 and x.ndim ~= 2 and y.ndim ~= 2) or (t.ndim == 0 and (x.ndim ~= 1 or y.ndim ~= 1)) then
    fail(("[cosine_embedding_loss] a target of %d dims for inputs of %d and %d"):format(t.ndim, x.ndim, y.ndim))
  end
  local last, eps = t.ndim + 1, 1e-12
  local function squares(u) return u:square():sum(last) + eps end
  local cos = (x * y):sum(last) / (squares(x) * squares(y)):sqrt()
  local zero = tide.zeros_like(cos)
  local each = tide.where(t:eq(1), 1.0 - cos, zero) + tide.where(t:eq(-1), (cos - a.margin):clamp(0.0), zero)
  return reduced(each, a.reduction, "cosine_embedding_loss")
end, 3)

--- max(0, -target (input1 - input2) + margin): target 1 says that input1 ranks higher, -1 that input2 does.
define("margin_ranking_loss", "input1 input2 target margin reduction", { margin = 0, reduction = "mean" }, function(a)
  local x, y, t = a.input1, a.input2, a.target
  if x.ndim ~= y.ndim or x.ndim ~= t.ndim then fail("[margin_ranking_loss] inputs and target must have as many dims") end
  return reduced((-t * (x - y) + a.margin):clamp(0), a.reduction, "margin_ranking_loss")
end, 3)

--- max(0, d(anchor, positive) - d(anchor, negative) + margin); swap: the negative counts by the nearer of both.
define("triplet_margin_loss", "anchor positive negative margin p eps swap reduction",
  { margin = 1.0, p = 2.0, eps = 1e-6, swap = false, reduction = "mean" }, function(a)
  local x, y, z = a.anchor, a.positive, a.negative
  if x.ndim ~= y.ndim or x.ndim ~= z.ndim then fail("[triplet_margin_loss] anchor, positive and negative must have as many dims") end
  if a.margin <= 0 then fail("[triplet_margin_loss] margin must be positive") end
  local function distance(u, v) return F.pairwise_distance(u, v, { p = a.p, eps = a.eps }) end
  local far = distance(x, z)
  if a.swap then far = tide.minimum(far, distance(y, z)) end
  return reduced((distance(x, y) - far + a.margin):clamp(0.0), a.reduction, "triplet_margin_loss")
end, 3)

--- The negative log-likelihood under a normal distribution of mean input and variance var (a tensor or a number), which is
-- at least eps; the gradient sees var as it is.
define("gaussian_nll_loss", "input target var:tensor|number full eps reduction", { full = false, eps = 1e-6, reduction = "mean" }, function(a)
  local x, v = a.input, a.var
  if not tide.is_tensor(v) then v = tide.full_like(x, v) end
  local s = x.shape
  if v.ndim ~= x.ndim then
    if v.ndim == x.ndim - 1 then v = v:unsqueeze(-1) else fail("[gaussian_nll_loss] var does not fit input") end
  end
  for d = 1, x.ndim do
    if v.shape[d] ~= s[d] and v.shape[d] ~= 1 then fail("[gaussian_nll_loss] var does not fit input") end
  end
  if v:detach():lt(0):sum():item() > 0 then fail("[gaussian_nll_loss] var has negative elements") end
  v = v + (v:detach():clamp(a.eps) - v:detach())
  local each = (v:log() + (x - a.target):square() / v) * 0.5
  if a.full then each = each + 0.5 * math.log(2 * math.pi) end
  return reduced(each, a.reduction, "gaussian_nll_loss")
end, 3)
