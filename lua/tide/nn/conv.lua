--- Convolutions over lines, images and volumes, and their transposes.
--   nn.Conv2d(in_channels, out_channels, kernel_size, {stride = 1, padding = 0, dilation = 1, groups = 1, bias = true,
--     padding_mode = "zeros", dtype})
--   nn.ConvTranspose2d(..., {stride = 1, padding = 0, output_padding = 0, groups = 1, bias = true, dilation = 1, dtype})
-- Sizes are a number or one for each direction; padding may be "same" or "valid" (not transposed), padding_mode
-- "reflect", "replicate" or "circular". Input (batch, in_channels,
-- size ...) or without batch; weight (out_channels, in_channels / groups, kernel ...), transposed (in_channels,
-- out_channels / groups, kernel ...).
local tide = require "tide.core"
local Module = require("tide.nn.module").Module
local arguments = require "tide.arguments"
local init = require "tide.nn.initialise"

local function each(x, n)
  if type(x) == "table" and #x == n then return x end
  local out = {}
  for i = 1, n do out[i] = type(x) == "table" and x[1] or x end
  return out
end

local function class(name, n, transposed)
  local Conv = Module:extend(name)
  local fn = (transposed and "conv_transpose%dd" or "conv%dd"):format(n)
  local keys = transposed and "stride padding output_padding groups bias dilation dtype" or "stride padding:sizes|string dilation groups bias padding_mode:string dtype"
  local read = arguments(name, "in_channels out_channels kernel_size " .. keys, 3,
    { stride = 1, padding = 0, dilation = 1, groups = 1, bias = true, output_padding = transposed and 0 or nil })

  -- the padding that another mode than zeros does beforehand
  local function around(self, padding, mode)
    local pad, dilation = {}, each(self._options.dilation, n)
    for i = n, 1, -1 do -- the last dim first
      local before, after
      if padding == "same" then
        before = dilation[i] * (self.kernel_size[i] - 1) // 2
        after = dilation[i] * (self.kernel_size[i] - 1) - before
      else
        before = padding ~= "valid" and each(padding, n)[i] or 0
        after = before
      end
      pad[#pad + 1], pad[#pad + 2] = before, after
    end
    self._options.padding = 0
    return function(x) return tide.nn.functional.pad(x, pad, { mode = mode }) end
  end

  function Conv:init(...)
    local a = read(...)
    local k, into, out = each(a.kernel_size, n), a.in_channels, a.out_channels
    if a.groups < 1 or into % a.groups ~= 0 or out % a.groups ~= 0 then
      tide._fail(("[%s] %d groups do not divide %d and %d channels"):format(name, a.groups, into, out))
    end
    self.in_channels, self.out_channels, self.kernel_size, self.groups = into, out, k, a.groups
    self._options = { groups = a.groups }
    for _, key in ipairs { "stride", "padding", "output_padding", "dilation" } do
      local value = a[key]
      if value ~= nil then self._options[key] = n == 1 and type(value) == "table" and value[1] or value end
    end
    if a.padding_mode and a.padding_mode ~= "zeros" then self._around = around(self, a.padding, a.padding_mode) end
    local shape = transposed and { into, out // a.groups } or { out, into // a.groups }
    self.weight = tide.empty({ shape[1], shape[2], table.unpack(k) }, { dtype = a.dtype }):requires_grad_(true)
    if a.bias then self.bias = tide.empty({ out }, { dtype = a.dtype }):requires_grad_(true) end
    init.default_(self.weight, self.bias)
  end

  -- what must be added to reach output_size, the last sizes of the result
  local function more(self, x, output_size)
    local list, o = {}, self._options
    local stride, padding, dilation = each(o.stride, n), each(o.padding, n), each(o.dilation, n)
    for i = 1, n do
      local least = (x.shape[x.ndim - n + i] - 1) * stride[i] - 2 * padding[i] + dilation[i] * (self.kernel_size[i] - 1) + 1
      list[i] = output_size[#output_size - n + i] - least
    end
    return n == 1 and list[1] or list
  end

  function Conv:forward(x, output_size)
    arguments.tensor(name, "input", x)
    if output_size ~= nil and (not transposed or type(output_size) ~= "table" or #output_size < n) then
      tide._fail(("[%s] output_size: %s"):format(name, transposed and "a table of sizes wanted" or "there is none"))
    end
    local options = self._options
    if self._around then x = self._around(x) end
    if output_size then
      options = { output_padding = more(self, x, output_size) }
      for key, value in pairs(self._options) do options[key] = options[key] or value end
    end
    return tide.nn.functional[fn](x, self.weight, self.bias, options)
  end

  function Conv:extra() return ("%d -> %d, kernel %s"):format(self.in_channels, self.out_channels, table.concat(self.kernel_size, "x")) end
  return Conv
end

return {
  Conv1d = class("Conv1d", 1), Conv2d = class("Conv2d", 2), Conv3d = class("Conv3d", 3),
  ConvTranspose1d = class("ConvTranspose1d", 1, true), ConvTranspose2d = class("ConvTranspose2d", 2, true),
  ConvTranspose3d = class("ConvTranspose3d", 3, true),
}
