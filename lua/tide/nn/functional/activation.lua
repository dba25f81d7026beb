--- Activations made of others, and the forms in place.
local tide = require "tide.core"
local define = require "tide.nn.functional.define"
local F, fail = tide.nn.functional, tide._fail

--- input where positive, weight * input elsewhere; weight: one number or one a channel (He et al., arXiv 1502.01852).
define("prelu", "input weight", {}, function(a)
  local x, w = a.input, a.weight
  if w.ndim > 1 then fail("[prelu] weight must have at most one dim") end
  if w:numel() ~= 1 then
    if x.ndim == 0 or w:numel() ~= x.shape[x.ndim == 1 and 1 or 2] then
      fail(("[prelu] %d weights do not fit the channels of input"):format(w:numel()))
    end
    if x.ndim > 1 then
      local shape = { 1, -1 }
      for d = 3, x.ndim do shape[d] = 1 end
      w = w:reshape(shape)
    end
  elseif x.ndim == 0 then
    w = w:reshape({})
  end
  return tide.where(x:gt(0), x, w * x)
end, 2)
tide.prelu = F.prelu

--- The first half of dim times the sigmoid of the second (Dauphin et al., arXiv 1612.08083).
define("glu", "input dim", { dim = -1 }, function(a)
  local x, d = a.input, a.dim
  if x.ndim == 0 then fail("[glu] input needs at least one dim") end
  local size = x.shape[d < 0 and x.ndim + 1 + d or d]
  if not size or size % 2 ~= 0 then fail(("[glu] dim %d cannot be halved"):format(d)) end
  return x:narrow(d, 1, size // 2) * x:narrow(d, size // 2 + 1, size // 2):sigmoid()
end)

--- softmax(-input) along dim.
define("softmin", "input dim", {}, function(a) return tide.softmax(-a.input, a.dim) end, 2)

for _, name in ipairs { "leaky_relu_", "elu_", "selu_", "celu_", "mish_", "hardsigmoid_", "threshold_", "silu_" } do
  F[name] = F[name] or tide[name]
end
tide.selu, tide.celu, tide.threshold = F.selu, F.celu, F.threshold
