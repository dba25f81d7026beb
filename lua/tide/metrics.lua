--- Measures of how good a model is. Predictions come first, targets second, as tensors; results are Lua numbers unless said
-- otherwise. Classes count from 0, as in losses. Nothing is recorded for gradients.
--   tide.metrics.accuracy(model(x), y)     tide.metrics.f1(model(x), y, {average = "macro"})
-- Over batches: local m = tide.metrics.Classification(10); m:update(model(xb), yb) for each; m:accuracy(), m:f1{average = "macro"}.
local tide = require "tide.core"
local M = {}

local function fail(name, text, ...) tide._fail(("[metrics.%s] "):format(name) .. text:format(...)) end
local arguments = require "tide.arguments"
local with_options = require "tide.options"

-- fn(predictions, targets, ...), two tensors, without recording.
local function define(name, fn)
  M[name] = function(predictions, targets, ...)
    arguments.tensor("metrics." .. name, "predictions", predictions)
    arguments.tensor("metrics." .. name, "targets", targets)
    return tide.no_grad(fn, predictions, targets, ...)
  end
end
local function shape(t) return "(" .. table.concat(t.shape, ",") .. ")" end

-- Class numbers of predictions: integers as they are, or of the largest score of (batch, classes, ...), or of probabilities of class 1.
local function classes_of(name, prediction, target)
  if target.dtype == "bool" then target = target:to("int64") end
  if prediction.ndim == target.ndim + 1 then
    prediction = prediction:argmax(prediction.ndim == 1 and 1 or 2)
  end
  if shape(prediction) ~= shape(target) then fail(name, "predictions of shape %s do not fit targets of shape %s", shape(prediction), shape(target)) end
  if prediction:numel() == 0 then fail(name, "no predictions") end
  if prediction.dtype:find "float" then
    local low, high = prediction:amin():item(), prediction:amax():item()
    if not (low >= 0 and high <= 1) then
      fail(name, "floating predictions in the shape of targets are probabilities of class 1, within 0 and 1: class numbers are integers, as x:long()")
    end
    prediction = prediction:gt(0.5)
  end
  return prediction:to("int64"):reshape(-1), target:to("int64"):reshape(-1)
end

-- ---- classification: everything follows from the counts of (target, prediction) ----

local Classification = { __name = "tide.metrics.Classification" }
Classification.__index = Classification

--- Counts of num_classes classes over batches. Methods: update(predictions, targets), reset(), matrix(), accuracy(),
-- precision(options), recall(options), f1(options).
function M.Classification(num_classes)
  if math.type(num_classes) ~= "integer" or num_classes < 1 then fail("Classification", "num_classes must be a positive integer") end
  return setmetatable({ n = num_classes, counts = tide.zeros({ num_classes * num_classes }, { dtype = "int64" }) }, Classification)
end

--- predictions: class numbers (integers) in the shape of targets; scores (batch, classes, ...), whose largest counts; or
-- probabilities of class 1, within 0 and 1, in the shape of targets. -> the counts
function Classification:update(predictions, targets, name)
  arguments.tensor("metrics.Classification", "predictions", predictions)
  arguments.tensor("metrics.Classification", "targets", targets)
  tide.no_grad(function()
    local p, t = classes_of(name or "update", predictions, targets)
    for what, x in pairs { prediction = p, target = t } do
      local low, high = x:amin():item(), x:amax():item()
      if low < 0 or high >= self.n then fail(name or "update", "a %s of %d for %d classes", what, low < 0 and low or high, self.n) end
    end
    self.counts = self.counts:index_add(1, t * self.n + p, tide.ones_like(t))
  end)
  return self
end

--- Starts again without any.
function Classification:reset() self.counts = tide.zeros_like(self.counts) end

--- The counts (classes, classes), int64: how often the class of the row was taken for that of the column.
function Classification:matrix() return self.counts:reshape(self.n, self.n):clone() end

-- For each class: hits, targets, predictions; and all. There must be some.
local function sums(self, name)
  local list, hits, targets, predictions, all = self.counts:tolist(), {}, {}, {}, 0
  for i = 1, self.n do hits[i], targets[i], predictions[i] = list[(i - 1) * self.n + i], 0, 0 end
  for i = 1, self.n do
    for k = 1, self.n do
      local c = list[(i - 1) * self.n + k]
      targets[i], predictions[k], all = targets[i] + c, predictions[k] + c, all + c
    end
  end
  if all == 0 then fail(name, "no predictions") end
  return hits, targets, predictions, all
end

--- The share of predictions that are right, as of all others an error before the first update.
function Classification:accuracy()
  local hits, _, _, all = sums(self, "accuracy")
  local right = 0
  for _, h in ipairs(hits) do right = right + h end
  return right / all
end

-- measure(hits, targets, predictions) of one class, averaged over the classes.
local function averaged(self, name, measure, options)
  options = with_options("metrics." .. name, options, "average:string positive:integer num_classes:integer")
  local average, positive = options.average or "macro", options.positive or 1
  local hits, targets, predictions, all = sums(self, name)
  local each, present, sum, weighted = {}, 0, 0, 0
  for i = 1, self.n do
    each[i] = measure(hits[i], targets[i], predictions[i])
    if targets[i] + predictions[i] > 0 then present = present + 1 end
    sum, weighted = sum + each[i], weighted + each[i] * targets[i]
  end
  if average == "none" then return each end
  if average == "macro" then return sum / present end
  if average == "weighted" then return weighted / all end
  if average == "binary" then return each[positive + 1] or fail(name, "there is no class %d", positive) end
  if average == "micro" then
    local h = 0
    for _, x in ipairs(hits) do h = h + x end
    return measure(h, all, all)
  end
  return fail(name, "average is 'micro', 'macro', 'weighted', 'binary' or 'none', not '%s'", average)
end

local function ratio(a, b) return b > 0 and a / b or 0.0 end
local measures = {
  precision = function(hits, _, predictions) return ratio(hits, predictions) end,
  recall = function(hits, targets) return ratio(hits, targets) end,
  f1 = function(hits, targets, predictions) return ratio(2 * hits, targets + predictions) end,
}
for name, measure in pairs(measures) do
  --- As the function of this name, of all that was counted. options: average, positive.
  Classification[name] = function(self, options) return averaged(self, name, measure, options) end
end

local function counted(name, predictions, targets, options)
  local n = with_options("metrics." .. name, options, "average positive num_classes:integer").num_classes
  local p, t = classes_of(name, predictions, targets)
  if not n and predictions.ndim == targets.ndim + 1 then n = predictions.shape[predictions.ndim == 1 and 1 or 2] end
  return M.Classification(n or math.max(p:amax():item(), t:amax():item(), 0) + 1):update(p, t, name)
end

--- The share of predictions that are right. predictions as in Classification:update.
define("accuracy", function(predictions, targets)
  local p, t = classes_of("accuracy", predictions, targets)
  return p:eq(t):to("float64"):mean():item()
end)

--- Of the predictions of a class, the share that is right. options: average ("macro": the mean over the classes that occur;
-- "micro": of all counts together; "weighted": by the targets' counts; "binary": of the class `positive` (1); "none": a sequence,
-- the first for class 0), num_classes. 0 where a class is never predicted.
define("precision", function(predictions, targets, options) return counted("precision", predictions, targets, options):precision(options) end)
--- Of the targets of a class, the share that is found; options as in precision.
define("recall", function(predictions, targets, options) return counted("recall", predictions, targets, options):recall(options) end)
--- The harmonic mean of precision and recall of each class; options as in precision.
define("f1", function(predictions, targets, options) return counted("f1", predictions, targets, options):f1(options) end)

--- The counts (classes, classes), int64: how often the class of the row (target) was taken for that of the column. options:
-- num_classes.
define("confusion_matrix", function(predictions, targets, options) return counted("confusion_matrix", predictions, targets, options):matrix() end)

--- The share of examples whose target is among the k (5) classes of the highest scores. scores (batch, classes), targets (batch).
define("top_k", function(scores, targets, k)
  k = k or 5
  if math.type(k) ~= "integer" or k < 1 then fail("top_k", "k must be a positive integer") end
  if scores.ndim ~= 2 or targets.ndim ~= 1 or scores.shape[1] ~= targets.shape[1] then
    fail("top_k", "scores (batch, classes) and targets (batch) wanted, not %s and %s", shape(scores), shape(targets))
  end
  local _, best = tide.topk(scores, k, 2)
  return best:eq(targets:to("int64"):unsqueeze(2)):to("float64"):sum(2):mean():item()
end)

-- ---- curves of binary scores ----

-- Calls visit(threshold, positives so far, negatives so far) for each distinct score, the highest first; returns both totals.
local function descend(name, scores, targets, visit)
  if shape(scores) ~= shape(targets) then fail(name, "scores of shape %s do not fit targets of shape %s", shape(scores), shape(targets)) end
  local sorted, order = tide.sort(scores:to("float64"):reshape(-1), { descending = true })
  local s, y = sorted:tolist(), targets:to("int64"):reshape(-1):index_select(1, order):tolist()
  local positives, negatives = 0, 0
  for i = 1, #s do
    if s[i] ~= s[i] then fail(name, "a score is NaN") end
    if y[i] ~= 0 and y[i] ~= 1 then fail(name, "targets must be 0 or 1, not %d", y[i]) end
    positives, negatives = positives + y[i], negatives + 1 - y[i]
    if i == #s or s[i + 1] ~= s[i] then visit(s[i], positives, negatives) end
  end
  return positives, negatives
end

--- The share of false alarms, the share of hits and the thresholds (sequences), from none to all taken as positive. scores and
-- targets (0 or 1) of one shape.
define("roc_curve", function(scores, targets)
  local false_rate, true_rate, thresholds = { 0 }, { 0 }, { math.huge }
  local positives, negatives = descend("roc_curve", scores, targets, function(threshold, p, n)
    true_rate[#true_rate + 1], false_rate[#false_rate + 1], thresholds[#thresholds + 1] = p, n, threshold
  end)
  if positives == 0 or negatives == 0 then fail("roc_curve", "targets must have both classes") end
  for i = 1, #true_rate do true_rate[i], false_rate[i] = true_rate[i] / positives, false_rate[i] / negatives end
  return false_rate, true_rate, thresholds
end)

--- The area under a curve of points (sequences of numbers, or 1-d tensors), by trapezoids. x rises or falls throughout.
function M.auc(x, y)
  if tide.is_tensor(x) and x.ndim == 1 then x = x:tolist() end
  if tide.is_tensor(y) and y.ndim == 1 then y = y:tolist() end
  if type(x) ~= "table" or type(y) ~= "table" or #x ~= #y or #x < 2 then fail("auc", "two sequences of one length, at least 2, wanted") end
  for i = 1, #x do
    if type(x[i]) ~= "number" or type(y[i]) ~= "number" then fail("auc", "point %d is not of two numbers", i) end
  end
  local area, direction = 0, x[#x] < x[1] and -1 or 1
  for i = 2, #x do
    local step = (x[i] - x[i - 1]) * direction
    if step < 0 or step ~= step then fail("auc", "x must rise or fall throughout") end
    area = area + step * (y[i] + y[i - 1]) / 2
  end
  return area
end

--- The area under the ROC curve: the chance that a positive example scores higher than a negative one, ties counting half (Hanley
-- and McNeil 1982). scores and targets (0 or 1) of one shape; or scores (batch, classes) and class numbers (batch): the mean over
-- the classes, each against the others.
define("roc_auc", function(scores, targets)
  if scores.ndim == targets.ndim + 1 then
    if scores.ndim ~= 2 then fail("roc_auc", "scores (batch, classes) wanted, not %s", shape(scores)) end
    local sum, n = 0, scores.shape[2]
    for k = 1, n do sum = sum + M.auc(M.roc_curve(scores:select(2, k), targets:eq(k - 1))) end
    return sum / n
  end
  return M.auc(M.roc_curve(scores, targets))
end)

--- The mean of precision over the hits, as thresholds fall: sum of (recall - recall before) precision. scores and targets (0 or 1)
-- of one shape.
define("average_precision", function(scores, targets)
  local sum, before = 0, 0
  local positives = descend("average_precision", scores, targets, function(_, p, n)
    sum, before = sum + (p - before) * p / (p + n), p
  end)
  if positives == 0 then fail("average_precision", "there is no positive target") end
  return sum / positives
end)

-- ---- regression ----

local function regression(name, error_of)
  --- An error of predictions, of one shape with targets, in float64, as its name says (as scikit-learn's): mean_squared_error,
  -- root_mean_squared_error, mean_absolute_error, median_absolute_error, max_error, mean_absolute_percentage_error (0.1 is 10 %);
  -- r2 and explained_variance, which are 1 at best.
  define(name, function(predictions, targets)
    if shape(predictions) ~= shape(targets) then fail(name, "predictions of shape %s do not fit targets of shape %s", shape(predictions), shape(targets)) end
    if predictions:numel() == 0 then fail(name, "no predictions") end
    local p, t = predictions:to("float64"):reshape(-1), targets:to("float64"):reshape(-1)
    return error_of(t - p, t):item()
  end)
end

regression("mean_squared_error", function(e) return e:square():mean() end)
regression("root_mean_squared_error", function(e) return e:square():mean():sqrt() end)
regression("mean_absolute_error", function(e) return e:abs():mean() end)
regression("max_error", function(e) return e:abs():amax() end)
regression("median_absolute_error", function(e)
  local sorted, n = tide.sort(e:abs()), e:numel()
  return (sorted[(n + 1) // 2] + sorted[n // 2 + 1]) / 2
end)
-- relative to the targets, which count as at least float64's epsilon
regression("mean_absolute_percentage_error", function(e, t) return (e:abs() / t:abs():clamp(2.0 ^ -52)):mean() end)
-- 1 - (squared errors) / (squared distances from the mean); of constant targets 1 if all is right, else 0
local function explained(left, all)
  return tide.where(all:eq(0), left:eq(0):to("float64"), 1 - left / tide.where(all:eq(0), tide.ones_like(all), all))
end
regression("r2", function(e, t) return explained(e:square():sum(), (t - t:mean()):square():sum()) end)
regression("explained_variance", function(e, t) return explained((e - e:mean()):square():sum(), (t - t:mean()):square():sum()) end)

return M
