--- Initialisers: they fill a tensor in place, without recording, and return it. Names as torch.nn.init.
local tide = require "tide.core"

local M = {}

local function fill(tensor, make)
  tide.no_grad(function() tensor:copy_(make(tensor.shape, { dtype = tensor.dtype })) end)
  return tensor
end

--- Uniform between a (0) and b (1).
function M.uniform_(tensor, a, b)
  a, b = a or 0.0, b or 1.0
  return fill(tensor, function(shape, o) return tide.rand(shape, o) * (b - a) + a end)
end

--- Normal of mean (0) and standard deviation std (1).
function M.normal_(tensor, mean, std)
  return fill(tensor, function(shape, o) return tide.randn(shape, o) * (std or 1.0) + (mean or 0.0) end)
end

--- One number everywhere.
function M.constant_(tensor, value)
  tide.no_grad(function() tensor:fill_(value) end)
  return tensor
end
--- Zeros.
function M.zeros_(tensor) return M.constant_(tensor, 0.0) end
--- Ones.
function M.ones_(tensor) return M.constant_(tensor, 1.0) end

-- (out, in, kernel...): how many inputs meet in one output, and the other way round
local function fans(tensor)
  local s = tensor.shape
  if #s < 2 then error("initialiser: fan in and fan out need at least 2 dims", 3) end
  local field = 1
  for i = 3, #s do field = field * s[i] end
  return s[2] * field, s[1] * field
end

--- Uniform, with variance gain^2 2 / (fan in + fan out) (Glorot and Bengio 2010).
function M.xavier_uniform_(tensor, gain)
  local i, o = fans(tensor)
  local a = (gain or 1.0) * math.sqrt(6.0 / (i + o))
  return M.uniform_(tensor, -a, a)
end
--- Normal, with variance gain^2 2 / (fan in + fan out) (Glorot and Bengio 2010).
function M.xavier_normal_(tensor, gain)
  local i, o = fans(tensor)
  return M.normal_(tensor, 0.0, (gain or 1.0) * math.sqrt(2.0 / (i + o)))
end

local function gain_of(a, nonlinearity)
  if nonlinearity == "linear" or nonlinearity == "sigmoid" then return 1.0 end
  if nonlinearity == "tanh" then return 5.0 / 3 end
  if nonlinearity == "relu" then return math.sqrt(2.0) end
  return math.sqrt(2.0 / (1 + (a or 0.0) ^ 2)) -- leaky_relu with slope a
end

--- Uniform, with variance gain^2 / fan (He et al., arXiv 1502.01852). options: a, mode ("fan_in", "fan_out"), nonlinearity ("leaky_relu", "relu", ...)
function M.kaiming_uniform_(tensor, options)
  options = options or {}
  local i, o = fans(tensor)
  local bound = gain_of(options.a, options.nonlinearity) * math.sqrt(3.0 / (options.mode == "fan_out" and o or i))
  return M.uniform_(tensor, -bound, bound)
end
--- Normal, with variance gain^2 / fan (He et al., arXiv 1502.01852); options as in kaiming_uniform_.
function M.kaiming_normal_(tensor, options)
  options = options or {}
  local i, o = fans(tensor)
  return M.normal_(tensor, 0.0, gain_of(options.a, options.nonlinearity) / math.sqrt(options.mode == "fan_out" and o or i))
end

--- What PyTorch's layers do by default: uniform within 1/sqrt(fan in), weight and bias.
function M.default_(weight, bias)
  local i = fans(weight)
  local bound = i > 0 and 1.0 / math.sqrt(i) or 0.0
  M.uniform_(weight, -bound, bound)
  if bias then M.uniform_(bias, -bound, bound) end
end

return M
