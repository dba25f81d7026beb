--- Pools over lines and volumes, made of those over images; adaptive pools.
local tide = require "tide.core"
local arguments, define = require "tide.arguments", require "tide.nn.functional.define"
local F, fail = tide.nn.functional, tide._fail

local function want_dims(name, x, low)
  if x.ndim ~= low and x.ndim ~= low + 1 then fail(("[%s] input must have %d or %d dims, not %d"):format(name, low, low + 1, x.ndim)) end
end

local function list(x, n, name)
  if type(x) ~= "table" then
    local out = {}
    for i = 1, n do out[i] = x end
    return out
  end
  if #x == 1 and n > 1 then return list(x[1], n, name) end
  if #x ~= n then fail(("[%s] takes a number or %d, not %d"):format(name, n, #x)) end
  return x
end

-- the options of one direction of a pool: entry `i` of each list, around it what changes nothing
local function part(a, keys, pick)
  local o = {}
  for key, neutral in pairs(keys) do
    if a[key] ~= nil then o[key] = pick(a[key], neutral) end
  end
  return o
end
local max_lists, avg_lists = { stride = 1, padding = 0, dilation = 1 }, { stride = 1, padding = 0 }

-- ---- images ----

local values_only, with_indices = F.max_pool2d, F.max_pool2d_with_indices
F.max_pool2d_with_indices = nil
local read = arguments("max_pool2d", "input kernel_size stride padding dilation ceil_mode return_indices", 2)
--- The largest element of each window of (batch, channels, rows, columns), or without batch; NaN wins, and the first of equals gets
-- the gradient. stride: kernel_size by default. return_indices: also where it was, its position in the plane counted from 0.
local function fn(a)
  local o = { stride = a.stride, padding = a.padding, dilation = a.dilation, ceil_mode = a.ceil_mode }
  return (a.return_indices and with_indices or values_only)(a.input, a.kernel_size, next(o) and o)
end
function F.max_pool2d(x, kernel_size, o, ...)
  if (o == nil or (type(o) == "table" and o.return_indices == nil)) and select("#", ...) == 0 then return values_only(x, kernel_size, o) end
  return fn(read(x, kernel_size, o, ...))
end

-- ---- lines: images of one row ----

local function along_line(name, pool, lists, plain)
  --- The pool over (batch, channels, length), or without batch: max_pool2d or avg_pool2d of one row; defaults are theirs.
  return function(a)
    want_dims(name, a.input, 2)
    local o = part(a, lists, function(v, neutral) return { neutral, list(v, 1, name)[1] } end)
    for _, key in ipairs(plain) do o[key] = a[key] end
    if a.stride == nil then o.stride = { 1, list(a.kernel_size, 1, name)[1] } end
    local y, at = pool(a.input:unsqueeze(-2), { 1, list(a.kernel_size, 1, name)[1] }, o)
    if at then return y:squeeze(-2), at:squeeze(-2) end
    return y:squeeze(-2)
  end
end
define("max_pool1d", "input kernel_size stride padding dilation ceil_mode return_indices", {},
  along_line("max_pool1d", function(...) return F.max_pool2d(...) end, max_lists, { "ceil_mode", "return_indices" }), 2)
define("avg_pool1d", "input kernel_size stride padding ceil_mode count_include_pad", {},
  along_line("avg_pool1d", function(...) return F.avg_pool2d(...) end, avg_lists, { "ceil_mode", "count_include_pad" }), 2)

-- ---- volumes: the planes first, then the depth ----

local function planes(name, x)
  want_dims(name, x, 4)
  local s = x.shape
  if s[x.ndim - 3] == 0 then fail(("[%s] only the batch may be empty"):format(name)) end
  local lead = x.ndim == 5 and s[1] * s[2] or s[1]
  return x:reshape({ lead, s[x.ndim - 2], s[x.ndim - 1], s[x.ndim] }), s, lead
end
-- (lead, depth, h, w) as one image a volume: its rows are the depth
local function upright(y, lead) return y:reshape({ lead, 1, y.shape[2], y.shape[3] * y.shape[4] }) end
local function volume(y, shape, h, w)
  local out = { table.unpack(shape, 1, #shape - 3) }
  out[#out + 1], out[#out + 2], out[#out + 3] = y.shape[3], h, w
  return y:reshape(out)
end

local function halves(a, lists, plain, name)
  local k = list(a.kernel_size, 3, name)
  local flat = part(a, lists, function(v) local l = list(v, 3, name) return { l[2], l[3] } end)
  local deep = part(a, lists, function(v, neutral) return { list(v, 3, name)[1], neutral } end)
  if a.stride == nil then flat.stride, deep.stride = { k[2], k[3] }, { k[1], 1 } end
  for _, key in ipairs(plain) do flat[key], deep[key] = a[key], a[key] end
  return { k[2], k[3] }, flat, { k[1], 1 }, deep
end

--- The largest element of each window of (batch, channels, depth, rows, columns), or without batch; as max_pool2d. return_indices:
-- also where it was, its position in the volume counted from 0.
define("max_pool3d", "input kernel_size stride padding dilation ceil_mode return_indices", {}, function(a)
  local x, shape, lead = planes("max_pool3d", a.input)
  local k2, flat, k1, deep = halves(a, max_lists, { "ceil_mode" }, "max_pool3d")
  flat.return_indices, deep.return_indices = a.return_indices, a.return_indices
  local y, at = F.max_pool2d(x, k2, flat)
  local h, w = y.shape[3], y.shape[4]
  local z, level = F.max_pool2d(upright(y, lead), k1, deep)
  if not a.return_indices then return volume(z, shape, h, w) end
  -- level is a position in the (depth, h w) plane of y; there lies the position in the plane of x
  local inner = at:reshape({ lead, -1 }):gather(2, level:reshape({ lead, -1 })):reshape(level.shape)
  local place = tide.floor_divide(level, h * w) * (x.shape[3] * x.shape[4]) + inner
  return volume(z, shape, h, w), volume(place, shape, h, w)
end, 2)

--- The mean of each window of (batch, channels, depth, rows, columns), or without batch; as avg_pool2d.
define("avg_pool3d", "input kernel_size stride padding ceil_mode count_include_pad divisor_override", {}, function(a)
  local x, shape, lead = planes("avg_pool3d", a.input)
  local k2, flat, k1, deep = halves(a, avg_lists, { "ceil_mode", "count_include_pad" }, "avg_pool3d")
  if a.divisor_override then flat.divisor_override, deep.divisor_override = 1, a.divisor_override end
  local y = F.avg_pool2d(x, k2, flat)
  return volume(F.avg_pool2d(upright(y, lead), k1, deep), shape, y.shape[3], y.shape[4])
end, 2)

-- ---- adaptive ----

-- sizes of the result; false where the input's stays
local function sizes(x, output_size, n, name)
  local o = type(output_size) == "table" and output_size or list(output_size, n, name)
  local out, last = {}, 0
  want_dims(name, x, n + 1)
  for i in pairs(o) do last = math.max(last, i) end
  if last ~= n then fail(("[%s] output_size is a number or %d, not %d"):format(name, n, last)) end
  for i = 1, n do
    out[i] = o[i] or x.shape[x.ndim - n + i]
    if out[i] < 1 then fail(("[%s] output_size must be positive"):format(name)) end
  end
  return out
end

local means = F.adaptive_avg_pool2d
define("adaptive_avg_pool2d", "input output_size", {}, function(a)
  return means(a.input, sizes(a.input, a.output_size, 2, "adaptive_avg_pool2d"))
end, 2)
--- Means of output_size windows that cover (batch, channels, length) evenly; as adaptive_avg_pool2d.
define("adaptive_avg_pool1d", "input output_size", {}, function(a)
  want_dims("adaptive_avg_pool1d", a.input, 2)
  return means(a.input:unsqueeze(-2), { 1, sizes(a.input, a.output_size, 1, "adaptive_avg_pool1d")[1] }):squeeze(-2)
end, 2)
--- Means of output_size windows that cover (batch, channels, depth, rows, columns) evenly; as adaptive_avg_pool2d.
define("adaptive_avg_pool3d", "input output_size", {}, function(a)
  local x, shape, lead = planes("adaptive_avg_pool3d", a.input)
  local o = sizes(a.input, a.output_size, 3, "adaptive_avg_pool3d")
  return volume(means(upright(means(x, { o[2], o[3] }), lead), { o[1], o[2] * o[3] }), shape, o[2], o[3])
end, 2)

-- The largest of `m` windows that cover dim evenly, and where: windows are drawn out to one width by repeating their
-- last element, which changes neither.
local function widest(x, dim, m)
  local n, shape = x.shape[dim], x.shape
  if n < 1 then fail("[adaptive_max_pool] only the batch may be empty") end
  local from, width, index = {}, 0, {}
  for i = 0, m - 1 do
    from[i + 1] = i * n // m
    width = math.max(width, ((i + 1) * n + m - 1) // m - from[i + 1])
  end
  for i = 0, m - 1 do
    for j = 0, width - 1 do index[#index + 1] = math.min(from[i + 1] + j, ((i + 1) * n + m - 1) // m - 1) end
  end
  shape[dim] = m
  table.insert(shape, dim + 1, width)
  local y, at = tide.max(x:index_select(dim, tide.tensor(index, { dtype = "int64" })):reshape(shape), dim + 1)
  local along = {}
  for d = 1, x.ndim do along[d] = d == dim and m or 1 end
  return y, at + tide.tensor(from, { dtype = "int64" }):reshape(along)
end

local function adaptive_max(n)
  local name = ("adaptive_max_pool%dd"):format(n)
  --- The largest element of output_size windows that cover the input evenly; as adaptive_avg_pool2d. return_indices: also where
  -- it was, its position in the input's line, plane or volume counted from 0.
  define(name, "input output_size return_indices", {}, function(a)
    local y, place = a.input, nil
    want_dims(name, y, n + 1)
    local o, stride = sizes(y, a.output_size, n, name), 1
    for i = n, 1, -1 do -- the last dim first, so that the first of equals in memory's order stays
      local dim = a.input.ndim - n + i
      local values, at = widest(y, dim, o[i])
      y, place = values, place and place:gather(dim, at) + at * stride or at
      stride = stride * a.input.shape[dim]
    end
    if a.return_indices then return y, place end
    return y
  end, 2)
end
for n = 1, 3 do adaptive_max(n) end
