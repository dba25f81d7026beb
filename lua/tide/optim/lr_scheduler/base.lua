--- What schedules share. A schedule is a class with
--   _next(self, lr, base, t, i)   the rate of group i at epoch t, from the rate `lr` in use and the base rate
--   _closed(self, base, t, i)     the same from the base rate alone, where `_next` goes step from step
-- `_next` sees what other schedules made of the rate, so several may work on one optimizer (ChainedScheduler).
local tide = require "tide.core"
local defined = require "tide.defined"

local Scheduler = { __name = "tide.Scheduler" }
Scheduler.__index = Scheduler

local function update(self, jump)
  for i, group in ipairs(self.optimizer.param_groups) do
    local base = self.base_lrs[i] or group.lr -- a group that was added later starts here
    self.base_lrs[i] = base
    if jump and self._closed then
      group.lr = self:_closed(base, self.last_epoch, i)
    else
      group.lr = self:_next(group.lr, base, self.last_epoch, i)
    end
  end
end

--- Goes one epoch on and sets the rate of every group; step(t) jumps to epoch t.
function Scheduler:step(t)
  if t ~= nil and type(t) ~= "number" then tide._fail(self.kind .. ": step takes an epoch, a number") end
  local jump = t ~= nil
  self.last_epoch = t or self.last_epoch + 1
  update(self, jump)
end

-- Sets the rates of epoch 0, from those the optimizer was made with.
function Scheduler:_begin()
  self.last_epoch = 0
  update(self, false)
end

--- The rates in use now, one a group.
function Scheduler:get_last_lr()
  local list = {}
  for i, group in ipairs(self.optimizer.param_groups) do list[i] = group.lr end
  return list
end

local function copy(x)
  if type(x) ~= "table" then return x end
  local out = {}
  for k, v in pairs(x) do out[k] = copy(v) end
  return out
end

local function numbers(list)
  if type(list) ~= "table" then return false end
  for _, v in ipairs(list) do
    if type(v) ~= "number" then return false end
  end
  return true
end

--- Numbers only (functions given to LambdaLR and others are not part of it): {last_epoch, base_lrs, last_lr, ...}
function Scheduler:state_dict()
  local dict = { last_epoch = self.last_epoch, base_lrs = copy(self.base_lrs), last_lr = self:get_last_lr() }
  for _, name in ipairs(self.memory or {}) do dict[name] = copy(self[name]) end
  return dict
end

--- Goes on where `dict` was made; the rates of the groups are set as well.
function Scheduler:load_state_dict(dict)
  local groups = self.optimizer.param_groups
  if type(dict) ~= "table" or type(dict.last_epoch) ~= "number" or not numbers(dict.base_lrs) or not numbers(dict.last_lr or {}) then
    tide._fail("load_state_dict: no state of a schedule")
  end
  if dict.last_lr and #dict.last_lr ~= #groups then
    tide._fail(("load_state_dict: the state has %d parameter groups, the optimizer %d"):format(#dict.last_lr, #groups))
  end
  self.last_epoch, self.base_lrs = dict.last_epoch, copy(dict.base_lrs)
  for _, name in ipairs(self.memory or {}) do
    if dict[name] ~= nil then self[name] = copy(dict[name]) end
  end
  for i, lr in ipairs(dict.last_lr or {}) do groups[i].lr = lr end
end

function Scheduler:__tostring()
  local parts = {}
  for _, name in ipairs(self.names or {}) do
    local v = self[name]
    if v ~= nil and type(v) ~= "function" and type(v) ~= "table" then parts[#parts + 1] = ("%s=%s"):format(name, v) end
  end
  return ("%s(%s)"):format(self.kind, table.concat(parts, ", "))
end

local M = { Scheduler = Scheduler, copy = copy }

local function raise(kind, ...) tide._fail(kind .. ": " .. string.format(...)) end

-- The arguments of kind(optimizer, ...): in order or in a table of options behind them, as `spec` says: {name, default,
-- check} each. A default of nil: must be given. "none": may be left out.
local function arguments(kind, spec, ...)
  local self, given, n = {}, { ... }, select("#", ...)
  local last = given[n]
  local options = {}
  if type(last) == "table" and (type(next(last)) == "string" or next(last) == nil) then
    options, n = last, n - 1
  end
  if n > #spec then raise(kind, "takes %d arguments at most", #spec) end
  local known = {}
  for i, s in ipairs(spec) do
    local name, default, check = s[1], s[2], s[3]
    known[name] = true
    local value = given[i]
    if i > n or value == nil then value = options[name] end
    if value == nil then
      if default == nil then raise(kind, "%s is missing", name) end
      if default ~= "none" then value = default end
    elseif check then
      local why = check(value)
      if why then raise(kind, "%s must be %s, not %s", name, why, tostring(value)) end
    end
    self[name] = value
  end
  for name in pairs(options) do
    if not known[name] then raise(kind, "no option '%s'", name) end
  end
  return self
end

-- ---- checks: nil, or what the value must be ----
function M.number(x) if type(x) ~= "number" then return "a number" end end
function M.count(x) if math.type(x) ~= "integer" or x < 1 then return "a positive integer" end end
function M.natural(x) if math.type(x) ~= "integer" or x < 0 then return "an integer from 0" end end
function M.boolean(x) if type(x) ~= "boolean" then return "true or false" end end
function M.callable(x)
  local mt = getmetatable(x)
  if type(x) ~= "function" and not (type(mt) == "table" and mt.__call) then return "a function" end
end
function M.one_of(...)
  local set, text = {}, table.concat({ ... }, " or ")
  for _, v in ipairs { ... } do set[v] = true end
  return function(x) if not set[x] then return text end end
end
--- A number, or a list of one for each group.
function M.each(x)
  if type(x) == "number" then return end
  if type(x) ~= "table" or #x == 0 then return "a number or a list of one for each group" end
  for _, v in ipairs(x) do if type(v) ~= "number" then return "a number or a list of one for each group" end end
end

--- The value of group i where one value or a list was given; raises where the list has another length.
function M.of_group(self, name, i)
  local v = self[name]
  if type(v) ~= "table" then return v end
  if #v ~= #self.optimizer.param_groups then
    tide._fail(("%s: %s has %d values for %d groups"):format(self.kind, name, #v, #self.optimizer.param_groups))
  end
  return v[i]
end

--- What a function of the user's, the argument `name`, returned: a number.
function M.returned(self, name, x)
  if type(x) ~= "number" then tide._fail(("%s: %s must return a number, not a %s"):format(self.kind, name, type(x))) end
  return x
end

local function is_optimizer(x) return type(x) == "table" and type(x.param_groups) == "table" end
M.is_optimizer = is_optimizer

--- A schedule: `spec` lists its arguments, class has _next, _closed, and perhaps _prepare(self) which runs before epoch 0.
function M.define(kind, spec, class)
  class.kind, class.__index, class.__name, class.__tostring, class.names = kind, class, Scheduler.__name, Scheduler.__tostring, {}
  for i, s in ipairs(spec) do class.names[i] = s[1] end
  setmetatable(class, Scheduler)
  local function new(optimizer, ...)
    if not is_optimizer(optimizer) then tide._fail(kind .. ": expected an optimizer, got " .. type(optimizer)) end
    local self = setmetatable(arguments(kind, spec, ...), class)
    self.optimizer, self.base_lrs = optimizer, {}
    if self._prepare then self:_prepare() end
    for i, group in ipairs(optimizer.param_groups) do
      group.initial_lr = group.initial_lr or group.lr
      self.base_lrs[i] = self.base_lrs[i] or group.initial_lr
    end
    self:_begin()
    return self
  end
  local place = debug.getinfo(2, "Sl")
  defined[new] = { source = place.source, linedefined = place.currentline }
  return new
end

return M
