-- Losses.
return {
  { "cross_entropy", "input: tensor, target: tensor, *, weight: tensor?, ignore_index: int = -100, reduction: enum(none|mean|sum) = mean, label_smoothing: float = 0.0",
    program = true, infer = true, space = true, outputs = 2, shown = 1, lua = "nn.functional.cross_entropy",
    doc = "The negative log-likelihood of target under softmax(input) over the classes: dim 2 of (batch, classes, ...), or the only dim. target: class numbers from 0 (int64), or probabilities in the shape of input." },
  { "mse_loss", "input: tensor, target: tensor, *, reduction: enum(none|mean|sum) = mean", program = true, promotes = true, infer = true, space = true,
    lua = "nn.functional.mse_loss", doc = "The squared difference, averaged over all elements by default." },
}
