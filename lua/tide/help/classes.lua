--- Classes that no table of the library holds: {path, what makes their objects (a pattern of paths), the class itself}. The first
-- pattern that fits says it.
local tide = require "tide.core"

local function optimizer() return tide.optim.SGD({ tide.zeros(1):requires_grad_() }) end
local function schedule(name) -- the methods of all schedules, or those of its own
  local lr = tide.optim.lr_scheduler
  local opt = optimizer()
  if name == "ReduceLROnPlateau" then return getmetatable(lr[name](opt)) end
  local one = lr.ConstantLR(opt)
  if name == "SequentialLR" then return getmetatable(lr[name](opt, { one }, {})) end
  if name == "ChainedScheduler" then return getmetatable(lr[name] { one }) end
  return getmetatable(getmetatable(one))
end

return {
  { "Checkpoint", "^checkpoint$", function() return getmetatable(tide.checkpoint(".", {}, { sigterm = false })) end },
  { "data.Column", "^data%.Table:column$", function() return getmetatable(tide.data.table { { "x", { 1 } } }:column "x") end },
  { "data.DataLoader", "^data%.DataLoader$", function() return getmetatable(tide.data.DataLoader(tide.zeros(1))) end },
  { "data.Groups", "^data%.Table:groupby$", function() return getmetatable(tide.data.table { { "x", { 1 } } }:groupby "x") end },
  { "data.KFold", "^data%.%a*KFold$", function() return getmetatable(tide.data.KFold(2, 2)) end },
  { "data.Table", "^data%.table$", function() return tide.data.Table end },
  { "metrics.Classification", "^metrics%.Classification$", function() return getmetatable(tide.metrics.Classification(1)) end },
  { "optim.EMA", "^optim%.EMA$", function() return getmetatable(tide.optim.EMA(tide.nn.Linear(1, 1))) end },
  { "optim.LBFGS", "^optim%.LBFGS$", function() return getmetatable(tide.optim.LBFGS { tide.zeros(1):requires_grad_() }) end },
  { "optim.Optimizer", "^optim%.%a+$", function() return tide.optim.Optimizer end },
  { "optim.lr_scheduler.ChainedScheduler", "%.ChainedScheduler$", function() return schedule "ChainedScheduler" end },
  { "optim.lr_scheduler.ReduceLROnPlateau", "%.ReduceLROnPlateau$", function() return schedule "ReduceLROnPlateau" end },
  { "optim.lr_scheduler.SequentialLR", "%.SequentialLR$", function() return schedule "SequentialLR" end },
  { "optim.lr_scheduler.Scheduler", "^optim%.lr_scheduler%.%a+$", function() return schedule() end },
  { "plot.Figure", "^plot%.%a+$", function() return getmetatable(tide.plot.line { 1 }) end },
  { "prune.Pruner", "^prune%.Pruner$", function() return getmetatable(tide.prune.Pruner(tide.nn.Linear(1, 1), tide.prune.OneShot { 0.5 })) end },
}
