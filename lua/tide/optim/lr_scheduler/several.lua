--- Schedules made of schedules: one after the other, or all at once.
local tide = require "tide.core"
local base = require "tide.optim.lr_scheduler.base"

-- The schedules of a list, which must all be of one optimizer and step without a metric.
local function parts(kind, list, optimizer)
  if type(list) ~= "table" or #list == 0 then tide._fail(kind .. ": expected a list of schedules") end
  optimizer = optimizer or type(list[1]) == "table" and list[1].optimizer
  for i, s in ipairs(list) do
    if type(s) ~= "table" or not s.state_dict or s.optimizer ~= optimizer then
      tide._fail(("%s: entry %d is not a schedule of the same optimizer"):format(kind, i))
    end
    if s.kind == "ReduceLROnPlateau" then tide._fail(kind .. ": ReduceLROnPlateau needs a metric at each step") end
  end
  return list, optimizer
end

local function class(kind)
  local c = { kind = kind, __name = base.Scheduler.__name, __tostring = base.Scheduler.__tostring }
  c.__index = c
  --- As of all schedules, with the states of those that it is made of.
  function c:state_dict()
    local dict = base.Scheduler.state_dict(self)
    dict.schedulers = {}
    for i, s in ipairs(self.schedulers) do dict.schedulers[i] = s:state_dict() end
    return dict
  end
  --- Goes on where `dict` was made; an error for another number of schedules.
  function c:load_state_dict(dict)
    if type(dict) ~= "table" or #(dict.schedulers or {}) ~= #self.schedulers then
      tide._fail("load_state_dict: another number of schedules")
    end
    for i, s in ipairs(self.schedulers) do s:load_state_dict(dict.schedulers[i]) end
    base.Scheduler.load_state_dict(self, dict) -- last, for the rates in use
  end
  return setmetatable(c, base.Scheduler)
end

local Sequential, Chained = class "SequentialLR", class "ChainedScheduler"

function Sequential:_begin()
  self.last_epoch = 0
  for _, group in ipairs(self.optimizer.param_groups) do group.lr = group.initial_lr end
  self.schedulers[1]:_begin()
end

--- Goes one epoch on, or to epoch t, with the schedule whose turn it is.
function Sequential:step(t)
  self.last_epoch = t or self.last_epoch + 1
  local k = 1
  while self.milestones[k] and self.milestones[k] <= self.last_epoch do k = k + 1 end
  local now = self.schedulers[k]
  if self.milestones[k - 1] == self.last_epoch then now:step(0) else now:step() end
end

function Chained:_begin()
  self.last_epoch = 0
  for _, s in ipairs(self.schedulers) do s:_begin() end
end

--- Goes one epoch on with all schedules.
function Chained:step()
  self.last_epoch = self.last_epoch + 1
  for _, s in ipairs(self.schedulers) do s:step() end
end

return {
  --- SequentialLR(optimizer, schedulers, milestones): the first schedule until epoch milestones[1], then the second from
  -- its epoch 0 on, and so on. Also with a table: {schedulers = ..., milestones = ...}.
  SequentialLR = function(optimizer, schedulers, milestones)
    if type(schedulers) == "table" and schedulers.schedulers then schedulers, milestones = schedulers.schedulers, schedulers.milestones end
    local list = parts("SequentialLR", schedulers, optimizer)
    if type(milestones) ~= "table" or #milestones ~= #list - 1 then
      tide._fail(("SequentialLR: %d schedules need %d milestones"):format(#list, #list - 1))
    end
    local self = setmetatable({ optimizer = optimizer, schedulers = list, milestones = milestones, base_lrs = {} }, Sequential)
    self:_begin()
    return self
  end,
  --- ChainedScheduler(schedulers): all of them at each step; each goes on from the rate that the one before made.
  ChainedScheduler = function(schedulers, optimizer)
    local list, owner = parts("ChainedScheduler", schedulers, optimizer)
    return setmetatable({ optimizer = owner, schedulers = list, last_epoch = 0, base_lrs = {} }, Chained)
  end,
}
