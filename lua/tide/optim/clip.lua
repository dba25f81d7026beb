--- Clipping gradients, as in torch.nn.utils (tide.nn.utils holds these functions too).
local tide = require "tide.core"
local arguments = require "tide.arguments"
local expect = arguments.one
local M = {}

local function list_of(params)
  if tide.is_tensor(params) then return { params } end
  if type(params) == "table" and params.parameters then return params:parameters() end
  return expect("table", "clip", "params", params)
end

-- The p-norm of all gradients together, as one vector (0-d); nil: there are none.
local function norm_of(params, p)
  local parts = {}
  for i, t in ipairs(params) do
    local g = arguments.tensor("clip_grad_norm_", "entry " .. i, t).grad
    if g then
      g = g:detach():abs()
      parts[#parts + 1] = p == math.huge and g:max() or (g ^ p):sum()
    end
  end
  if #parts == 0 then return nil end
  local all = tide.stack(parts)
  if p == math.huge then return all:max() end
  return all:sum() ^ (1 / p)
end

--- clip_grad_norm_(params, max_norm, norm_type = 2, error_if_nonfinite = false): scales the gradients so that their common
-- norm is at most max_norm, and returns the norm before, 0-d. params: a list, a tensor, or a module; norm_type: a
-- positive number or math.huge. One operation over all gradients for the 2-norm. Raises on a negative max_norm and, with
-- error_if_nonfinite (which reads the norm), on one that is infinite or NaN: the gradients are not touched then.
function M.clip_grad_norm_(params, max_norm, norm_type, error_if_nonfinite)
  if type(norm_type) == "table" then norm_type, error_if_nonfinite = norm_type.norm_type, norm_type.error_if_nonfinite end
  params, norm_type = list_of(params), norm_type or 2
  if type(norm_type) ~= "number" or norm_type <= 0 or norm_type ~= norm_type then
    tide._fail(("clip_grad_norm_: norm_type must be positive, not %s"):format(norm_type))
  end
  expect("number", "clip_grad_norm_", "max_norm", max_norm)
  if norm_type == 2 and not error_if_nonfinite then return tide._clip_grad_norm(params, max_norm) end
  if max_norm < 0 then tide._fail("clip_grad_norm_: max_norm must not be negative") end
  return tide.no_grad(function()
    local norm = norm_of(params, norm_type)
    if not norm then return tide.tensor(0.0) end
    if error_if_nonfinite and not tide.isfinite(norm):item() then tide._fail("clip_grad_norm_: the norm is not finite") end
    local factor = (max_norm / (norm + 1e-6)):clamp { max = 1.0 }
    for _, t in ipairs(params) do
      if t.grad then t.grad:mul_(factor:to(t.grad.dtype)) end
    end
    return norm
  end)
end

--- clip_grad_value_(params, clip_value): brings every element of the gradients into [-clip_value, clip_value], as one
-- operation; NaN stays. Raises on a negative clip_value.
function M.clip_grad_value_(params, clip_value)
  tide._clip_grad_value(list_of(params), expect("number", "clip_grad_value_", "clip_value", clip_value))
end

return M
