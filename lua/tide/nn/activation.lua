--- Activations as layers: nn.LeakyReLU(0.2), nn.GELU{approximate = "tanh"}; arguments and defaults are those of the functions.
local tide = require "tide.core"
local Module = require("tide.nn.module").Module
local arguments = require "tide.arguments"

local layers = {}
local function add(name, fn, keys)
  local class = Module:extend(name)
  local read = arguments(name, keys or "", 0)
  function class:init(...)
    local a = read(...)
    self._options = next(a) and a
  end
  function class:forward(x)
    local apply = tide.nn.functional[fn] or tide[fn]
    if self._options then return apply(x, self._options) end
    return apply(x)
  end
  function class:extra()
    local text = {}
    for key, value in pairs(self._options or {}) do text[#text + 1] = ("%s=%s"):format(key, tostring(value)) end
    table.sort(text)
    return table.concat(text, ", ")
  end
  layers[name] = class
end

for name, fn in pairs {
  ReLU = "relu", SiLU = "silu", Tanh = "tanh", Sigmoid = "sigmoid", SELU = "selu", LogSigmoid = "logsigmoid", Mish = "mish", ReLU6 = "relu6",
  Hardsigmoid = "hardsigmoid", Hardswish = "hardswish", Softsign = "softsign", Tanhshrink = "tanhshrink",
} do
  add(name, fn)
end
add("GELU", "gelu", "approximate")
add("LeakyReLU", "leaky_relu", "negative_slope")
add("ELU", "elu", "alpha")
add("CELU", "celu", "alpha")
add("Softplus", "softplus", "beta threshold")
add("Hardtanh", "hardtanh", "min_val max_val")
add("Softshrink", "softshrink", "lambd")
add("Hardshrink", "hardshrink", "lambd")
add("Threshold", "threshold", "threshold value:number")
add("GLU", "glu", "dim")
add("Softmax", "softmax", "dim")
add("LogSoftmax", "log_softmax", "dim")
add("Softmin", "softmin", "dim")

--- weight * x where x is negative, weight learned: one (num_parameters 1), or one a channel. options: init (0.25), dtype.
local PReLU = Module:extend("PReLU")
local read = arguments("PReLU", "num_parameters init dtype", 0, { num_parameters = 1, init = 0.25 })
function PReLU:init(...)
  local a = read(...)
  self.weight = tide.full({ a.num_parameters }, a.init, { dtype = a.dtype or "float32" }):requires_grad_(true)
end
function PReLU:forward(x) return tide.nn.functional.prelu(x, self.weight) end
layers.PReLU = PReLU

return layers
