--- Layers that put positions around lines, images and volumes, and that turn channels into pixels.
--   nn.ZeroPad2d(padding), nn.ConstantPad2d(padding, value), nn.ReflectionPad2d(padding), nn.ReplicationPad2d(padding),
--   nn.CircularPad2d(padding): padding is a number, or how many before and after, the last dim first: {left, right, top, bottom}
--   nn.PixelShuffle(upscale_factor), nn.PixelUnshuffle(downscale_factor)
local tide = require "tide.core"
local Module = require("tide.nn.module").Module
local arguments = require "tide.arguments"

local layers = {}
local function add(prefix, n, mode)
  local name = ("%sPad%dd"):format(prefix, n)
  local class = Module:extend(name)
  local read = arguments(name, "padding" .. (prefix == "Constant" and " value:number" or ""), prefix == "Constant" and 2 or 1)
  function class:init(...)
    local a = read(...)
    self.padding, self.value = a.padding, a.value
    if type(a.padding) ~= "table" then
      self.padding = {}
      for i = 1, 2 * n do self.padding[i] = a.padding end
    end
    if #self.padding ~= 2 * n then tide._fail(("[%s] padding is a number or %d, not %d"):format(name, 2 * n, #self.padding)) end
  end
  function class:forward(x)
    arguments.tensor(name, "input", x)
    if x.ndim ~= n + 1 and x.ndim ~= n + 2 then tide._fail(("[%s] an input of %d dims"):format(name, x.ndim)) end
    return tide.nn.functional.pad(x, self.padding, { mode = mode, value = self.value })
  end
  function class:extra() return table.concat(self.padding, ", ") end
  layers[name] = class
end
for n = 1, 3 do
  add("Zero", n, "constant")
  add("Constant", n, "constant")
  add("Reflection", n, "reflect")
  add("Replication", n, "replicate")
  add("Circular", n, "circular")
end

for name, fn in pairs { PixelShuffle = "pixel_shuffle", PixelUnshuffle = "pixel_unshuffle" } do
  local class = Module:extend(name)
  local read = arguments(name, "factor:integer", 1)
  function class:init(...) self.factor = read(...).factor end
  function class:forward(x) return tide.nn.functional[fn](x, self.factor) end
  function class:extra() return tostring(self.factor) end
  layers[name] = class
end
return layers
