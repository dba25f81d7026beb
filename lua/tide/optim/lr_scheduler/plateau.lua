--- ReduceLROnPlateau: the rate goes down when a metric has stopped improving.
local tide = require "tide.core"
local base = require "tide.optim.lr_scheduler.base"
local number, natural = base.number, base.natural

local Plateau = { memory = { "best", "cooldown_counter", "num_bad_epochs" } }

function Plateau:_prepare() self.best, self.cooldown_counter, self.num_bad_epochs = self.mode == "min" and math.huge or -math.huge, 0, 0 end
function Plateau:_begin() self.last_epoch = 0 end -- the rates stay as they are

local function better(self, x)
  local relative, t, best = self.threshold_mode == "rel", self.threshold, self.best
  if self.mode == "min" then return x < (relative and best * (1 - t) or best - t) end
  return x > (relative and best * (1 + t) or best + t)
end

--- Goes one epoch on. metric: what should have improved, a number or a tensor of one element.
function Plateau:step(metric)
  local x = tide.is_tensor(metric) and metric:item() or metric
  if type(x) ~= "number" then tide._fail("ReduceLROnPlateau: step takes the metric, a number") end
  self.last_epoch = self.last_epoch + 1
  if better(self, x) then
    self.best, self.num_bad_epochs = x, 0
  else
    self.num_bad_epochs = self.num_bad_epochs + 1
  end
  if self.cooldown_counter > 0 then
    self.cooldown_counter, self.num_bad_epochs = self.cooldown_counter - 1, 0
  end
  if self.num_bad_epochs > self.patience then
    for i, group in ipairs(self.optimizer.param_groups) do
      local lower = math.max(group.lr * self.factor, base.of_group(self, "min_lr", i))
      if group.lr - lower > self.eps then group.lr = lower end
    end
    self.cooldown_counter, self.num_bad_epochs = self.cooldown, 0
  end
end

return {
  --- ReduceLROnPlateau(optimizer, {mode = "min", factor = 0.1, patience = 10, threshold = 1e-4, threshold_mode = "rel",
  -- cooldown = 0, min_lr = 0, eps = 1e-8}): the rate times factor after more than `patience` epochs without an improvement.
  ReduceLROnPlateau = base.define("ReduceLROnPlateau", { { "mode", "min", base.one_of("min", "max") },
    { "factor", 0.1, function(x) if type(x) ~= "number" or x >= 1 or x < 0 then return "in [0, 1)" end end }, { "patience", 10, natural },
    { "threshold", 1e-4, number }, { "threshold_mode", "rel", base.one_of("rel", "abs") }, { "cooldown", 0, natural }, { "min_lr", 0.0, base.each },
    { "eps", 1e-8, number } }, Plateau),
}
