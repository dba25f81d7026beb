--- What all optimizers share, and those whose step is one C operation over all parameters (core/optim/table.c).
local tide = require "tide.core"
local expect = require("tide.arguments").one
local defined = require "tide.defined"

local Optimizer = { __name = "tide.Optimizer" }
Optimizer.__index = Optimizer

-- A group is a table whose options write through to the C optimizer. initial_lr is the schedules'.
local group_meta = {
  __index = function(g, key)
    if key == "initial_lr" then return nil end
    return g._handle:get(key)
  end,
  __newindex = function(g, key, value)
    if key == "initial_lr" then rawset(g, key, value) else g._handle:set(key, value) end
  end,
}

--- Adds {params = {...}, option = value ...}; options that are not named are those of the constructor.
function Optimizer:add_param_group(group)
  if type(group) ~= "table" then tide._fail("add_param_group: expected a table {params = ...}") end
  local params, options = group.params, {}
  if tide.is_tensor(params) then params = { params } end
  if type(params) ~= "table" then tide._fail("add_param_group: no params") end
  for k, v in pairs(self.defaults) do options[k] = v end
  for k, v in pairs(group) do
    if k ~= "params" and k ~= "initial_lr" then options[k] = v end
  end
  for _, other in ipairs(self.param_groups) do
    for _, p in ipairs(other.params) do
      for _, q in ipairs(params) do
        if rawequal(p, q) then tide._fail("add_param_group: a parameter is in two groups") end
      end
    end
  end
  local handle = tide._optimizer(self.kind, params, options)
  self.param_groups[#self.param_groups + 1] = setmetatable({ params = params, _handle = handle, initial_lr = group.initial_lr }, group_meta)
end

--- Updates every parameter that has a gradient; functions added with after_step run then. With a closure, which
-- clears the gradients, works out the loss and calls backward: runs it first and returns its loss.
function Optimizer:step(closure)
  local loss
  if closure then loss = tide.enable_grad(closure) end
  for _, group in ipairs(self.param_groups) do group._handle:step() end
  for _, fn in ipairs(self.hooks) do fn(self) end
  return loss
end

--- Clears the gradients; zero_grad(false) (or {set_to_none = false}) fills them with 0 instead.
function Optimizer:zero_grad(set_to_none)
  if type(set_to_none) == "table" then set_to_none = set_to_none.set_to_none end
  for _, group in ipairs(self.param_groups) do
    if set_to_none == false then
      for _, p in ipairs(group.params) do
        local grad = p.grad
        if grad then tide.no_grad(function() grad:zero_() end) end
      end
    elseif group._handle then
      group._handle:zero_grad()
    else
      for _, p in ipairs(group.params) do p.grad = nil end
    end
  end
end

--- fn(optimizer) is called after each step: masks are kept so.
function Optimizer:after_step(fn)
  expect("function", "after_step", "fn", fn)
  self.hooks[#self.hooks + 1] = fn
end

--- {groups = {{option = value}, ...}, state = {[number of the parameter] = {step = n, name = tensor or number}}}. The
-- tensors are those in use: save or clone them before going on.
function Optimizer:state_dict()
  local dict, number = { groups = {}, state = {} }, 0
  for i, group in ipairs(self.param_groups) do
    local options = group._handle:options()
    options.initial_lr = rawget(group, "initial_lr")
    dict.groups[i] = options
    for k = 1, #group.params do
      number = number + 1
      dict.state[number] = group._handle:state(k)
    end
  end
  return dict
end

--- Takes options and state over (copied); the following steps are those of the optimizer that was saved, bit for bit.
-- Raises on another number of groups or parameters, options that are not this optimizer's, and states of other shapes.
function Optimizer:load_state_dict(dict)
  if type(dict) ~= "table" or type(dict.groups) ~= "table" or type(dict.state) ~= "table" then tide._fail("load_state_dict: no state of an optimizer") end
  if #dict.groups ~= #self.param_groups then
    tide._fail(("load_state_dict: the state has %d parameter groups, the optimizer %d"):format(#dict.groups, #self.param_groups))
  end
  local total = 0
  for _, group in ipairs(self.param_groups) do total = total + #group.params end
  if dict.state[total + 1] then tide._fail("load_state_dict: the state has more parameters than the optimizer") end
  local number = 0
  for i, group in ipairs(self.param_groups) do
    for key, value in pairs(dict.groups[i]) do group[key] = value end
    for k = 1, #group.params do
      number = number + 1
      group._handle:restore(k, dict.state[number] or { step = 0 })
    end
  end
end

function Optimizer:__tostring()
  local g = self.param_groups[1]
  return ("%s(lr=%g, %d groups)"):format(self.kind, g.lr, #self.param_groups)
end

--- An optimizer's constructor: kind(params, options); params: a list of tensors, or of groups {params = ..., option = ...}.
-- row: {name, doc, options = {{name, default}, ...}}, as C has it.
local function class(row)
  local kind, signature = row.name, {}
  local function new(params, options)
    local defaults = {}
    if options ~= nil then expect("table", kind, "options", options) end
    for k, v in pairs(options or {}) do defaults[k] = v end
    if type(params) ~= "table" then tide._fail(("%s: expected a list of parameters, got %s"):format(kind, type(params))) end
    local self = setmetatable({ kind = kind, defaults = defaults, param_groups = {}, hooks = {} }, Optimizer)
    local first = params[1]
    if first == nil then tide._fail(kind .. ": no parameters") end
    if tide.is_tensor(first) then
      self:add_param_group { params = params }
    else
      for i, group in ipairs(params) do
        if type(group) ~= "table" then tide._fail(("%s: entry %d is neither a tensor nor a group"):format(kind, i)) end
        self:add_param_group(group)
      end
    end
    return self
  end
  for i, option in ipairs(row.options) do
    local name, value = table.unpack(option)
    if type(value) == "table" then value = ("{%g, %g}"):format(table.unpack(value)) end
    signature[i] = ("%s = %s"):format(name, type(value) == "number" and ("%g"):format(value) or tostring(value))
  end
  defined[new] = { signature = ("params, {%s}"):format(table.concat(signature, ", ")), text = row.doc }
  return new
end

return { Optimizer = Optimizer, class = class }
