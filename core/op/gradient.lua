-- Operations that the tape itself uses.
return {
  { "vjp", "", internal = true, infer = "tide_vjp_infer", doc = "The derivative of a program operation (core/op/vjp.c)." },
  { "backward", "tensors: tensors, *, flags: int = 0", internal = true, compose = true, outputs = 0, doc = "The tape run backwards into .grad (core/autograd/backward.c)." },
  { "zero_grad", "tensors: tensors", internal = true, compose = true, outputs = 0, doc = "Marks gradients absent." },
  { "gradients", "tensors: tensors, *, ny: int = 0, nx: int = 0, flags: int = 0", internal = true, compose = true, outputs = 0, doc = "The tape run backwards to given tensors." },
  { "grad_of", "input: tensor", internal = true, compose = true, doc = "The .grad buffer." },
  { "detach", "input: tensor", view = true, c = false, nograd = "detach ends the graph", method = false, doc = "The same data, not followed by gradients." },
}
