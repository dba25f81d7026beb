local tide = require "tide.core"
local Module = require("tide.nn.module").Module
local arguments = require "tide.arguments"
local init = require "tide.nn.initialise"
local Linear = require "tide.nn.linear"

--- Attention of several heads side by side (Vaswani et al., arXiv 1706.03762).
--   local mha = nn.MultiheadAttention(embed_dim, num_heads, {dropout = 0, bias = true, kdim, vdim, batch_first = false, dtype})
--   local y, weights = mha(query, key, value, {key_padding_mask, need_weights = true, attn_mask, average_attn_weights = true, is_causal = false})
-- query (targets, batch, embed_dim), key and value (sources, batch, kdim or vdim); the batch first if batch_first, or without it.
-- Masks: bool (true: may not be seen) or numbers that are added; key_padding_mask (batch, sources), attn_mask (targets, sources) or
-- (batch * num_heads, targets, sources). y is like query; weights (batch, targets, sources), means over the heads, or
-- (batch, num_heads, targets, sources) without average_attn_weights, and nil without need_weights, which is faster.
local MultiheadAttention = Module:extend("MultiheadAttention")
local read = arguments("MultiheadAttention", "embed_dim num_heads dropout bias kdim vdim batch_first dtype", 2,
  { dropout = 0.0, bias = true, batch_first = false })
local read_call = arguments("MultiheadAttention", "query key value key_padding_mask need_weights attn_mask average_attn_weights is_causal", 3,
  { need_weights = true, average_attn_weights = true, is_causal = false })

function MultiheadAttention:init(...)
  local a = read(...)
  local e, o = a.embed_dim, { dtype = a.dtype }
  if a.num_heads < 1 or e % a.num_heads ~= 0 then tide._fail(("[MultiheadAttention] %d heads do not divide embed_dim %d"):format(a.num_heads, e)) end
  self.embed_dim, self.num_heads, self.dropout, self.batch_first = e, a.num_heads, a.dropout, a.batch_first
  local kdim, vdim = a.kdim or e, a.vdim or e
  local function make(name, shape) self[name] = init.xavier_uniform_(tide.empty(shape, o)):requires_grad_(true) end
  if kdim == e and vdim == e then
    make("in_proj_weight", { 3 * e, e })
  else
    make("q_proj_weight", { e, e })
    make("k_proj_weight", { e, kdim })
    make("v_proj_weight", { e, vdim })
  end
  if a.bias then self.in_proj_bias = tide.zeros({ 3 * e }, o):requires_grad_(true) end
  self.out_proj = Linear(e, e, { bias = a.bias, dtype = a.dtype })
  if a.bias then init.zeros_(self.out_proj.bias) end
end

-- The three products of inputs (batch, length, size), split into heads (batch, heads, length, size of a head).
local function project(self, query, key, value)
  local F, e, heads = tide.nn.functional, self.embed_dim, self.num_heads
  local function split(t) return t:reshape({ t.shape[1], t.shape[2], heads, e // heads }):transpose(2, 3) end
  local w, b = self.in_proj_weight, self.in_proj_bias
  if w and rawequal(query, key) and rawequal(key, value) then
    local all = F.linear(query, w, b)
    return split(all:narrow(3, 1, e)), split(all:narrow(3, e + 1, e)), split(all:narrow(3, 2 * e + 1, e))
  end
  local function one(k, x, name)
    return split(F.linear(x, w and w:narrow(1, k * e + 1, e) or self[name], b and b:narrow(1, k * e + 1, e)))
  end
  return one(0, query, "q_proj_weight"), one(1, key, "k_proj_weight"), one(2, value, "v_proj_weight")
end

-- What is added to the scores: one tensor that fits (batch, heads, targets, sources), or nil.
local function whole_mask(self, a, batch, dtype)
  local function numbers(m)
    if m.dtype ~= "bool" then return m end
    return tide.zeros(m.shape, { dtype = dtype }):masked_fill(m, -math.huge)
  end
  local mask, padding = a.attn_mask, a.key_padding_mask
  if a.is_causal and not mask and (padding or a.need_weights) then
    mask = tide.arange(a.sources):gt(tide.arange(a.targets):unsqueeze(2))
  end
  if mask then
    mask = numbers(mask)
    if mask.ndim == 3 then mask = mask:reshape({ batch, self.num_heads, mask.shape[2], mask.shape[3] }) end
  end
  if padding then
    padding = numbers(padding)
    if padding.ndim == 1 then padding = padding:unsqueeze(1) end
    padding = padding:unsqueeze(2):unsqueeze(3)
    mask = mask and mask + padding or padding
  end
  return mask
end

function MultiheadAttention:forward(...)
  local a = read_call(...)
  local inputs, arranged, alone = {}, {}, a.query.ndim == 2
  for i, t in ipairs { a.query, a.key, a.value } do
    if t.ndim ~= a.query.ndim or (t.ndim ~= 2 and t.ndim ~= 3) then tide._fail("[MultiheadAttention] query, key and value must have 3 dims, or 2 without a batch") end
    arranged[t] = arranged[t] or alone and t:unsqueeze(1) or self.batch_first and t or t:transpose(1, 2) -- what is given twice stays one
    inputs[i] = arranged[t]
  end
  local q, k, v = project(self, inputs[1], inputs[2], inputs[3])
  local batch, targets = q.shape[1], q.shape[3]
  a.targets, a.sources = targets, k.shape[3]
  local mask, p = whole_mask(self, a, batch, q.dtype), self.training and self.dropout or 0.0
  local y, weights
  if a.need_weights then
    local scores = tide.matmul(q * (1 / math.sqrt(self.embed_dim // self.num_heads)), k:transpose(-2, -1))
    weights = tide.softmax(mask and scores + mask or scores, -1)
    if p > 0 then weights = tide.nn.functional.dropout(weights, { p = p }) end
    y = tide.matmul(weights, v)
    if a.average_attn_weights then weights = weights:mean(2) end
    if alone then weights = weights:squeeze(1) end
  else
    y = tide.nn.functional.scaled_dot_product_attention(q, k, v, { attn_mask = mask, dropout_p = p, is_causal = a.is_causal and not mask })
  end
  y = self.out_proj(y:transpose(2, 3):reshape({ batch, targets, self.embed_dim }))
  if alone then y = y:squeeze(1) elseif not self.batch_first then y = y:transpose(1, 2) end
  return y, weights
end

function MultiheadAttention:extra() return ("%d, %d heads"):format(self.embed_dim, self.num_heads) end

return MultiheadAttention
