--- Optimizers: the work is one C operation a step over all parameters (core/optim); this file gives it a Lua face.
--   local opt = tide.optim.Adam(model:parameters(), {lr = 1e-3})
-- Methods: step(), zero_grad(), state_dict(), load_state_dict(d), add_param_group{params = ..., lr = ...}.
-- opt.param_groups[i].lr may be changed between steps (schedulers do).
local tide = require "tide.core"

local Optimizer = { __name = "tide.Optimizer" }
Optimizer.__index = Optimizer

-- A group is a table whose options write through to the C optimizer.
local group_meta = {
  __index = function(g, key) return g._handle:get(key) end,
  __newindex = function(g, key, value) g._handle:set(key, value) end,
}

function Optimizer:add_param_group(group)
  local params, options = group.params, {}
  if not params then error("add_param_group: no params", 2) end
  for k, v in pairs(self.defaults) do options[k] = v end
  for k, v in pairs(group) do
    if k ~= "params" then options[k] = v end
  end
  for _, other in ipairs(self.param_groups) do
    for _, p in ipairs(other.params) do
      for _, q in ipairs(params) do
        if rawequal(p, q) then error("add_param_group: a parameter is in two groups", 2) end
      end
    end
  end
  local handle = tide._optimizer(self.kind, params, options)
  self.param_groups[#self.param_groups + 1] = setmetatable({ params = params, _handle = handle }, group_meta)
end

--- Updates every parameter that has a gradient; functions added with after_step run then.
function Optimizer:step()
  for _, group in ipairs(self.param_groups) do group._handle:step() end
  for _, fn in ipairs(self.hooks) do fn(self) end
end

function Optimizer:zero_grad()
  for _, group in ipairs(self.param_groups) do group._handle:zero_grad() end
end

--- fn(optimizer) is called after each step: masks are kept so.
function Optimizer:after_step(fn) self.hooks[#self.hooks + 1] = fn end

--- {groups = {{options}, ...}, state = {[number of the parameter] = {step = n, name = tensor}}}
function Optimizer:state_dict()
  local dict, number = { groups = {}, state = {} }, 0
  for i, group in ipairs(self.param_groups) do
    dict.groups[i] = group._handle:options()
    for k = 1, #group.params do
      number = number + 1
      dict.state[number] = group._handle:state(k)
    end
  end
  return dict
end

function Optimizer:load_state_dict(dict)
  if #dict.groups ~= #self.param_groups then error("load_state_dict: another number of parameter groups", 2) end
  local number = 0
  for i, group in ipairs(self.param_groups) do
    for key, value in pairs(dict.groups[i]) do group._handle:set(key, value) end
    for k = 1, #group.params do
      number = number + 1
      if dict.state[number] then group._handle:restore(k, dict.state[number]) end
    end
  end
end

function Optimizer:__tostring()
  local g = self.param_groups[1]
  return ("%s(lr=%g, %d groups)"):format(self.kind, g.lr, #self.param_groups)
end

local function class(kind, required)
  return function(params, options)
    options = options or {}
    if required and options.lr == nil then options.lr = 1e-3 end
    local self = setmetatable({ kind = kind, defaults = options, param_groups = {}, hooks = {} }, Optimizer)
    local first = params[1]
    if first == nil then error(kind .. ": no parameters", 2) end
    if tide.is_tensor(first) then
      self:add_param_group { params = params }
    else
      for _, group in ipairs(params) do self:add_param_group(group) end
    end
    return self
  end
end

return {
  --- options: lr (1e-3), momentum, dampening, weight_decay, nesterov, maximize
  SGD = class("SGD", true),
  --- options: lr (1e-3), betas ({0.9, 0.999}), eps (1e-8), weight_decay (0), amsgrad, maximize
  Adam = class("Adam"),
  --- options: as Adam, weight_decay (1e-2) is decoupled
  AdamW = class("AdamW"),
  Optimizer = Optimizer,
  lr_scheduler = require "tide.optim.lr_scheduler",
}
