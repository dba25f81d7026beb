--- Layers. One small file each; tide.nn.functional has the same as functions, from the operation table.
require "tide.nn.functional"
local module = require "tide.nn.module"

local nn = { Module = module.Module, is_module = module.is_module, _path = module.path_of, init = require "tide.nn.initialise" }

--- Marks a tensor as a parameter: it requires a gradient.
function nn.Parameter(tensor, requires_grad)
  return tensor:detach():requires_grad_(requires_grad == nil or requires_grad)
end

for name, file in pairs {
  Linear = "linear", Conv2d = "conv2d", MaxPool2d = "max_pool2d", Embedding = "embedding", Dropout = "dropout", Flatten = "flatten",
  LayerNorm = "layer_norm", RMSNorm = "rms_norm", Sequential = "sequential", ModuleList = "module_list",
} do
  nn[name] = require("tide.nn." .. file)
end
for _, file in ipairs { "batch_norm", "activation", "loss" } do
  for name, class in pairs(require("tide.nn." .. file)) do nn[name] = class end
end

return nn
