--- Moving the elements of images: padding, and channels that become pixels.
local tide = require "tide.core"
local define = require "tide.nn.functional.define"
local fail = tide._fail

local function constant(x, dim, before, after, value)
  local cut_before, cut_after = math.max(0, -before), math.max(0, -after)
  local length = x.shape[dim] - cut_before - cut_after
  if length < 0 then fail(("[pad] dim %d has %d positions, from which %d cannot be taken"):format(dim, x.shape[dim], cut_before + cut_after)) end
  if cut_before + cut_after > 0 then x = x:narrow(dim, length > 0 and 1 + cut_before or 1, length) end
  local parts = {}
  local function fill(n)
    if n <= 0 then return end
    local shape = x.shape
    shape[dim] = n
    parts[#parts + 1] = tide.full(shape, value, { dtype = x.dtype })
  end
  fill(before)
  parts[#parts + 1] = x
  fill(after)
  return #parts > 1 and tide.cat(parts, dim) or x
end

-- where position p (from 0) of n comes from
local sources = {
  reflect = function(p, n) return p < 0 and -p or p >= n and 2 * (n - 1) - p or p end,
  replicate = function(p, n) return math.max(0, math.min(n - 1, p)) end,
  circular = function(p, n) return p % n end,
}
local function gathered(x, dim, before, after, mode)
  if mode == "circular" and (before < 0 or after < 0) then -- what is left goes round
    x = constant(x, dim, math.min(before, 0), math.min(after, 0))
    before, after = math.max(before, 0), math.max(after, 0)
  end
  local n, index = x.shape[dim], {}
  local most = mode == "reflect" and n - 1 or mode == "circular" and n or math.huge
  if n < 1 or before > most or after > most then fail(("[pad] %d and %d are too much for %d positions in mode '%s'"):format(before, after, n, mode)) end
  if n + before + after < 1 then fail(("[pad] dim %d would have %d positions"):format(dim, n + before + after)) end
  for p = -before, n + after - 1 do index[#index + 1] = sources[mode](p, n) end
  return x:index_select(dim, tide.tensor(index, { dtype = "int64" }))
end

--- More positions around input. pad: how many before and after, {last dim, last dim, the one before, ...}; negative ones take away.
-- mode: "constant" (of value, 0), or of the 1 to 3 last dims behind a batch and channels "reflect", "replicate", "circular".
define("pad", "input pad:table mode:string value:number|boolean", { mode = "constant" }, function(a)
  local x, pad, mode = a.input, a.pad, a.mode
  if #pad % 2 ~= 0 or #pad > 2 * x.ndim then fail(("[pad] %d numbers for an input of %d dims"):format(#pad, x.ndim)) end
  for i = 1, #pad do
    if math.type(pad[i]) ~= "integer" then fail "[pad] pad holds integers" end
  end
  if mode ~= "constant" then
    local dims = #pad // 2
    if not sources[mode] then fail(("[pad] mode is 'constant', 'reflect', 'replicate' or 'circular', not '%s'"):format(mode)) end
    if a.value ~= nil and a.value ~= 0 then fail(("[pad] mode '%s' takes no value"):format(mode)) end
    if dims < 1 or dims > 3 or (x.ndim ~= dims + 1 and x.ndim ~= dims + 2) then
      fail(("[pad] %d numbers do not fit an input of %d dims in mode '%s'"):format(#pad, x.ndim, mode))
    end
  end
  for i = 1, #pad // 2 do
    local dim, before, after = x.ndim + 1 - i, pad[2 * i - 1], pad[2 * i]
    if before ~= 0 or after ~= 0 then
      x = mode == "constant" and constant(x, dim, before, after, a.value or 0) or gathered(x, dim, before, after, mode)
    end
  end
  return rawequal(x, a.input) and x:clone() or x
end, 2)

local function spatial(name, x, factor)
  if x.ndim < 3 then fail(("[%s] input needs at least the dims (channels, rows, columns)"):format(name)) end
  if factor < 1 then fail(("[%s] the factor must be positive, not %d"):format(name, factor)) end
  local shape = x.shape
  local lead = { table.unpack(shape, 1, x.ndim - 3) }
  return lead, shape[x.ndim - 2], shape[x.ndim - 1], shape[x.ndim]
end
local function sized(lead, ...)
  local out = { table.unpack(lead) }
  for _, n in ipairs { ... } do out[#out + 1] = n end
  return out
end
local function permuted(x, n, order)
  local dims = {}
  for d = 1, n do dims[d] = d end
  for i, d in ipairs(order) do dims[n + i] = n + d end
  return x:permute(dims)
end

--- (..., channels r^2, rows, columns) -> (..., channels, rows r, columns r), r = upscale_factor (Shi et al., arXiv 1609.05158).
define("pixel_shuffle", "input upscale_factor:integer", {}, function(a)
  local r = a.upscale_factor
  local lead, c, h, w = spatial("pixel_shuffle", a.input, r)
  if c % (r * r) ~= 0 then fail(("[pixel_shuffle] %d channels are no multiple of %d"):format(c, r * r)) end
  local x = a.input:reshape(sized(lead, c // (r * r), r, r, h, w))
  return permuted(x, #lead, { 1, 4, 2, 5, 3 }):reshape(sized(lead, c // (r * r), h * r, w * r))
end, 2)

--- The inverse of pixel_shuffle.
define("pixel_unshuffle", "input downscale_factor:integer", {}, function(a)
  local r = a.downscale_factor
  local lead, c, h, w = spatial("pixel_unshuffle", a.input, r)
  if h % r ~= 0 or w % r ~= 0 then fail(("[pixel_unshuffle] %d rows and %d columns are no multiples of %d"):format(h, w, r)) end
  local x = a.input:reshape(sized(lead, c, h // r, r, w // r, r))
  return permuted(x, #lead, { 1, 3, 5, 2, 4 }):reshape(sized(lead, c * r * r, h // r, w // r))
end, 2)
