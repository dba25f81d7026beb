-- Views share the storage of their input; reshape copies only where it must.
local function view(name, sig, doc, extra)
  local r = { name, sig, view = true, vjp = true, doc = doc }
  for k, v in pairs(extra or {}) do r[k] = v end
  return r
end
return {
  view("view", "input: tensor, shape: shape", "The same elements in another shape, without copying; one size may be -1."),
  { "reshape", "input: tensor, shape: shape", compose = true, doc = "The same elements in another shape; copies if it must." },
  { "contiguous", "input: tensor", compose = true, doc = "input itself if its elements lie in order, else a copy." },
  view("transpose", "input: tensor, dim0: dim, dim1: dim", "Swaps two dims."),
  view("permute", "input: tensor, dims: dims", "Reorders the dims."),
  view("squeeze", "input: tensor, dim: dims?", "Drops dims of size 1: the given ones, or all."),
  view("unsqueeze", "input: tensor, dim: dim", "Puts a dim of size 1 in front of dim; negative dims count from the end of the result."),
  view("expand", "input: tensor, size: shape", "Repeats dims of size 1 without copying; -1 keeps a size."),
  view("narrow", "input: tensor, dim: dim, start: position, length: int", "`length` positions of dim, from `start`."),
  view("select", "input: tensor, dim: dim, index: position", "One position of dim, which disappears."),
  view("slice", "input: tensor, dim: dim, start: position, length: int, step: int = 1", "Every step-th position of dim, `length` of them, from `start`.", { method = false }),
  view("spread", "input: tensor, dim: dims, size: shape", "The gradient of a sum over dim of a tensor of `size`: input, seen at every summand.", { internal = true }),
  { "unslice", "input: tensor, dim: dim, start: position, step: int, size: int", kernel = true, infer = true, vjp = true, internal = true,
    doc = "The inverse of slice: zeros of `size` along dim, with input at its places." },
}
