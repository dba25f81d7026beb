-- Scans and sorting: work along one dim whose steps depend on each other.
return {
  { "cumsum", "input: tensor, dim: dim, *, dtype: dtype?", kernel = true, infer = true, vjp = true, inplace = true,
    doc = "The sums of the first 1, 2, 3 ... elements along dim, summed in float64 or int64. Integers and bool give int64." },
  { "cumsum_back", "input: tensor, dim: dim", kernel = true, infer = "rule_like_first", vjp = true, internal = true, doc = "cumsum from the end." },
  { "sort", "input: tensor, dim: dim = -1, *, descending: bool = false, stable: bool = false", kernel = true, infer = true, vjp = "sorted_vjp", saves_out = 2, outputs = 2,
    doc = "The elements along dim in order and where they were, counted from 0. Always stable; NaN counts as the largest." },
  { "argsort", "input: tensor, dim: dim = -1, *, descending: bool = false, stable: bool = false", kernel = true, infer = true, nograd = "positions have no gradient",
    doc = "Where the elements along dim are, in order, counted from 0. Always stable; NaN counts as the largest." },
  { "topk", "input: tensor, k: int, dim: dim = -1, *, largest: bool = true, sorted: bool = true", kernel = true, infer = true, vjp = "sorted_vjp", saves_out = 2, outputs = 2,
    doc = "The k largest (or smallest) elements along dim and where they are, counted from 0; the first of equals first; NaN counts as the largest. Always sorted." },
}
