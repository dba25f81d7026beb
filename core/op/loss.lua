-- Losses. `reduction` is the first attribute of all but those over classes: loss.c reads it there.
local reduction = "reduction: enum(none|mean|sum) = mean"
-- a loss of each element; `extra` attributes; inputs are broadcast together
local function each(name, inputs, extra, doc)
  return { name, inputs .. ", *, " .. reduction .. extra, program = true, floating = true, infer = "loss_infer", space = "loss_space",
    lua = "nn.functional." .. name, doc = doc .. " Averaged over all elements by default." }
end
local function huber(row) row.infer = "huber_loss_infer"; return row end
local pair = "input: tensor, target: tensor"
return {
  { "cross_entropy", "input: tensor, target: tensor, *, weight: tensor?, ignore_index: int = -100, reduction: enum(none|mean|sum) = mean, label_smoothing: float = 0.0",
    program = true, infer = true, space = true, outputs = 2, shown = 1, lua = "nn.functional.cross_entropy",
    doc = "The negative log-likelihood of target under softmax(input) over the classes: dim 2 of (batch, classes, ...), or the only dim. target: class numbers from 0 (int64), or probabilities in the shape of input." },
  { "nll_loss", "input: tensor, target: tensor, *, weight: tensor?, ignore_index: int = -100, reduction: enum(none|mean|sum) = mean",
    program = true, infer = true, space = true, outputs = 2, shown = 1, lua = "nn.functional.nll_loss",
    doc = "Minus the input (log-probabilities) at the class numbers of target, which count from 0; dims as in cross_entropy." },
  { "mse_loss", "input: tensor, target: tensor, *, reduction: enum(none|mean|sum) = mean", program = true, promotes = true, infer = "loss_infer", space = "loss_space",
    lua = "nn.functional.mse_loss", doc = "The squared difference, averaged over all elements by default." },
  each("l1_loss", pair, "", "The absolute difference."),
  each("smooth_l1_loss", pair, ", beta: float = 1.0", "Half the squared difference over beta where it is below beta, else the absolute one less beta / 2 (Girshick, arXiv 1504.08083)."),
  huber(each("huber_loss", pair, ", delta: float = 1.0", "Half the squared difference up to delta, beyond it delta times the absolute one less delta / 2 (Huber 1964).")),
  each("binary_cross_entropy", pair .. ", weight: tensor?", "", "-(target log(input) + (1 - target) log(1 - input)), logarithms at least -100, times weight."),
  each("binary_cross_entropy_with_logits", pair .. ", weight: tensor?, pos_weight: tensor?", "", "binary_cross_entropy of sigmoid(input), without overflow; pos_weight multiplies the loss of targets that are 1."),
  each("kl_div", pair, ", log_target: bool = false", "target (log(target) - input), input being log-probabilities; with log_target so is target."),
  each("poisson_nll_loss", pair, ", log_input: bool = true, full: bool = false, eps: float = 1e-8", "exp(input) - target input, or input - target log(input + eps); full adds Stirling's approximation of log(target!)."),
  each("soft_margin_loss", pair, "", "log(1 + exp(-target input)), without overflow."),
  each("hinge_embedding_loss", pair, ", margin: float = 1.0", "input where target is 1, max(0, margin - input) where it is -1."),
}
