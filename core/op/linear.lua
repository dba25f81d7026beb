-- Matrix products.
return {
  { "matmul", "input: tensor, other: tensor", kernel = true, infer = true, vjp = true, saves_in = 3,
    doc = "Matrix product over the last two dims, the others broadcast; 1-d tensors are a row on the left and a column on the right, and that dim disappears." },
  { "mm", "input: tensor, mat2: tensor", compose = true, doc = "The product of two matrices." },
  { "bmm", "input: tensor, mat2: tensor", compose = true, doc = "The products of two stacks of matrices (b,n,m) x (b,m,p)." },
  { "linear", "input: tensor, weight: tensor, bias: tensor?, *, activation: enum(none|relu|gelu|gelu_tanh|silu|tanh|sigmoid) = none", kernel = true, infer = true,
    vjp = true, saves_in = 7, saves_out = 1, lua = "nn.functional.linear",
    doc = "input * weight^T + bias, then the activation, rounded once. input (..., in), weight (out, in), bias (out)." },
  { "gemm", "a: tensor, b: tensor, *, ta: bool = false, tb: bool = false", kernel = true, infer = true, vjp = true, saves_in = 3, internal = true,
    doc = "The product of two matrices, each transposed first where ta or tb says so." },
}
