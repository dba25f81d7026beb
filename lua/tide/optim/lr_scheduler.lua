--- Learning rate schedules. A scheduler sets the rate of every group when it is made and at each step().
-- The curves are those of torch.optim.lr_scheduler, each in closed form.
local Scheduler = { __name = "tide.Scheduler" }
Scheduler.__index = Scheduler

--- Goes one epoch on.
function Scheduler:step()
  self.last_epoch = self.last_epoch + 1
  self:apply()
end

function Scheduler:apply()
  for i, group in ipairs(self.optimizer.param_groups) do group.lr = self.curve(self, self.base_lrs[i], self.last_epoch) end
end

--- The rates in use now, one a group.
function Scheduler:get_last_lr()
  local list = {}
  for i, group in ipairs(self.optimizer.param_groups) do list[i] = group.lr end
  return list
end

function Scheduler:state_dict() return { last_epoch = self.last_epoch, base_lrs = { table.unpack(self.base_lrs) } } end
function Scheduler:load_state_dict(dict)
  self.last_epoch, self.base_lrs = dict.last_epoch, { table.unpack(dict.base_lrs) }
  self:apply()
end

local function make(optimizer, curve, fields)
  local self = setmetatable(fields, Scheduler)
  self.optimizer, self.curve, self.last_epoch, self.base_lrs = optimizer, curve, 0, {}
  for i, group in ipairs(optimizer.param_groups) do self.base_lrs[i] = group.lr end
  self:apply()
  return self
end

local M = {}

--- lr * gamma^floor(epoch / step_size). options: gamma (0.1)
function M.StepLR(optimizer, step_size, options)
  local gamma = options and options.gamma or 0.1
  return make(optimizer, function(s, base, t) return base * s.gamma ^ (t // s.step_size) end, { step_size = step_size, gamma = gamma })
end

--- Half a cosine from lr down to eta_min over T_max epochs, and up again after (Loshchilov and Hutter,
-- arXiv 1608.03983, without restarts). options: eta_min (0)
function M.CosineAnnealingLR(optimizer, T_max, options)
  return make(optimizer, function(s, base, t)
    return s.eta_min + (base - s.eta_min) * (1 + math.cos(math.pi * t / s.T_max)) / 2
  end, { T_max = T_max, eta_min = options and options.eta_min or 0.0 })
end

--- From lr * start_factor to lr * end_factor over total_iters epochs. options: start_factor (1/3), end_factor (1),
-- total_iters (5)
function M.LinearLR(optimizer, options)
  options = options or {}
  return make(optimizer, function(s, base, t)
    local part = math.min(t, s.total_iters) / s.total_iters
    return base * (s.start_factor + (s.end_factor - s.start_factor) * part)
  end, { start_factor = options.start_factor or 1 / 3, end_factor = options.end_factor or 1.0, total_iters = options.total_iters or 5 })
end

return M
