-- Optimizer steps: one program over lists of parameters, in place.
local none = "optimizer steps are not differentiated"
local function bits(n) local k = 0 while n > 0 do k = k + (n & 1); n = n >> 1 end return k end
local function row(name, sig, lists, writes, doc)
  return { name, sig, list = lists, writes = writes, outputs = bits(writes), program = true, internal = true, nograd = none, doc = doc }
end
local common = "lr: float!, weight_decay: float!, maximize: bool, decays: bool" -- decays: weight_decay is not 0 (the number itself may vary in a plan)
return {
  row("sgd_plain", "param: tensors, grad: tensors, *, " .. common, 2, 1, "Stochastic gradient descent without momentum."),
  row("sgd", "param: tensors, grad: tensors, buffer: tensors, *, " .. common .. ", momentum: float!, dampening: float!, nesterov: bool, first: bool", 3, 5,
    "Stochastic gradient descent with momentum (Sutskever et al. 2013), PyTorch's form."),
  row("adam", "param: tensors, grad: tensors, mean: tensors, square: tensors, *, " .. common .. ", beta1: float!, beta2: float!, eps: float!, step_size: float!, root: float!, decoupled: bool", 4, 13,
    "Adam (Kingma and Ba, arXiv 1412.6980); decoupled: AdamW (Loshchilov and Hutter, arXiv 1711.05101)."),
  row("adam_amsgrad", "param: tensors, grad: tensors, mean: tensors, square: tensors, largest: tensors, *, " .. common .. ", beta1: float!, beta2: float!, eps: float!, step_size: float!, root: float!, decoupled: bool", 5, 29,
    "Adam that divides by the largest second moment so far (Reddi et al., arXiv 1904.09237)."),
  { "sum_squares", "input: tensor", program = true, infer = true, space = true, internal = true, nograd = none, doc = "The sum of squares of all elements, 0-d." },
  { "clip_factor", "squares: tensor^, *, limit: float!", program = true, infer = true, space = true, outputs = 2, internal = true, nograd = none,
    doc = "The norm sqrt(sum(squares)) and limit / (norm + 1e-6), at most 1." },
  row("scale_all", "input: tensors, factor: tensors", 2, 1, "Each tensor times a 0-d factor, in place."),
}
