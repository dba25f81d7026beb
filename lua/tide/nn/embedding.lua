local tide = require "tide.core"
local Module = require("tide.nn.module").Module
local init = require "tide.nn.initialise"

--- Rows of a table by number, counted from 0. ids int64 (...) -> (..., embedding_dim). options: padding_idx, dtype.
local Embedding = Module:extend("Embedding")

function Embedding:init(num_embeddings, embedding_dim, options)
  options = options or {}
  self.num_embeddings, self.embedding_dim, self.padding_idx = num_embeddings, embedding_dim, options.padding_idx
  self.weight = tide.empty({ num_embeddings, embedding_dim }, { dtype = options.dtype }):requires_grad_(true)
  init.normal_(self.weight)
  if self.padding_idx then tide.no_grad(function() self.weight[self.padding_idx + 1]:zero_() end) end
end

function Embedding:forward(ids)
  if self.padding_idx then return tide.nn.functional.embedding(ids, self.weight, { padding_idx = self.padding_idx }) end
  return tide.nn.functional.embedding(ids, self.weight)
end

function Embedding:extra() return ("%d, %d"):format(self.num_embeddings, self.embedding_dim) end

return Embedding
