-- Putting tensors together.
return {
  { "cat", "tensors: tensors, dim: dim = 0", compose = true, doc = "The tensors one after another along dim, in their common dtype; 1-d tensors without elements are skipped." },
  { "stack", "tensors: tensors, dim: dim = 0", compose = true, doc = "Tensors of one shape along a new dim." },
  { "join", "tensors: tensors, *, dim: int, dtype: dtype", kernel = true, infer = true, vjp = true, internal = true,
    doc = "cat of at most 24 tensors; dim is not negative." },
}
