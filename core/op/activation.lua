-- Activations beyond those of pointwise.lua. Where a derivative jumps, it is PyTorch's.
local function row(name, args, doc, extra)
  local r = { name, "input: tensor" .. args, program = true, floating = true, lua = "nn.functional." .. name, doc = doc }
  for k, v in pairs(extra or {}) do r[k] = v end
  return r
end
local inplace = { inplace = true }
local same = { floating = false, promotes = true } -- integers stay integers

return {
  row("leaky_relu", ", negative_slope: float = 0.01", "input where positive, negative_slope * input elsewhere.", inplace),
  row("elu", ", alpha: float = 1.0", "input where positive, alpha * (exp(input) - 1) elsewhere (Clevert et al., arXiv 1511.07289).", inplace),
  row("selu", "", "elu with alpha 1.6733 times 1.0507, which keep mean 0 and variance 1 (Klambauer et al., arXiv 1706.02515).", inplace),
  row("celu", ", alpha: float = 1.0", "input where positive, alpha * (exp(input / alpha) - 1) elsewhere (Barron, arXiv 1704.07483).", inplace),
  row("softplus", ", beta: float = 1.0, threshold: float = 20.0", "log(1 + exp(beta * input)) / beta; input itself where beta * input exceeds threshold."),
  row("logsigmoid", "", "log(sigmoid(input)), without overflow."),
  row("mish", "", "input * tanh(softplus(input)) (Misra, arXiv 1908.08681).", inplace),
  row("hardtanh", ", min_val: float = -1.0, max_val: float = 1.0", "Limits input to [min_val, max_val]; the gradient passes strictly inside.", { floating = false, promotes = true, infer = true }),
  row("relu6", "", "Limits input to [0, 6].", same),
  row("hardsigmoid", "", "input / 6 + 1/2, limited to [0, 1].", { inplace = true, vjp_program = true, saves_in = 1 }),
  row("hardswish", "", "input * hardsigmoid(input) (Howard et al., arXiv 1905.02244)."),
  row("softsign", "", "input / (1 + |input|)."),
  row("tanhshrink", "", "input - tanh(input)."),
  row("softshrink", ", lambd: float = 0.5", "input moved towards 0 by lambd, 0 where it is nearer.", { infer = true }),
  row("hardshrink", ", lambd: float = 0.5", "0 where |input| <= lambd, input elsewhere."),
  row("threshold", ", threshold: float, value: float", "input where it exceeds threshold, value elsewhere.",
    { floating = false, promotes = true, inplace = true }),
}
