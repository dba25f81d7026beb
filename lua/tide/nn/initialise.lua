--- Initialisers: they fill a tensor in place, without recording, and return it. Names as torch.nn.init.
local tide = require "tide.core"
local arguments = require "tide.arguments"
local M = {}

-- fn gets one table with the arguments; `tensor` comes first and must be there.
local function define(name, names, defaults, fn)
  local read = arguments("init." .. name, "tensor " .. names, 1, defaults)
  M[name] = function(...) return fn(read(...)) end
end

local function fill(tensor, make)
  tide.no_grad(function() tensor:copy_(make(tensor.shape, { dtype = tensor.dtype })) end)
  return tensor
end
local function uniform(tensor, a, b)
  return fill(tensor, function(shape, o) return tide.rand(shape, o) * (b - a) + a end)
end
local function normal(tensor, mean, std)
  return fill(tensor, function(shape, o) return tide.randn(shape, o) * std + mean end)
end
local function constant(tensor, value)
  tide.no_grad(function() tensor:fill_(value) end)
  return tensor
end

--- Uniform between a and b.
define("uniform_", "a:number b:number", { a = 0.0, b = 1.0 }, function(v) return uniform(v.tensor, v.a, v.b) end)
--- Normal of a mean and a standard deviation.
define("normal_", "mean:number std:number", { mean = 0.0, std = 1.0 }, function(v) return normal(v.tensor, v.mean, v.std) end)
--- One number everywhere.
define("constant_", "val:number", { val = 0.0 }, function(v) return constant(v.tensor, v.val) end)
--- Zeros.
define("zeros_", "", {}, function(v) return constant(v.tensor, 0.0) end)
--- Ones.
define("ones_", "", {}, function(v) return constant(v.tensor, 1.0) end)

-- (out, in, kernel...): how many inputs meet in one output, and the other way round
local function fans(tensor)
  local s = tensor.shape
  if #s < 2 then tide._fail("initialiser: fan in and fan out need at least 2 dims") end
  local field = 1
  for i = 3, #s do field = field * s[i] end
  return s[2] * field, s[1] * field
end

local function spread(v)
  local i, o = fans(v.tensor)
  return v.gain * math.sqrt(2.0 / (i + o))
end
--- Uniform, with variance gain^2 2 / (fan in + fan out) (Glorot and Bengio 2010).
define("xavier_uniform_", "gain:number", { gain = 1.0 }, function(v)
  local a = math.sqrt(3.0) * spread(v)
  return uniform(v.tensor, -a, a)
end)
--- Normal, with variance gain^2 2 / (fan in + fan out) (Glorot and Bengio 2010).
define("xavier_normal_", "gain:number", { gain = 1.0 }, function(v) return normal(v.tensor, 0.0, spread(v)) end)

local function deviation(v)
  local gains = { linear = 1.0, sigmoid = 1.0, tanh = 5.0 / 3, relu = math.sqrt(2.0), leaky_relu = math.sqrt(2.0 / (1 + v.a ^ 2)) }
  local gain = gains[v.nonlinearity] or tide._fail(("[init] there is no gain for '%s'"):format(v.nonlinearity))
  if v.mode ~= "fan_in" and v.mode ~= "fan_out" then tide._fail(("[init] mode is 'fan_in' or 'fan_out', not '%s'"):format(v.mode)) end
  local i, o = fans(v.tensor)
  return gain / math.sqrt(v.mode == "fan_out" and o or i)
end
local kaiming = { a = 0.0, mode = "fan_in", nonlinearity = "leaky_relu" }
--- Uniform, with variance gain^2 / fan (He et al., arXiv 1502.01852). mode: "fan_in" or "fan_out"; nonlinearity gives the gain:
-- "relu", "leaky_relu" (of slope a), "tanh", "sigmoid", "linear".
define("kaiming_uniform_", "a:number mode:string nonlinearity", kaiming, function(v)
  local bound = math.sqrt(3.0) * deviation(v)
  return uniform(v.tensor, -bound, bound)
end)
--- Normal, with variance gain^2 / fan (He et al., arXiv 1502.01852); options as in kaiming_uniform_.
define("kaiming_normal_", "a:number mode:string nonlinearity", kaiming, function(v) return normal(v.tensor, 0.0, deviation(v)) end)

--- What PyTorch's layers do by default: uniform within 1/sqrt(fan in), weight and bias.
function M.default_(weight, bias)
  arguments.tensor("init.default_", "weight", weight)
  local i = fans(weight)
  local bound = i > 0 and 1.0 / math.sqrt(i) or 0.0
  uniform(weight, -bound, bound)
  if bias then uniform(arguments.tensor("init.default_", "bias", bias), -bound, bound) end
end

return M
