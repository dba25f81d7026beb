--- Pools over lines, images and volumes. Sizes are a number or one for each direction.
--   nn.MaxPool2d(kernel_size, {stride = kernel_size, padding = 0, dilation = 1, return_indices = false, ceil_mode = false})
--   nn.AvgPool2d(kernel_size, {stride = kernel_size, padding = 0, ceil_mode = false, count_include_pad = true, divisor_override})
--   nn.AdaptiveAvgPool2d(output_size)     nn.AdaptiveMaxPool2d(output_size, {return_indices = false})
local tide = require "tide.core"
local Module = require("tide.nn.module").Module
local arguments = require "tide.arguments"

local function class(name, fn, first, keys, single)
  local Pool = Module:extend(name)
  local read = arguments(name, first .. " " .. keys, 1)
  local function bare(v) return single and type(v) == "table" and v[1] or v end
  function Pool:init(...)
    local a = read(...)
    self[first] = bare(a[first])
    for key, value in pairs(a) do a[key] = bare(value) end
    a[first] = nil
    self._options = next(a) and a
  end
  function Pool:forward(x)
    if self._options then return tide.nn.functional[fn](x, self[first], self._options) end
    return tide.nn.functional[fn](x, self[first])
  end
  function Pool:extra()
    local size = self[first]
    return type(size) == "table" and table.concat(size, "x") or tostring(size)
  end
  return Pool
end

local pools = {}
for n = 1, 3 do
  local function add(prefix, lower, first, keys)
    local name = ("%s%dd"):format(prefix, n)
    pools[name] = class(name, ("%s%dd"):format(lower, n), first, keys, n == 1)
  end
  add("MaxPool", "max_pool", "kernel_size", "stride padding dilation return_indices ceil_mode")
  add("AvgPool", "avg_pool", "kernel_size", "stride padding ceil_mode count_include_pad" .. (n > 1 and " divisor_override" or ""))
  add("AdaptiveAvgPool", "adaptive_avg_pool", "output_size", "")
  add("AdaptiveMaxPool", "adaptive_max_pool", "output_size", "return_indices")
end
return pools
