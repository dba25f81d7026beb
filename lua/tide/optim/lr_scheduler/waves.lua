--- Schedules that go down and up: cosines, cycles, one cycle.
local tide = require "tide.core"
local base = require "tide.optim.lr_scheduler.base"
local define, number, count, boolean, each, of_group = base.define, base.number, base.count, base.boolean, base.each, base.of_group
local cos, pi = math.cos, math.pi

local M = {}

--- CosineAnnealingLR(optimizer, T_max, eta_min = 0): half a cosine from the rate down to eta_min over T_max epochs, and
-- up again after (Loshchilov and Hutter, arXiv 1608.03983, without restarts).
M.CosineAnnealingLR = define("CosineAnnealingLR", { { "T_max", nil, count }, { "eta_min", 0.0, number } }, {
  _next = function(s, lr, first, t)
    if t == 0 then return lr end
    local T, low = s.T_max, s.eta_min
    if (t - 1 - T) % (2 * T) == 0 then return lr + (first - low) * (1 - cos(pi / T)) / 2 end
    return (1 + cos(pi * t / T)) / (1 + cos(pi * (t - 1) / T)) * (lr - low) + low
  end,
  _closed = function(s, first, t) return s.eta_min + (first - s.eta_min) * (1 + cos(pi * t / s.T_max)) / 2 end,
})

--- CosineAnnealingWarmRestarts(optimizer, T_0, T_mult = 1, eta_min = 0): a cosine down over T_0 epochs, then over T_0
-- T_mult, and so on (arXiv 1608.03983). step(t) takes fractions of epochs.
M.CosineAnnealingWarmRestarts = define("CosineAnnealingWarmRestarts",
  { { "T_0", nil, count }, { "T_mult", 1, count }, { "eta_min", 0.0, number } }, {
    _next = function(s, _, first, t)
      local length = s.T_0
      if s.T_mult == 1 then
        t = t % length
      else
        while t >= length do
          t, length = t - length, length * s.T_mult
        end
      end
      return s.eta_min + (first - s.eta_min) * (1 + cos(pi * t / length)) / 2
    end,
  })

-- Sets what PyTorch calls the momentum of a group: momentum, or the first of betas.
local function set_momentum(group, value)
  local betas = group.betas
  if betas then group.betas = { value, betas[2] } else group.momentum = value end
end
local function want_momentum(s)
  for _, group in ipairs(s.optimizer.param_groups) do
    if group.momentum == nil and group.betas == nil then
      tide._fail(s.kind .. ": cycle_momentum needs an optimizer with momentum or betas; give cycle_momentum = false")
    end
  end
end

--- CyclicLR(optimizer, base_lr, max_lr, {step_size_up = 2000, step_size_down, mode = "triangular", gamma = 1, scale_fn,
-- scale_mode = "cycle", cycle_momentum = true, base_momentum = 0.8, max_momentum = 0.9}): up and down between two rates
-- (Smith, arXiv 1506.01186). mode: "triangular", "triangular2" (half as high at each cycle), "exp_range" (times gamma^t);
-- scale_fn(cycle or t, by scale_mode) instead of a mode. Momentum goes the other way.
M.CyclicLR = define("CyclicLR", { { "base_lr", nil, each }, { "max_lr", nil, each }, { "step_size_up", 2000, count },
  { "step_size_down", "none", count }, { "mode", "triangular", base.one_of("triangular", "triangular2", "exp_range") }, { "gamma", 1.0, number },
  { "scale_fn", "none", base.callable }, { "scale_mode", "cycle", base.one_of("cycle", "iterations") }, { "cycle_momentum", true, boolean },
  { "base_momentum", 0.8, each }, { "max_momentum", 0.9, each } }, {
    _prepare = function(s)
      if s.cycle_momentum then want_momentum(s) end
      for i, group in ipairs(s.optimizer.param_groups) do
        s.base_lrs[i] = of_group(s, "base_lr", i)
        group.lr = s.base_lrs[i]
      end
    end,
    _next = function(s, _, _, t, i)
      local up, total = s.step_size_up, s.step_size_up + (s.step_size_down or s.step_size_up)
      local cycle, at = t // total + 1, t % total
      local height, scale = at <= up and at / up or (total - at) / (total - up), 1.0
      if s.scale_fn then scale = base.returned(s, "scale_fn", s.scale_fn(s.scale_mode == "cycle" and cycle or t))
      elseif s.mode == "triangular2" then scale = 0.5 ^ (cycle - 1)
      elseif s.mode == "exp_range" then scale = s.gamma ^ t end
      if s.cycle_momentum then
        local low, high = of_group(s, "base_momentum", i), of_group(s, "max_momentum", i)
        set_momentum(s.optimizer.param_groups[i], high - (high - low) * height * scale)
      end
      local low = of_group(s, "base_lr", i)
      return low + (of_group(s, "max_lr", i) - low) * height * scale
    end,
  })

local anneal = {
  cos = function(from, to, part) return to + (from - to) / 2 * (cos(pi * part) + 1) end,
  linear = function(from, to, part) return (to - from) * part + from end,
}

--- OneCycleLR(optimizer, max_lr, {total_steps | epochs, steps_per_epoch, pct_start = 0.3, anneal_strategy = "cos",
-- cycle_momentum = true, base_momentum = 0.85, max_momentum = 0.95, div_factor = 25, final_div_factor = 1e4,
-- three_phase = false}): from max_lr / div_factor up to max_lr, then down far below the start (Smith and Topin, arXiv
-- 1708.07120); momentum the other way. One step() a batch; an error after total_steps.
M.OneCycleLR = define("OneCycleLR", { { "max_lr", nil, each }, { "total_steps", "none", count }, { "epochs", "none", count },
  { "steps_per_epoch", "none", count }, { "pct_start", 0.3, function(x) if type(x) ~= "number" or x < 0 or x > 1 then return "in [0, 1]" end end },
  { "anneal_strategy", "cos", base.one_of("cos", "linear") }, { "cycle_momentum", true, boolean }, { "base_momentum", 0.85, each },
  { "max_momentum", 0.95, each }, { "div_factor", 25.0, number }, { "final_div_factor", 1e4, number }, { "three_phase", false, boolean } }, {
    _prepare = function(s)
      if not s.total_steps then
        if not (s.epochs and s.steps_per_epoch) then tide._fail("OneCycleLR: give total_steps, or epochs and steps_per_epoch") end
        s.total_steps = s.epochs * s.steps_per_epoch
      end
      if s.cycle_momentum then want_momentum(s) end
      for i, group in ipairs(s.optimizer.param_groups) do
        group.initial_lr = of_group(s, "max_lr", i) / s.div_factor
      end
    end,
    _next = function(s, _, first, t, i)
      if t > s.total_steps then tide._fail(("OneCycleLR: step %d of %d"):format(t, s.total_steps)) end
      local peak = s.pct_start * s.total_steps - 1
      local top, last = of_group(s, "max_lr", i), first / s.final_div_factor
      local low, high = of_group(s, "base_momentum", i), of_group(s, "max_momentum", i)
      -- phases: where they end, rates and momenta at both ends
      local phases = { { peak, first, top, high, low } }
      if s.three_phase then
        phases[2] = { 2 * peak, top, first, low, high }
        phases[3] = { s.total_steps - 1, first, last, high, high }
      else
        phases[2] = { s.total_steps - 1, top, last, low, high }
      end
      local start, k = 0.0, 1
      while k < #phases and t > phases[k][1] do
        start, k = phases[k][1], k + 1
      end
      local phase, curve = phases[k], anneal[s.anneal_strategy]
      local part = (t - start) / (phase[1] - start)
      if s.cycle_momentum then set_momentum(s.optimizer.param_groups[i], curve(phase[4], phase[5], part)) end
      return curve(phase[2], phase[3], part)
    end,
  })

return M
