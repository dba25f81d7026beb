--- Schedules that multiply the rate: by steps, lines, powers and functions of one's own.
local base = require "tide.optim.lr_scheduler.base"
local define, number, count, natural, callable = base.define, base.number, base.count, base.natural, base.callable

local function milestones(x)
  if type(x) ~= "table" then return "a list of epochs" end
  for i, v in ipairs(x) do
    if math.type(v) ~= "integer" or (i > 1 and v < x[i - 1]) then return "a rising list of integers" end
  end
end
local function functions(x)
  if type(x) ~= "table" then return callable(x) end
  for _, f in ipairs(x) do
    if callable(f) then return "a function or a list of one for each group" end
  end
end
local function above_0(x) if type(x) ~= "number" or x <= 0 or x > 1 then return "in (0, 1]" end end
local function unit(x) if type(x) ~= "number" or x < 0 or x > 1 then return "in [0, 1]" end end

-- lr_lambda of group i at epoch t.
local function factor(s, t, i) return base.returned(s, "lr_lambda", base.of_group(s, "lr_lambda", i)(t)) end

local M = {}

--- StepLR(optimizer, step_size, gamma = 0.1): the rate times gamma every step_size epochs.
M.StepLR = define("StepLR", { { "step_size", nil, count }, { "gamma", 0.1, number } }, {
  _next = function(s, lr, _, t) return (t == 0 or t % s.step_size ~= 0) and lr or lr * s.gamma end,
  _closed = function(s, first, t) return first * s.gamma ^ (t // s.step_size) end,
})

--- MultiStepLR(optimizer, milestones, gamma = 0.1): the rate times gamma at each of these epochs (twice where one is
-- listed twice).
M.MultiStepLR = define("MultiStepLR", { { "milestones", nil, milestones }, { "gamma", 0.1, number } }, {
  _next = function(s, lr, _, t)
    for _, m in ipairs(s.milestones) do
      if m == t then lr = lr * s.gamma end
    end
    return lr
  end,
  _closed = function(s, first, t)
    local n = 0
    for _, m in ipairs(s.milestones) do
      if m <= t then n = n + 1 end
    end
    return first * s.gamma ^ n
  end,
})

--- ConstantLR(optimizer, factor = 1/3, total_iters = 5): the rate times factor for total_iters epochs, then the rate.
M.ConstantLR = define("ConstantLR", { { "factor", 1 / 3, above_0 }, { "total_iters", 5, natural } }, {
  _next = function(s, lr, _, t)
    if t == 0 then lr = lr * s.factor end
    return t == s.total_iters and lr / s.factor or lr
  end,
  _closed = function(s, first, t) return t < s.total_iters and first * s.factor or first end,
})

--- LinearLR(optimizer, start_factor = 1/3, end_factor = 1, total_iters = 5): from the rate times start_factor to the rate
-- times end_factor over total_iters epochs.
M.LinearLR = define("LinearLR", { { "start_factor", 1 / 3, above_0 }, { "end_factor", 1.0, unit }, { "total_iters", 5, count } }, {
  _next = function(s, lr, _, t)
    if t == 0 then return lr * s.start_factor end
    if t > s.total_iters then return lr end
    local slope = s.end_factor - s.start_factor
    return lr * (1 + slope / (s.total_iters * s.start_factor + (t - 1) * slope))
  end,
  _closed = function(s, first, t)
    return first * (s.start_factor + (s.end_factor - s.start_factor) * math.min(t, s.total_iters) / s.total_iters)
  end,
})

--- ExponentialLR(optimizer, gamma): the rate times gamma every epoch.
M.ExponentialLR = define("ExponentialLR", { { "gamma", nil, number } }, {
  _next = function(s, lr, _, t) return t == 0 and lr or lr * s.gamma end,
  _closed = function(s, first, t) return first * s.gamma ^ t end,
})

--- PolynomialLR(optimizer, total_iters = 5, power = 1): the rate times (1 - t / total_iters)^power, down to 0.
M.PolynomialLR = define("PolynomialLR", { { "total_iters", 5, count }, { "power", 1.0, number } }, {
  _next = function(s, lr, _, t)
    if t == 0 or t > s.total_iters then return lr end
    return lr * ((1 - t / s.total_iters) / (1 - (t - 1) / s.total_iters)) ^ s.power
  end,
  _closed = function(s, first, t) return first * (1 - math.min(t, s.total_iters) / s.total_iters) ^ s.power end,
})

--- LambdaLR(optimizer, lr_lambda): the first rate times lr_lambda(t); a function, or a list of one for each group.
M.LambdaLR = define("LambdaLR", { { "lr_lambda", nil, functions } }, {
  _next = function(s, _, first, t, i) return first * factor(s, t, i) end,
})

--- MultiplicativeLR(optimizer, lr_lambda): the rate times lr_lambda(t) at each epoch from the first on.
M.MultiplicativeLR = define("MultiplicativeLR", { { "lr_lambda", nil, functions } }, {
  _next = function(s, lr, _, t, i) return t == 0 and lr or lr * factor(s, t, i) end,
})

return M
