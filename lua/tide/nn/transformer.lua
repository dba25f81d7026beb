--- Encoders of transformers (Vaswani et al., arXiv 1706.03762).
local tide = require "tide.core"
local Module = require("tide.nn.module").Module
local arguments = require "tide.arguments"
local Linear, MultiheadAttention = require "tide.nn.linear", require "tide.nn.attention"
local Dropout, LayerNorm = require("tide.nn.dropout").Dropout, require("tide.nn.layer_norm").LayerNorm

--- Self-attention, then two linear layers, each added to its input and normalised.
--   nn.TransformerEncoderLayer(d_model, nhead, {dim_feedforward = 2048, dropout = 0.1, activation = "relu", layer_norm_eps = 1e-5,
--     batch_first = false, norm_first = false, bias = true, dtype})
-- layer(src, {src_mask, src_key_padding_mask, is_causal = false}): src (length, batch, d_model), or the batch first; masks as
-- nn.MultiheadAttention's. activation: "relu", "gelu" or a function.
local EncoderLayer = Module:extend("TransformerEncoderLayer")
local read = arguments("TransformerEncoderLayer", "d_model nhead dim_feedforward dropout activation:string|function layer_norm_eps batch_first norm_first bias dtype", 2,
  { dim_feedforward = 2048, dropout = 0.1, activation = "relu", layer_norm_eps = 1e-5, batch_first = false, norm_first = false, bias = true })
local read_call = arguments("TransformerEncoderLayer", "src src_mask src_key_padding_mask is_causal", 1, { is_causal = false })

function EncoderLayer:init(...)
  local a = read(...)
  local o = { bias = a.bias, dtype = a.dtype }
  local norm = { eps = a.layer_norm_eps, bias = a.bias, dtype = a.dtype }
  self.self_attn = MultiheadAttention(a.d_model, a.nhead, { dropout = a.dropout, bias = a.bias, batch_first = a.batch_first, dtype = a.dtype })
  self.linear1 = Linear(a.d_model, a.dim_feedforward, o)
  self.dropout = Dropout(a.dropout)
  self.linear2 = Linear(a.dim_feedforward, a.d_model, o)
  self.norm_first = a.norm_first
  self.norm1, self.norm2 = LayerNorm(a.d_model, norm), LayerNorm(a.d_model, norm)
  self.dropout1, self.dropout2 = Dropout(a.dropout), Dropout(a.dropout)
  self._activation = a.activation
  if type(a.activation) == "string" and a.activation ~= "relu" and a.activation ~= "gelu" then
    tide._fail(("[TransformerEncoderLayer] activation is 'relu', 'gelu' or a function, not '%s'"):format(a.activation))
  end
end

function EncoderLayer:forward(...)
  local a = read_call(...)
  local function attend(x)
    return self.dropout1((self.self_attn(x, x, x,
      { key_padding_mask = a.src_key_padding_mask, need_weights = false, attn_mask = a.src_mask, is_causal = a.is_causal })))
  end
  local function feed(x)
    local act = self._activation
    if type(act) == "string" then act = act == "relu" and tide.relu or tide.nn.functional.gelu end
    return self.dropout2(self.linear2(self.dropout(act(self.linear1(x)))))
  end
  local x = a.src
  if self.norm_first then
    x = x + attend(self.norm1(x))
    return x + feed(self.norm2(x))
  end
  x = self.norm1(x + attend(x))
  return self.norm2(x + feed(x))
end

--- num_layers copies of a layer one after the other, then norm if it is given. Called like a layer: (src, {mask,
-- src_key_padding_mask, is_causal}).
local Encoder = Module:extend("TransformerEncoder")
local read_encoder = arguments("TransformerEncoder", "encoder_layer:module num_layers norm:function", 2)
local read_encode = arguments("TransformerEncoder", "src mask src_key_padding_mask is_causal", 1)

function Encoder:init(...)
  local a = read_encoder(...)
  self.layers, self.norm = {}, a.norm
  for i = 1, a.num_layers do self.layers[i] = a.encoder_layer:clone() end
end

function Encoder:forward(...)
  local a = read_encode(...)
  local x = a.src
  for _, layer in ipairs(self.layers) do
    x = layer(x, { src_mask = a.mask, src_key_padding_mask = a.src_key_padding_mask, is_causal = a.is_causal })
  end
  return self.norm and self.norm(x) or x
end

return { TransformerEncoderLayer = EncoderLayer, TransformerEncoder = Encoder }
