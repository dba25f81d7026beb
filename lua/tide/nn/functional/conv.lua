--- Convolutions: names of paddings, and volumes, which are made of images: the places of the kernel's depth become channels.
local tide = require "tide.core"
local arguments, define = require "tide.arguments", require "tide.nn.functional.define"
local F, fail = tide.nn.functional, tide._fail

-- padding = "same" or "valid", besides numbers. Calls as the operation itself takes them go straight there.
for n = 1, 2 do
  local name = ("conv%dd"):format(n)
  local conv, read = F[name], arguments(name, "input weight bias:tensor stride padding:sizes|string dilation groups", 2)
  --- Cross-correlation of (batch, channels, rows, columns), or of (batch, channels, length), also without batch, with weight (out,
  -- channels / groups, rows, columns). padding: numbers, "same" (the size stays; the odd one of padding comes last) or "valid".
  local function fn(a)
    local o = { stride = a.stride, padding = a.padding, dilation = a.dilation, groups = a.groups }
    if type(a.padding) == "string" then o.pad, o.padding = a.padding, nil end
    return conv(a.input, a.weight, a.bias, next(o) and o)
  end
  F[name] = function(x, w, b, o, ...)
    if (b == nil or tide.is_tensor(b)) and (o == nil or (type(o) == "table" and type(o.padding) ~= "string")) and select("#", ...) == 0 then
      return conv(x, w, b, o)
    end
    return fn(read(x, w, b, o, ...))
  end
end

local function triple(x, name)
  if type(x) ~= "table" then return { x, x, x } end
  if #x == 1 then return { x[1], x[1], x[1] } end
  if #x ~= 3 then fail(("[%s] takes a number or three, not %d"):format(name, #x)) end
  return x
end

local function want_dims(name, what, t, low, high)
  if t.ndim < low or t.ndim > high then
    fail(("[%s] %s must have %s dims, not %d"):format(name, what, low == high and low or low .. " or " .. high, t.ndim))
  end
end

-- (n, c, d, h, w) -> (n, c, before + d + after, h, w)
local function pad_depth(x, before, after)
  local function zeros(n)
    local shape = x.shape
    shape[3] = n
    return tide.zeros(shape, { dtype = x.dtype })
  end
  local parts = { x }
  if before > 0 then table.insert(parts, 1, zeros(before)) end
  if after > 0 then parts[#parts + 1] = zeros(after) end
  return #parts > 1 and tide.cat(parts, 3) or x
end

--- Cross-correlation of (batch, channels, depth, rows, columns), or without batch, with weight (out, channels / groups,
-- depth, rows, columns). padding: numbers, "same" or "valid".
define("conv3d", "input weight bias:tensor stride padding:sizes|string dilation groups", { stride = 1, padding = 0, dilation = 1, groups = 1 }, function(a)
  local x, w = a.input, a.weight
  want_dims("conv3d", "weight", w, 5, 5)
  want_dims("conv3d", "input", x, 4, 5)
  local stride, dilation = triple(a.stride, "conv3d: stride"), triple(a.dilation, "conv3d: dilation")
  for i = 1, 3 do
    if stride[i] < 1 or dilation[i] < 1 then fail("[conv3d] stride and dilation must be positive") end
  end
  local batch = x.ndim == 5
  if not batch then x = x:unsqueeze(1) end
  local kd, before, after, flat = w.shape[3], 0, 0, a.padding
  if flat == "same" then
    local all = dilation[1] * (kd - 1)
    if stride[1] ~= 1 then fail("[conv3d] padding = 'same' needs stride 1") end
    before, after = all // 2, all - all // 2
  elseif flat ~= "valid" then
    local p = triple(flat, "conv3d: padding")
    if p[1] < 0 then fail("[conv3d] padding must not be negative") end
    before, after, flat = p[1], p[1], { p[2], p[3] }
  end
  x = pad_depth(x, before, after)
  local n, c, d, h, width = table.unpack(x.shape)
  local reach = dilation[1] * (kd - 1) + 1
  if kd < 1 or d < reach then fail(("[conv3d] the kernel reaches over %d positions, the padded input has %d"):format(reach, d)) end
  local od, places = (d - reach) // stride[1] + 1, {}
  for k = 1, kd do places[k] = tide.slice(x, 3, 1 + (k - 1) * dilation[1], od, stride[1]) end
  local images = tide.stack(places, 3):permute({ 1, 4, 2, 3, 5, 6 }):reshape({ n * od, c * kd, h, width })
  local o, inner, _, kh, kw = table.unpack(w.shape)
  local y = F.conv2d(images, w:reshape({ o, inner * kd, kh, kw }), a.bias,
    { stride = { stride[2], stride[3] }, padding = flat, dilation = { dilation[2], dilation[3] }, groups = a.groups })
  y = y:reshape({ n, od, o, y.shape[3], y.shape[4] }):transpose(2, 3)
  return batch and y or y:squeeze(1)
end, 2)

--- The transpose (gradient) of conv3d: weight (channels, out / groups, depth, rows, columns).
define("conv_transpose3d", "input weight bias:tensor stride padding output_padding groups dilation",
  { stride = 1, padding = 0, output_padding = 0, groups = 1, dilation = 1 }, function(a)
  local x, w = a.input, a.weight
  want_dims("conv_transpose3d", "weight", w, 5, 5)
  want_dims("conv_transpose3d", "input", x, 4, 5)
  local function of(key) return triple(a[key], "conv_transpose3d: " .. key) end
  local stride, dilation, padding, more = of "stride", of "dilation", of "padding", of "output_padding"
  local batch = x.ndim == 5
  if not batch then x = x:unsqueeze(1) end
  if stride[1] < 1 or dilation[1] < 1 or padding[1] < 0 then fail("[conv_transpose3d] stride and dilation must be positive, padding not negative") end
  if more[1] < 0 or (more[1] >= stride[1] and more[1] >= dilation[1]) then
    fail(("[conv_transpose3d] output_padding %d must be smaller than stride or dilation"):format(more[1]))
  end
  local n, c, d, h, width = table.unpack(x.shape)
  local _, inner, kd, kh, kw = table.unpack(w.shape)
  local o = inner * a.groups
  local y = F.conv_transpose2d(x:transpose(2, 3):reshape({ n * d, c, h, width }), w:reshape({ w.shape[1], inner * kd, kh, kw }), nil,
    { stride = { stride[2], stride[3] }, padding = { padding[2], padding[3] }, output_padding = { more[2], more[3] }, groups = a.groups,
      dilation = { dilation[2], dilation[3] } })
  local oh, ow = y.shape[3], y.shape[4]
  y = y:reshape({ n, d, o, kd, oh, ow }):permute({ 1, 3, 2, 4, 5, 6 }):reshape({ n, o, d * kd, oh, ow })
  local places = {} -- where each place of the kernel lands, for each position of the input
  for i = 0, d - 1 do
    for k = 0, kd - 1 do places[#places + 1] = i * stride[1] + k * dilation[1] end
  end
  local whole = (d - 1) * stride[1] + dilation[1] * (kd - 1) + 1 + more[1]
  local length = whole - 2 * padding[1]
  if length < 1 then fail(("[conv_transpose3d] the result would have size %d"):format(length)) end
  local index = tide.tensor(places, { dtype = "int64" })
  y = tide.zeros({ n, o, whole, oh, ow }, { dtype = x.dtype }):index_add(3, index, y):narrow(3, 1 + padding[1], length)
  if a.bias then y = y + a.bias:reshape({ -1, 1, 1, 1 }) end
  return batch and y or y:squeeze(1)
end, 2)

for _, name in ipairs { "conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d" } do tide[name] = F[name] end
