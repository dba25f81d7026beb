--- Losses as layers: nn.CrossEntropyLoss{label_smoothing = 0.1}; arguments and defaults are those of the functions. A weight
-- is a buffer, so that :to() converts it too.
local tide = require "tide.core"
local Module = require("tide.nn.module").Module
local arguments = require "tide.arguments"

local layers = {}
local function add(name, fn, keys)
  local class = Module:extend(name)
  local read = arguments(name, keys, 0)
  function class:init(...)
    self._options = {}
    for key, value in pairs(read(...)) do
      if tide.is_tensor(value) then self:register_buffer(key, value) else self._options[key] = value end
    end
  end
  function class:forward(...)
    local args, options = table.pack(...), {}
    for key, value in pairs(self._options) do options[key] = value end
    options.weight, options.pos_weight = self.weight, self.pos_weight
    if next(options) == nil then return tide.nn.functional[fn](...) end
    args[args.n + 1] = options
    return tide.nn.functional[fn](table.unpack(args, 1, args.n + 1))
  end
  layers[name] = class
end

add("CrossEntropyLoss", "cross_entropy", "weight ignore_index reduction label_smoothing")
add("NLLLoss", "nll_loss", "weight ignore_index reduction")
add("MSELoss", "mse_loss", "reduction")
add("L1Loss", "l1_loss", "reduction")
add("SmoothL1Loss", "smooth_l1_loss", "reduction beta")
add("HuberLoss", "huber_loss", "reduction delta")
add("BCELoss", "binary_cross_entropy", "weight reduction")
add("BCEWithLogitsLoss", "binary_cross_entropy_with_logits", "weight reduction pos_weight")
add("KLDivLoss", "kl_div", "reduction log_target")
add("PoissonNLLLoss", "poisson_nll_loss", "log_input full eps reduction")
add("GaussianNLLLoss", "gaussian_nll_loss", "full eps reduction")
add("SoftMarginLoss", "soft_margin_loss", "reduction")
add("HingeEmbeddingLoss", "hinge_embedding_loss", "margin reduction")
add("CosineEmbeddingLoss", "cosine_embedding_loss", "margin reduction")
add("MarginRankingLoss", "margin_ranking_loss", "margin reduction")
add("TripletMarginLoss", "triplet_margin_loss", "margin p eps swap reduction")
add("MultiMarginLoss", "multi_margin_loss", "p margin weight reduction")
add("MultiLabelMarginLoss", "multilabel_margin_loss", "reduction")
add("MultiLabelSoftMarginLoss", "multilabel_soft_margin_loss", "weight reduction")
add("CosineSimilarity", "cosine_similarity", "dim eps")
add("PairwiseDistance", "pairwise_distance", "p eps keepdim")
return layers
