local tide = require "tide.core"
local Module = require("tide.nn.module").Module
local init = require "tide.nn.initialise"

--- Cross-correlation over (batch, in_channels, rows, columns). kernel_size: an int or {rows, columns}.
-- options: stride (1), padding (0, or "same"), dilation (1), groups (1), bias (true), dtype.
local Conv2d = Module:extend("Conv2d")

local function pair(x) return type(x) == "table" and x or { x, x } end

function Conv2d:init(in_channels, out_channels, kernel_size, options)
  options = options or {}
  local k, groups = pair(kernel_size), options.groups or 1
  if in_channels % groups ~= 0 or out_channels % groups ~= 0 then
    error(("Conv2d: %d groups do not divide %d and %d channels"):format(groups, in_channels, out_channels), 3)
  end
  self.in_channels, self.out_channels, self.kernel_size = in_channels, out_channels, k
  self._options = { stride = options.stride or 1, padding = options.padding or 0, dilation = options.dilation or 1, groups = groups }
  self.weight = tide.empty({ out_channels, in_channels // groups, k[1], k[2] }, { dtype = options.dtype }):requires_grad_(true)
  if options.bias ~= false then self.bias = tide.empty({ out_channels }, { dtype = options.dtype }):requires_grad_(true) end
  init.default_(self.weight, self.bias)
end

function Conv2d:forward(x) return tide.nn.functional.conv2d(x, self.weight, self.bias, self._options) end

function Conv2d:extra()
  return ("%d -> %d, kernel %dx%d"):format(self.in_channels, self.out_channels, self.kernel_size[1], self.kernel_size[2])
end

return Conv2d
