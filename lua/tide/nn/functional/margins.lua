--- Margin losses over classes.
local tide = require "tide.core"
local define = require "tide.nn.functional.define"
local F, fail = tide.nn.functional, tide._fail

local function reduced(x, how, name)
  if how == "mean" then return x:mean() elseif how == "sum" then return x:sum() elseif how == "none" then return x end
  return fail(("[%s] reduction is 'none', 'mean' or 'sum', not '%s'"):format(name, how))
end
-- (batch, classes) from that or (classes)
local function rows(name, x, target, width)
  if x.ndim == 0 and target.ndim == 0 then x, target = x:reshape(1), width and target:reshape(1) or target end
  if x.ndim ~= 1 and x.ndim ~= 2 then fail(("[%s] input must have the dims (batch, classes) or (classes), not %d"):format(name, x.ndim)) end
  if x.shape[x.ndim] == 0 then fail(("[%s] there are no classes"):format(name)) end
  local want = x.ndim - (width and 0 or 1)
  if target.ndim ~= want and not (x.ndim == 1 and not width and target:numel() == 1) then
    fail(("[%s] target must have %d dims, not %d"):format(name, want, target.ndim))
  end
  local batch = x.ndim == 1 and 1 or x.shape[1]
  if target:numel() ~= batch * (width and x.shape[x.ndim] or 1) then fail(("[%s] target does not fit input"):format(name)) end
  if target.dtype ~= "int64" then fail(("[%s] target holds class numbers (int64), not %s"):format(name, target.dtype)) end
  if width then return x:reshape(batch, -1), target:reshape(batch, -1) end
  return x:reshape(batch, x.shape[x.ndim]), target:reshape(batch, 1)
end
local function want_classes(name, target, low, n)
  if target:numel() > 0 and (target:amin():item() < low or target:amax():item() >= n) then fail(("[%s] a class number in target is out of range"):format(name)) end
end

--- The sum over all classes but the right one of max(0, margin - input[right] + input[class])^p, over the number of classes. input
-- (batch, classes) or (classes), target class numbers from 0; weight: one number a class; p: 1 or 2.
define("multi_margin_loss", "input target p margin weight reduction", { p = 1, margin = 1.0, reduction = "mean" }, function(a)
  local name = "multi_margin_loss"
  local x, t = rows(name, a.input, a.target)
  local n = x.shape[2]
  if a.p ~= 1 and a.p ~= 2 then fail(("[%s] p must be 1 or 2"):format(name)) end
  if a.weight and (a.weight.ndim ~= 1 or a.weight.shape[1] ~= n) then fail(("[%s] weight must have %d elements"):format(name, n)) end
  want_classes(name, t, 0, n)
  local z = (x - x:gather(2, t) + a.margin):clamp(0.0)
  if a.p == 2 then z = z:square() end
  if a.weight then z = z * a.weight:index_select(1, t:reshape(-1)):unsqueeze(2) end
  local each = z:masked_fill(tide.arange(n):eq(t), 0.0):sum(2) / n
  return reduced(a.input.ndim < 2 and each:squeeze(1) or each, a.reduction, name)
end, 2)

--- The sum over right classes r and wrong ones w of max(0, 1 - input[r] + input[w]), over the number of classes. target lists the
-- right classes (from 0) in the shape of input, ended by -1.
define("multilabel_margin_loss", "input target reduction", { reduction = "mean" }, function(a)
  local name = "multilabel_margin_loss"
  local x, t = rows(name, a.input, a.target, true)
  local n = x.shape[2]
  want_classes(name, t, -1, n)
  local listed = t:eq(-1):to("int64"):cumsum(2):eq(0)
  local at = t:clamp(0)
  local right = tide.zeros_like(t):scatter_add(2, at, listed:to("int64")):gt(0)
  local z = (1.0 - x:gather(2, at):unsqueeze(3) + x:unsqueeze(2)):clamp(0.0)
  z = z:masked_fill(listed:logical_not():unsqueeze(3), 0.0):masked_fill(right:unsqueeze(2), 0.0)
  local each = z:sum({ 2, 3 }) / n
  return reduced(a.input.ndim < 2 and each:squeeze(1) or each, a.reduction, name)
end, 2)

--- binary_cross_entropy_with_logits of each class, times weight, averaged over the classes (the last dim).
define("multilabel_soft_margin_loss", "input target weight reduction", { reduction = "mean" }, function(a)
  local x, y = a.input, a.target
  local each = -(y * F.logsigmoid(x) + (1 - y) * F.logsigmoid(-x))
  if a.weight then each = each * a.weight end
  return reduced(each:mean(-1), a.reduction, "multilabel_soft_margin_loss")
end, 2)
