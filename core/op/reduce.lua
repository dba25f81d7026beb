-- Reductions.
local function row(name, sig, doc, extra)
  local r = { name, sig, program = true, infer = true, space = "reduce_space", doc = doc }
  for k, v in pairs(extra or {}) do r[k] = v end
  return r
end
local dims = "input: tensor, dim: dims?, *, keepdim: bool = false"
local one = "input: tensor, dim: dims?, *, keepdim: bool = false"
return {
  row("sum", dims .. ", dtype: dtype?", "The sum over the given dims, or over all. Integers and bool give int64.", { vjp = true }),
  row("mean", dims .. ", dtype: dtype?", "The mean over the given dims, or over all. Floats only, unless dtype is given.", { vjp = true }),
  row("amax", dims, "The largest element; NaN wins. Equal elements share the gradient.", { infer = "extreme_infer" }),
  row("amin", dims, "The smallest element; NaN wins. Equal elements share the gradient.", { infer = "extreme_infer" }),
  row("argmax", one, "Where the largest element is, counted from 0; the first of equals; NaN wins.", { infer = "argument_infer", nograd = "positions have no gradient" }),
  row("argmin", one, "Where the smallest element is, counted from 0; the first of equals; NaN wins.", { infer = "argument_infer", nograd = "positions have no gradient" }),
  row("max_dim", "input: tensor, dim: dims, *, keepdim: bool = false", "The largest element along dim and where it is, counted from 0 (the first of equals, which gets the gradient).",
    { outputs = 2, infer = "extreme_dim_infer", vjp_program = "extreme_dim_vjp_program", saves_out = 2, method = false }),
  row("min_dim", "input: tensor, dim: dims, *, keepdim: bool = false", "The smallest element along dim and where it is, counted from 0 (the first of equals, which gets the gradient).",
    { outputs = 2, infer = "extreme_dim_infer", vjp_program = "extreme_dim_vjp_program", saves_out = 2, method = false }),
  row("var", "input: tensor, dim: dims?, *, correction: float! = 1, keepdim: bool = false", "The variance; correction is taken off the count.", { infer = "var_infer" }),
  row("std", "input: tensor, dim: dims?, *, correction: float! = 1, keepdim: bool = false", "The standard deviation; correction is taken off the count.", { infer = "var_infer" }),
  row("var_mean", "input: tensor, dim: dims?, *, correction: float! = 1, keepdim: bool = false", "The variance and the mean; correction is taken off the count.", { outputs = 2 }),
  row("logsumexp", "input: tensor, dim: dims, *, keepdim: bool = false", "log(sum(exp(input))) over dim, without overflow.", { floating = true }),
  row("softmax", "input: tensor, dim: dims, *, dtype: dtype?", "exp(input) over its sum along dim.", { space = "soft_space", infer = "soft_infer", vjp_program = true, saves_out = 1 }),
  row("log_softmax", "input: tensor, dim: dims, *, dtype: dtype?", "log(softmax(input, dim)).", { space = "soft_space", infer = "soft_infer", vjp_program = true, saves_out = 1 }),
}
