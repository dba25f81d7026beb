--- Layers. A small file for each family; tide.nn.functional has the same as functions.
require "tide.nn.functional"
local arguments, module = require "tide.arguments", require "tide.nn.module"

local nn = { Module = module.Module, is_module = arguments.is_module, _path = module.path_of, init = require "tide.nn.initialise", utils = {} }
nn.utils.parametrize = require "tide.nn.parametrize"

--- Marks a tensor as a parameter: it requires a gradient.
function nn.Parameter(tensor, requires_grad)
  arguments.tensor("nn.Parameter", "tensor", tensor)
  return tensor:detach():requires_grad_(requires_grad == nil or requires_grad)
end

for name, file in pairs {
  Linear = "linear", MultiheadAttention = "attention", Sequential = "sequential", ModuleList = "module_list",
} do
  nn[name] = require("tide.nn." .. file)
end
for _, file in ipairs { "embedding", "conv", "pool", "batch_norm", "layer_norm", "dropout", "flatten", "pad", "rnn", "transformer", "activation", "loss" } do
  for name, class in pairs(require("tide.nn." .. file)) do nn[name] = class end
end

return nn
