local tide = require "tide.core"
local Module = require("tide.nn.module").Module
local arguments = require "tide.arguments"
local expect = arguments.one
local init = require "tide.nn.initialise"

--- Rows of a table by number, counted from 0. ids int64 (...) -> (..., embedding_dim). options: padding_idx (its row is 0 and
-- gets no gradient), max_norm (longer rows are scaled down to it), norm_type (2), scale_grad_by_freq (false), dtype.
local Embedding = Module:extend("Embedding")
local read = arguments("Embedding", "num_embeddings embedding_dim padding_idx max_norm norm_type scale_grad_by_freq dtype", 2)

function Embedding:init(...)
  local a = read(...)
  self.num_embeddings, self.embedding_dim, self.padding_idx = a.num_embeddings, a.embedding_dim, a.padding_idx
  local options = { padding_idx = a.padding_idx, max_norm = a.max_norm, norm_type = a.norm_type, scale_grad_by_freq = a.scale_grad_by_freq }
  self._options = next(options) and options
  self.weight = tide.empty({ a.num_embeddings, a.embedding_dim }, { dtype = a.dtype }):requires_grad_(true)
  init.normal_(self.weight)
  if self.padding_idx then tide.no_grad(function() self.weight[self.padding_idx + 1]:zero_() end) end
end

--- An embedding of a table that is there already, (rows, columns). options: freeze (true), and those of nn.Embedding.
function Embedding.from_pretrained(weight, options)
  local o = {}
  if expect("tensor", "Embedding.from_pretrained", "weight", weight).ndim ~= 2 then
    tide._fail(("[Embedding.from_pretrained] expected (rows, columns), got %d dims"):format(weight.ndim))
  end
  for key, value in pairs(expect("table", "Embedding.from_pretrained", "options", options or {})) do o[key] = value end
  local frozen = o.freeze ~= false
  o.freeze, o.dtype = nil, weight.dtype
  local self = Embedding(weight.shape[1], weight.shape[2], o)
  tide.no_grad(function() self.weight:copy_(weight) end)
  self.weight:requires_grad_(not frozen)
  return self
end

function Embedding:forward(ids)
  if self._options then return tide.nn.functional.embedding(ids, self.weight, self._options) end
  return tide.nn.functional.embedding(ids, self.weight)
end

function Embedding:extra() return ("%d, %d"):format(self.num_embeddings, self.embedding_dim) end

--- The mean, sum or maximum of rows, bag by bag: nn.functional.embedding_bag of its weight. bag(input, offsets, {per_sample_weights}).
-- options: mode ("mean", "sum", "max"), padding_idx, max_norm, norm_type, scale_grad_by_freq, include_last_offset, dtype.
local EmbeddingBag = Module:extend("EmbeddingBag")
local read_bag = arguments("EmbeddingBag",
  "num_embeddings embedding_dim max_norm norm_type scale_grad_by_freq mode:string include_last_offset:boolean padding_idx dtype", 2)
local read_call = arguments("EmbeddingBag", "input offsets:tensor per_sample_weights:tensor", 1)

function EmbeddingBag:init(...)
  local a = read_bag(...)
  self.num_embeddings, self.embedding_dim, self.padding_idx = a.num_embeddings, a.embedding_dim, a.padding_idx
  self._options = { max_norm = a.max_norm, norm_type = a.norm_type, scale_grad_by_freq = a.scale_grad_by_freq, mode = a.mode,
    include_last_offset = a.include_last_offset, padding_idx = a.padding_idx }
  self.weight = tide.empty({ a.num_embeddings, a.embedding_dim }, { dtype = a.dtype }):requires_grad_(true)
  init.normal_(self.weight)
  if self.padding_idx then tide.no_grad(function() self.weight[self.padding_idx + 1]:zero_() end) end
end
function EmbeddingBag:forward(...)
  local a, options = read_call(...), {}
  for key, value in pairs(self._options) do options[key] = value end
  options.per_sample_weights = a.per_sample_weights
  return tide.nn.functional.embedding_bag(a.input, self.weight, a.offsets, options)
end
EmbeddingBag.extra = Embedding.extra

return { Embedding = Embedding, EmbeddingBag = EmbeddingBag }
