-- Normalisations.
return {
  { "layer_norm", "input: tensor, normalized_shape: shape, weight: tensor?, bias: tensor?, *, eps: float = 1e-5", program = true, infer = true, space = true,
    vjp_program = true, saves_in = 3, saves_out = 6, outputs = 3, shown = 1, lua = "nn.functional.layer_norm",
    doc = "(input - mean) / sqrt(var + eps) * weight + bias over the last dims (Ba et al., arXiv 1607.06450)." },
  { "rms_norm", "input: tensor, normalized_shape: shape, weight: tensor?, *, eps: float?", program = true, infer = true, space = true, outputs = 2, shown = 1,
    lua = "nn.functional.rms_norm",
    doc = "input / sqrt(mean(input^2) + eps) * weight over the last dims (Zhang and Sennrich, arXiv 1910.07467); eps: the dtype's epsilon by default." },
  { "batch_norm", "input: tensor, running_mean: tensor?, running_var: tensor?, weight: tensor?, bias: tensor?, *, training: bool = false, momentum: float! = 0.1, eps: float = 1e-5",
    compose = true, lua = "nn.functional.batch_norm",
    doc = "Normalises each channel (dim 2 in Lua, 1 in C) by its own statistics when training, updating the running ones, else by the running ones (Ioffe and Szegedy, arXiv 1502.03167)." },
  { "batch_norm_train", "input: tensor, weight: tensor?, bias: tensor?, *, eps: float", program = true, infer = true, space = true,
    vjp_program = true, saves_in = 3, saves_out = 6, outputs = 4, shown = 1, internal = true, doc = "batch_norm by the batch's statistics; hidden: mean, 1/sqrt(var + eps), var." },
  { "batch_norm_eval", "input: tensor, mean: tensor, var: tensor, weight: tensor?, bias: tensor?, *, eps: float", program = true, infer = true, space = true,
    internal = true, doc = "batch_norm by given statistics." },
  { "moving", "input: tensor^, value: tensor^, *, momentum: float!, factor: float!", program = true, infer = "rule_like_first", inplace = true, internal = true,
    nograd = "running statistics are not differentiated", doc = "(1 - momentum) * input + momentum * factor * value." },
}
