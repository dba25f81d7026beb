local tide = require "tide.core"
local define = require "tide.nn.functional.define"
local F, fail = tide.nn.functional, tide._fail

-- true where query i may see key j: j <= i
local function causal(l, s) return tide.arange(s):le(tide.arange(l):unsqueeze(2)) end

-- (..., heads, s, e) -> (..., heads * times, s, e), each head `times` times in a row
local function repeat_heads(t, times)
  if times == 1 then return t end
  local shape, n = t.shape, t.ndim
  local wide = { table.unpack(shape) }
  table.insert(wide, n - 1, times)
  shape[n - 2] = shape[n - 2] * times
  return t:unsqueeze(n - 1):expand(wide):reshape(shape)
end

--- softmax(query key^T * scale + mask) value (Vaswani et al., arXiv 1706.03762). query (..., l, e), key (..., s, e), value
-- (..., s, v) -> (..., l, v). attn_mask: bool (true: may be seen) or numbers that are added; a query that may see nothing
-- gives 0. scale: 1 / sqrt(e) by default. enable_gqa: key and value have fewer heads (dim -3), each read by several
-- query heads (Ainslie et al., arXiv 2305.13245).
define("scaled_dot_product_attention", "query key value attn_mask dropout_p is_causal scale enable_gqa",
  { dropout_p = 0.0, is_causal = false, enable_gqa = false }, function(a)
  local q, k, v, mask = a.query, a.key, a.value, a.attn_mask
  for name, t in pairs { query = q, key = k, value = v } do
    if t.ndim < 2 then fail(("[scaled_dot_product_attention] %s needs at least 2 dims"):format(name)) end
  end
  if mask and a.is_causal then fail("[scaled_dot_product_attention] give attn_mask or is_causal, not both") end
  local dtype, n = q.dtype, q.ndim
  if dtype == "bfloat16" or dtype == "float16" then -- scores and their softmax in float32, rounded once at the end
    q, k, v = q:to("float32"), k:to("float32"), v:to("float32")
    if mask and mask.dtype ~= "bool" then mask = mask:to("float32") end
  end
  local l, e, s = q.shape[n - 1], q.shape[n], k.shape[k.ndim - 1]
  if a.enable_gqa then
    local heads, have = q.shape[n - 2], k.shape[k.ndim - 2]
    if n < 3 or heads % have ~= 0 or heads % v.shape[v.ndim - 2] ~= 0 then
      fail("[scaled_dot_product_attention] the query heads must be a multiple of the key heads")
    end
    k, v = repeat_heads(k, heads // have), repeat_heads(v, heads // v.shape[v.ndim - 2])
  end
  local scores = tide.matmul(q * (a.scale or 1 / math.sqrt(e)), k:transpose(-2, -1))
  if a.is_causal then mask = causal(l, s) end
  local blind
  if mask then
    if mask.dtype == "bool" then scores = scores:masked_fill(mask:logical_not(), -math.huge) else scores = scores + mask end
    if not a.is_causal then
      blind = scores:detach():amax(-1, { keepdim = true }):eq(-math.huge)
      scores = scores:masked_fill(blind, 0.0)
    end
  end
  local weights = tide.softmax(scores, -1)
  if blind then weights = weights:masked_fill(blind, 0.0) end
  if a.dropout_p > 0 then weights = F.dropout(weights, { p = a.dropout_p }) end
  local y = tide.matmul(weights, v)
  return y.dtype == dtype and y or y:to(dtype)
end, 3)
