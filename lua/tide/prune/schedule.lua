--- When masks change, and how sparse they are then: schedule(step) gives whether this step is due, and the sparsity.
-- Curves as TensorFlow Model Optimization has them.
local tide = require "tide.core"
local arguments = require "tide.arguments"
local M = {}

local function common(options, name)
  arguments.one("table", name, "options", options)
  for _, key in ipairs { "begin_step", "end_step", "frequency", "power" } do
    if options[key] ~= nil then arguments.one(key == "power" and "number" or "integer", name, key, options[key]) end
  end
  local o = { begin_step = options.begin_step or 0, end_step = options.end_step or -1, frequency = options.frequency or 100 }
  if o.frequency < 1 then tide._fail(name .. ": frequency must be at least 1") end
  return o
end

local function fraction(x, name, what)
  if type(x) ~= "number" or x < 0 or x >= 1 then tide._fail(("%s: %s must lie in [0, 1)"):format(name, what)) end
  return x
end

--- The same sparsity from begin_step on. options: target_sparsity, begin_step (0), end_step (-1: for ever), frequency (100)
function M.ConstantSparsity(options)
  local o = common(options, "ConstantSparsity")
  local target = fraction(options.target_sparsity or options[1], "ConstantSparsity", "target_sparsity")
  return function(step)
    local due = step >= o.begin_step and (o.end_step < 0 or step <= o.end_step) and (step - o.begin_step) % o.frequency == 0
    return due, target
  end
end

local function decay(options, name, power)
  local o = common(options, name)
  power = power or options.power or 3
  local initial = fraction(options.initial_sparsity or 0.0, name, "initial_sparsity")
  local final = fraction(options.final_sparsity, name, "final_sparsity")
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
  local at = common(options, "OneShot").begin_step
  local target = fraction(options.target_sparsity or options[1], "OneShot", "target_sparsity")
  return function(step) return step == at, step >= at and target or 0.0 end
end

return M
