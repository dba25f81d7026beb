-- Tensors from nothing.
local function like(name, sig, doc, extra)
  local r = { name, "input: tensor" .. sig .. ", *, dtype: dtype?", compose = true, doc = doc, nograd = "does not depend on its input" }
  for k, v in pairs(extra or {}) do r[k] = v end
  return r
end
local none = "creates a constant"
return {
  { "full", "size: shape, fill_value: number!, *, dtype: dtype?", program = true, infer = true, nograd = none, doc = "A tensor filled with a number; its dtype follows from the number: int64, float32 or bool." },
  { "empty", "size: shape, *, dtype: dtype?", kernel = true, c = false, infer = true, nograd = none, doc = "A tensor whose contents are undefined, float32 unless dtype is given." },
  { "zeros", "size: shape, *, dtype: dtype?", compose = true, nograd = none, doc = "A tensor of zeros, float32 unless dtype is given." },
  { "ones", "size: shape, *, dtype: dtype?", compose = true, nograd = none, doc = "A tensor of ones, float32 unless dtype is given." },
  like("empty_like", "", "A tensor whose contents are undefined, in the shape and dtype of input."),
  like("zeros_like", "", "Zeros in the shape and dtype of input."),
  like("ones_like", "", "Ones in the shape and dtype of input."),
  like("full_like", ", fill_value: number!", "A tensor filled with a number, in the shape and dtype of input."),
  { "arange", "start: number!, end: number?!, step: number! = 1, *, dtype: dtype?", program = true, numbers = true, infer = true, nograd = none,
    doc = "start, start + step ... below `end`; with one number, from 0 below it. Integers give int64." },
  { "eye", "n: int, m: int?, *, dtype: dtype?", program = true, infer = true, nograd = none, doc = "The n x m matrix with ones on the diagonal." },
  { "rand", "size: shape, *, dtype: dtype?", program = true, random = true, infer = "random_infer", nograd = none, doc = "Uniform in [0, 1) (Philox4x32-10, Salmon et al. 2011)." },
  { "randn", "size: shape, *, dtype: dtype?", program = true, random = true, infer = "random_infer", nograd = none, doc = "Normal with mean 0 and variance 1 (Box and Muller 1958, over Philox)." },
  { "rand_like", "input: tensor, *, dtype: dtype?", program = true, random = true, infer = "random_like_infer", nograd = none, doc = "Uniform in [0, 1), in the shape and dtype of input." },
  { "randn_like", "input: tensor, *, dtype: dtype?", program = true, random = true, infer = "random_like_infer", nograd = none,
    doc = "Normal with mean 0 and variance 1, in the shape and dtype of input." },
  { "randperm", "n: int", kernel = true, random = true, infer = true, nograd = none, doc = "The numbers 0 to n - 1 in a random order (Fisher and Yates, over Philox)." },
  { "fill", "input: tensor, value: number!", program = true, infer = "rule_like_first", inplace = true, method = false, lua = "fill", nograd = "creates a constant",
    doc = "input's shape and dtype, filled with a number." },
  { "copy", "input: tensor^, source: tensor^", program = true, infer = true, inplace = true, method = false, lua = "copy",
    doc = "source, broadcast to the shape of input and converted to its dtype. As copy_: writes it there." },
}
