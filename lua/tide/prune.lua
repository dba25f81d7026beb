--- Magnitude pruning during training, with the schedules of TensorFlow Model Optimization.
--   local pruner = prune.Pruner(model, prune.PolynomialDecay{ final_sparsity = 0.5, begin_step = 0, end_step = 200, frequency = 10 })
--   pruner:attach(optimizer)     -- masks are updated by schedule and kept after every optimizer step
--   ... train ...
--   pruner:strip()               -- the zeros stay, the masks go
local tide = require "tide.core"
local module = require "tide.nn.module"

local M = {}

-- ---- schedules: schedule(step) gives whether masks change at this step, and the sparsity wanted ----

local function common(options, name)
  local o = { begin_step = options.begin_step or 0, end_step = options.end_step or -1, frequency = options.frequency or 100 }
  if o.frequency < 1 then error(name .. ": frequency must be at least 1", 3) end
  return o
end

local function fraction(x, name, what)
  if type(x) ~= "number" or x < 0 or x >= 1 then error(("%s: %s must lie in [0, 1)"):format(name, what), 3) end
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

--- s = final + (initial - final) (1 - p)^power, p from 0 at begin_step to 1 at end_step (Zhu and Gupta, arXiv
-- 1710.01878). options: initial_sparsity (0), final_sparsity, begin_step (0), end_step, power (3), frequency (100)
function M.PolynomialDecay(options)
  local o = common(options, "PolynomialDecay")
  local initial = fraction(options.initial_sparsity or 0.0, "PolynomialDecay", "initial_sparsity")
  local final = fraction(options.final_sparsity, "PolynomialDecay", "final_sparsity")
  local power = options.power or 3
  if o.end_step <= o.begin_step then error("PolynomialDecay: end_step must lie after begin_step", 2) end
  return function(step)
    local p = math.min(1.0, math.max(0.0, (step - o.begin_step) / (o.end_step - o.begin_step)))
    local due = step >= o.begin_step and step <= o.end_step and (step - o.begin_step) % o.frequency == 0
    return due, final + (initial - final) * (1 - p) ^ power
  end
end

-- ---- masks ----

-- Halves to even, as Python's round.
local function round(x)
  local low = math.floor(x)
  local rest = x - low
  if rest > 0.5 or (rest == 0.5 and low % 2 == 1) then low = low + 1 end
  return math.tointeger(low)
end

--- A mask of ones where |tensor| is at least its k-th largest, k = max(round(n (1 - sparsity)), 1). Ties are all kept.
function M.magnitude_mask(tensor, sparsity)
  return tide.no_grad(function()
    local flat = tensor:detach():abs():reshape({ -1 })
    local n = flat:numel()
    if n == 0 then return tide.ones_like(tensor) end
    local k = math.max(round(n * (1 - sparsity)), 1)
    local values = tide.topk(flat, k)
    return tensor:detach():abs():ge(values[k]):to(tensor.dtype)
  end)
end

local Pruner = { __name = "tide.Pruner" }
Pruner.__index = Pruner

--- Prunes the weights (parameters of at least 2 dims) of a model, or options.params: a sequence of tensors.
function M.Pruner(model, schedule, options)
  local self = setmetatable({ schedule = schedule, steps = 0, entries = {} }, Pruner)
  if options and options.params then
    for i, p in ipairs(options.params) do self.entries[i] = { name = tostring(i), tensor = p } end
  else
    for name, p in model:named_parameters() do
      if #p.shape >= 2 then self.entries[#self.entries + 1] = { name = name, tensor = p } end
    end
  end
  if #self.entries == 0 then error("Pruner: nothing to prune", 2) end
  return self
end

--- Sets the masks for a sparsity now.
function Pruner:prune(sparsity)
  self.sparsity = sparsity
  for _, e in ipairs(self.entries) do e.mask = M.magnitude_mask(e.tensor, sparsity) end
  self:apply()
end

--- Zeroes what the masks leave out.
function Pruner:apply()
  tide.no_grad(function()
    for _, e in ipairs(self.entries) do
      if e.mask then e.tensor:mul_(e.mask) end
    end
  end)
end

--- Call after each optimizer step (attach does): moves the schedule on and keeps the masks.
function Pruner:step()
  local due, sparsity = self.schedule(self.steps)
  self.steps = self.steps + 1
  if due then self:prune(sparsity) else self:apply() end
end

function Pruner:attach(optimizer)
  optimizer:after_step(function() self:step() end)
  return self
end

--- Forgets the masks; the weights keep their zeros and may grow again if trained on.
function Pruner:strip()
  self:apply()
  for _, e in ipairs(self.entries) do e.mask = nil end
  self.schedule = function() return false, 0 end
end

--- A sequence of {name, total, zeros, sparsity}, with a last entry "total". Of a model or of a pruner's weights.
function M.sparsity(x)
  local report, total, zeros = {}, 0, 0
  local function add(name, t)
    local n, z = t:numel(), math.tointeger(t:detach():eq(0):sum():item())
    report[#report + 1] = { name = name, total = n, zeros = z, sparsity = n > 0 and z / n or 0.0 }
    total, zeros = total + n, zeros + z
  end
  if module.is_module(x) then
    for name, p in x:named_parameters() do
      if #p.shape >= 2 then add(name, p) end
    end
  else
    for _, e in ipairs(x.entries) do add(e.name, e.tensor) end
  end
  report[#report + 1] = { name = "total", total = total, zeros = zeros, sparsity = total > 0 and zeros / total or 0.0 }
  return report
end

--- The report as a table of text.
function M.report(x)
  local lines = { ("%-32s %10s %10s %9s"):format("weight", "elements", "zeros", "sparsity") }
  for _, r in ipairs(M.sparsity(x)) do
    lines[#lines + 1] = ("%-32s %10d %10d %8.1f%%"):format(r.name, r.total, r.zeros, 100 * r.sparsity)
  end
  return table.concat(lines, "\n")
end

return M
