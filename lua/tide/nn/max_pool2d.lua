local tide = require "tide.core"
local Module = require("tide.nn.module").Module

--- The largest element of each window. options: stride (kernel_size), padding (0), dilation (1), ceil_mode (false).
local MaxPool2d = Module:extend("MaxPool2d")

function MaxPool2d:init(kernel_size, options)
  options = options or {}
  self.kernel_size = kernel_size
  self._options = { stride = options.stride or kernel_size, padding = options.padding or 0, dilation = options.dilation or 1,
    ceil_mode = options.ceil_mode or false }
end

function MaxPool2d:forward(x) return (tide.nn.functional.max_pool2d(x, self.kernel_size, self._options)) end
function MaxPool2d:extra() return ("kernel %s"):format(type(self.kernel_size) == "table" and table.concat(self.kernel_size, "x") or self.kernel_size) end

return MaxPool2d
