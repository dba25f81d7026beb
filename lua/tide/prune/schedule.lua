--- When masks change, and how sparse they are then: schedule(step) gives whether this step is due, and the sparsity.
-- Curves as TensorFlow Model Optimization has them.
local tide = require "tide.core"
local with_options = require "tide.options"
local M = {}

-- The options of all schedules with their defaults, and all options as given; `own`: those of this schedule.
local function common(options, name, own)
  options = with_options(name, options, own .. " begin_step:integer end_step:integer frequency:integer")
  local o = { begin_step = options.begin_step or 0, end_step = options.end_step or -1, frequency = options.frequency or 100 }
  if o.frequency < 1 then tide._fail(name .. ": frequency must be at least 1") end
  return o, options
end

-- {0.5, begin_step = 10}: the target may stand without its name.
local function named(options)
  if type(options) ~= "table" or options[1] == nil then return options end
  local all = { target_sparsity = options[1] }
  for key, value in next, options do
    if key ~= 1 then all[key] = value end
  end
  return all
end

local function fraction(x, name, what)
  if type(x) ~= "number" or x < 0 or x >= 1 then tide._fail(("%s: %s must lie in [0, 1)"):format(name, what)) end
  return x
end

--- The same sparsity from begin_step on. options: target_sparsity, begin_step (0), end_step (-1: for ever), frequency (100)
function M.ConstantSparsity(options)
  local o, given = common(named(options), "ConstantSparsity", "target_sparsity")
  local target = fraction(given.target_sparsity, "ConstantSparsity", "target_sparsity")
  return function(step)
    local due = step >= o.begin_step and (o.end_step < 0 or step <= o.end_step) and (step - o.begin_step) % o.frequency == 0
    return due, target
  end
end

local function decay(options, name, power)
  local o, given = common(options, name, "initial_sparsity final_sparsity" .. (power and "" or " power:number"))
  power = power or given.power or 3
  local initial = fraction(given.initial_sparsity or 0.0, name, "initial_sparsity")
  local final = fraction(given.final_sparsity, name, "final_sparsity")
  if o.end_step <= o.begin_step then tide._fail(name .. ": end_step must lie after begin_step") end
  return function(step)
    local p = math.min(1.0, math.max(0.0, (step - o.begin_step) / (o.end_step - o.begin_step)))
    local due = step >= o.begin_step and step <= o.end_step and (step - o.begin_step) % o.frequency == 0
    return due, final + (initial - final) * (1 - p) ^ power
  end
end

--- s = final + (initial - final) (1 - p)^power, p from 0 at begin_step to 1 at end_step (Zhu and Gupta, arXiv
-- 1710.01878). options: initial_sparsity (0), final_sparsity, begin_step (0), end_step, power (3), frequency (100)
function M.PolynomialDecay(options) return decay(options, "PolynomialDecay") end

--- PolynomialDecay with power 1: evenly from initial to final sparsity.
function M.LinearSparsity(options) return decay(options, "LinearSparsity", 1) end

--- All at once, at begin_step (0). options: target_sparsity, begin_step
function M.OneShot(options)
  local o, given = common(named(options), "OneShot", "target_sparsity")
  local at, target = o.begin_step, fraction(given.target_sparsity, "OneShot", "target_sparsity")
  return function(step) return step == at, step >= at and target or 0.0 end
end

return M
