--- Pruning during training.
--   local pruner = prune.Pruner(model, prune.PolynomialDecay{ final_sparsity = 0.5, begin_step = 0, end_step = 200, frequency = 10 })
--   pruner:attach(optimizer)     -- masks are updated by schedule and kept after every optimizer step
--   ... train ...
--   pruner:strip()               -- the zeros stay, the masks go
-- Schedules: ConstantSparsity, LinearSparsity, PolynomialDecay, OneShot. Structures: single weights, "2:4", "channel"; after
-- the last prune.shrink(model) makes the layers smaller.
local tide = require "tide.core"
local arguments = require "tide.arguments"
local with_options = require "tide.options"
local masks, schedules, shrinking = require "tide.prune.mask", require "tide.prune.schedule", require "tide.prune.shrink"

local M = {}
for _, part in ipairs { schedules, masks } do
  for name, value in pairs(part) do M[name] = value end
end
M.shrink, M.spread = shrinking.shrink, nil

-- Calls visit(name, tensor, module, key) for the weights (parameters of at least 2 dims) of a model; a parametrized one is visited
-- as what it is computed to be.
local function each_weight(model, visit)
  local seen = {}
  for path, m in model:named_modules() do
    if not path:find "parametrizations" then
      for _, key in ipairs(m._order) do
        local tensor = m._kind[key] == "parameter" and m[key]
        if tensor and #tensor.shape >= 2 and not seen[tensor] then
          seen[tensor] = true
          visit(path == "" and key or path .. "." .. key, tensor, m, key)
        end
      end
    end
  end
end

local Pruner = { __name = "tide.Pruner" }
Pruner.__index = Pruner

-- {name, tensor, mask, dim} for each weight, with companions for channels: {tensor, mask} of what belongs to a channel.
local function entries_of(model, options)
  local list = {}
  if options.params then
    for i, p in ipairs(options.params) do list[i] = { name = tostring(i), tensor = p, dim = 1 } end
  elseif options.structure == "channel" then
    local names = {}
    if model then
      for name, m in model:named_modules() do names[m] = name end
    end
    for i, link in ipairs(shrinking.links(options.layers or model)) do
      local e = { name = (names[link.layer] or tostring(i)) .. ".weight", tensor = link.layer.weight, dim = link.dim, module = link.layer, key = "weight", companions = {} }
      local function also(tensor) e.companions[#e.companions + 1] = tensor end
      also(link.layer.bias)
      for _, norm in ipairs(link.norms) do
        also(norm.weight)
        also(norm.bias)
      end
      list[i] = e
    end
  else
    each_weight(model, function(name, tensor, m, key) list[#list + 1] = { name = name, tensor = tensor, module = m, key = key, dim = 1 } end)
  end
  return list
end

--- Prunes the weights (parameters of at least 2 dims) of a model. options:
-- params: a sequence of tensors instead. scope: "layer" (default: each weight has the wanted sparsity) or "global" (all together).
-- structure: "element" (default), "N:M" (as "2:4"; the schedule's sparsity on the way there is rounded to whole neighbours), or
-- "channel": outputs of the layers of an nn.Sequential, or of `layers`, a sequence of layers that follow each other; their biases
-- and batch norms go with them. mask: fn(tensor, sparsity, name) that makes a mask instead. parametrize (false): masks are
-- parametrizations, so that what is masked keeps its value and may come back, instead of zeros in the weights.
function M.Pruner(model, schedule, options)
  options = with_options("Pruner", options, "params:table scope:string structure:string layers:table|module mask:function parametrize:boolean")
  if not (options.params or options.layers) then arguments.one("module", "Pruner", "model", model) end
  arguments.one("function", "Pruner", "schedule", schedule)
  for _, t in ipairs(options.params or {}) do arguments.tensor("Pruner", "params", t) end
  local scope, structure = options.scope or "layer", options.structure or "element"
  if scope ~= "layer" and scope ~= "global" then tide._fail(("Pruner: scope is 'layer' or 'global', not '%s'"):format(scope)) end
  local n, m = structure:match "^(%d+):(%d+)$"
  if not n and structure ~= "element" and structure ~= "channel" then
    tide._fail(("Pruner: structure is 'element', 'channel' or 'N:M', not '%s'"):format(structure))
  end
  local self = setmetatable({ schedule = schedule, steps = 0, scope = scope, structure = structure, rule = options.mask, n = math.tointeger(tonumber(n)),
    m = math.tointeger(tonumber(m)) }, Pruner)
  self.entries = entries_of(model, options)
  if #self.entries == 0 then tide._fail("Pruner: nothing to prune") end
  for _, e in ipairs(self.entries) do
    -- made here, once: a compiled step writes into them
    e.keep = tide.ones(e.tensor.shape, { dtype = e.tensor.dtype })
    for i, t in ipairs(e.companions or {}) do e.companions[i] = { tensor = t, keep = tide.ones(t.shape, { dtype = t.dtype }) } end
    if options.parametrize then
      if not e.module then tide._fail("Pruner: parametrize needs a model") end
      e.tensor = e.module[e.key]
      require("tide.nn.parametrize").register_parametrization(e.module, e.key, masks.Mask(e.keep))
      e.parametrized = true
    end
  end
  return self
end

-- New masks for all entries that have no mask of their own: entry -> {mask, channels}.
local function wanted(self, sparsity)
  local list, tensors, dims, free = {}, {}, {}, {}
  for _, e in ipairs(self.entries) do
    if not e.fixed then
      free[#free + 1] = e
      tensors[#tensors + 1], dims[#dims + 1] = e.tensor, e.dim
    end
  end
  if #free == 0 then return list end
  local channel, together = self.structure == "channel", nil
  if self.scope == "global" and not self.rule and not self.n then
    together = channel and masks.global_channels(tensors, dims, sparsity) or masks.global_masks(tensors, sparsity)
  end
  for i, e in ipairs(free) do
    local mask, channels
    if self.rule then mask = self.rule(e.tensor:detach(), sparsity, e.name)
    elseif self.n then mask = masks.n_m_mask(e.tensor, math.max(self.n, math.ceil(self.m * (1 - sparsity) - 1e-9)), self.m)
    elseif together and channel then mask, channels = masks.spread(together[i], e.tensor, e.dim), together[i]
    elseif together then mask = together[i]
    elseif channel then mask, channels = masks.channel_mask(e.tensor, sparsity, e.dim)
    else mask = masks.magnitude_mask(e.tensor, sparsity) end
    list[e] = { mask = mask, channels = channels }
  end
  return list
end

--- Sets the masks for a sparsity now.
function Pruner:prune(sparsity)
  self.sparsity = sparsity
  tide.no_grad(function()
    local new_masks = wanted(self, sparsity)
    for _, e in ipairs(self.entries) do
      local new = new_masks[e]
      if new then
        e.keep:copy_(new.mask)
        e.mask = e.keep
        for _, c in ipairs(new.channels and e.companions or {}) do
          c.keep:copy_(new.channels)
          c.mask = c.keep
        end
      end
    end
  end)
  self:apply()
end

--- A mask of one's own for the weight of this name (or tensor), in its shape: the schedule leaves it as it is.
function Pruner:set_mask(which, mask)
  arguments.tensor("set_mask", "mask", mask)
  for _, e in ipairs(self.entries) do
    if e.name == which or rawequal(e.tensor, which) then
      tide.no_grad(function() e.keep:copy_(mask:expand(e.tensor.shape)) end)
      e.mask, e.fixed = e.keep, true
      self:apply()
      return self
    end
  end
  tide._fail(("set_mask: there is no weight '%s'"):format(tostring(which)))
end

--- Zeroes what the masks leave out.
function Pruner:apply()
  tide.no_grad(function()
    for _, e in ipairs(self.entries) do
      if e.mask and not e.parametrized then e.tensor:mul_(e.mask) end
      for _, c in ipairs(e.companions or {}) do
        if c.mask then c.tensor:mul_(c.mask) end
      end
    end
  end)
end

--- Call after each optimizer step (attach does): moves the schedule on and keeps the masks.
function Pruner:step()
  local due, sparsity = self.schedule(self.steps)
  self.steps = self.steps + 1
  if due then self:prune(sparsity) else self:apply() end
end

--- Calls step() after each step of the optimizer. -> the pruner
function Pruner:attach(optimizer)
  if type(optimizer) ~= "table" or not optimizer.after_step then tide._fail("attach: expected an optimizer, got " .. type(optimizer)) end
  optimizer:after_step(function() self:step() end)
  return self
end

--- Forgets the masks; the weights keep their zeros and may grow again if trained on.
function Pruner:strip()
  self:apply()
  for _, e in ipairs(self.entries) do
    if e.parametrized then masks.remove(e.module, e.key) end
    e.mask, e.parametrized, e.companions = nil, nil, nil
  end
  self.schedule = function() return false, 0 end
end

--- {steps, sparsity, masks = {name = tensor}}, to go on later.
function Pruner:state_dict()
  local dict = { steps = self.steps, sparsity = self.sparsity, masks = {} }
  for _, e in ipairs(self.entries) do
    if e.mask then dict.masks[e.name] = e.mask:clone() end
    for i, c in ipairs(e.companions or {}) do
      if c.mask then dict.masks[e.name .. "/" .. i] = c.mask:clone() end
    end
  end
  return dict
end

--- Goes on where state_dict() was called; errors: no state of a pruner, masks of other shapes.
function Pruner:load_state_dict(dict)
  if type(dict) ~= "table" or math.type(dict.steps) ~= "integer" or type(dict.masks) ~= "table" then
    tide._fail "load_state_dict: no state of a pruner"
  end
  self.steps, self.sparsity = dict.steps, dict.sparsity
  local function restore(x, mask)
    if not mask then return end
    tide.no_grad(function() x.keep:copy_(mask) end)
    x.mask = x.keep
  end
  for _, e in ipairs(self.entries) do
    restore(e, dict.masks[e.name])
    for i, c in ipairs(e.companions or {}) do restore(c, dict.masks[e.name .. "/" .. i]) end
  end
  self:apply()
end

--- A sequence of {name, total, zeros, sparsity}, with a last entry "total". Of a model or of a pruner's weights.
function M.sparsity(x)
  local report, total, zeros = {}, 0, 0
  local function add(name, t)
    local n, z = t:numel(), math.tointeger(t:detach():eq(0):sum():item())
    report[#report + 1] = { name = name, total = n, zeros = z, sparsity = n > 0 and z / n or 0.0 }
    total, zeros = total + n, zeros + z
  end
  if arguments.is_module(x) then
    each_weight(x, add)
  else
    if getmetatable(x) ~= Pruner then tide._fail("[sparsity] expected a model or a pruner, got " .. type(x)) end
    for _, e in ipairs(x.entries) do add(e.name, e.parametrized and e.tensor * e.keep or e.tensor) end
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
