-- Every optimizer with its options, and a small training that uses them all alike.
local tide = require "tide"
local samples = require "samples"
local M = {}

-- kind, options: each optimizer as it comes, and with everything it can do
M.variants = {
  { "SGD", { lr = 0.1 } }, { "SGD", { lr = 0.1, momentum = 0.9, dampening = 0.2, weight_decay = 0.01 } },
  { "SGD", { lr = 0.1, momentum = 0.9, nesterov = true, maximize = true } },
  { "Adam", { lr = 0.01 } }, { "Adam", { lr = 0.01, amsgrad = true, weight_decay = 0.1, maximize = true } },
  { "Adam", { lr = 0.01, weight_decay = 0.1, decoupled_weight_decay = true } }, { "AdamW", { lr = 0.01 } }, { "AdamW", { lr = 0.01, amsgrad = true } },
  { "NAdam", { lr = 0.01 } }, { "NAdam", { lr = 0.01, weight_decay = 0.1, decoupled_weight_decay = true, maximize = true } },
  { "RAdam", { lr = 0.1 } }, { "RAdam", { lr = 0.1, betas = { 0.5, 0.6 }, weight_decay = 0.1, maximize = true } },
  { "Adamax", { lr = 0.01 } }, { "Adamax", { lr = 0.01, weight_decay = 0.1, maximize = true } },
  { "Adagrad", { lr = 0.1 } }, { "Adagrad", { lr = 0.1, lr_decay = 0.1, initial_accumulator_value = 0.5, weight_decay = 0.1, maximize = true } },
  { "Adadelta", { lr = 1.0 } }, { "Adadelta", { lr = 1.0, weight_decay = 0.1, maximize = true } },
  { "RMSprop", { lr = 0.01 } }, { "RMSprop", { lr = 0.01, momentum = 0.5 } }, { "RMSprop", { lr = 0.01, centered = true, weight_decay = 0.1 } },
  { "RMSprop", { lr = 0.01, momentum = 0.5, centered = true, maximize = true } },
  { "ASGD", { lr = 0.1 } }, { "ASGD", { lr = 0.1, t0 = 2, weight_decay = 0.1, maximize = true } },
  { "Rprop", { lr = 0.01 } }, { "Rprop", { lr = 0.01, etas = { 0.4, 1.4 }, step_sizes = { 1e-3, 0.05 }, maximize = true } },
  { "Lion", { lr = 0.01 } }, { "Lion", { lr = 0.01, weight_decay = 0.1, maximize = true } },
}

-- A number line that needs no random state.
local function wave(shape, phase)
  local n = 1
  for _, s in ipairs(shape) do n = n * s end
  return ((tide.arange(n):to "float32" + phase) * 0.37):sin():reshape(shape)
end

--- {params, opt, step(i), all()}: parameters of two dtypes, one of them 0-d; step(i) has a rate of its own; all() lists
-- parameters and state. large: enough elements for several tiles.
function M.problem(kind, options, large)
  local shapes = { { 5, 3 }, {}, { 7 }, { large and 40000 or 300 } }
  local params = {}
  for i, shape in ipairs(shapes) do
    local p = #shape == 0 and tide.tensor(0.3) or wave(shape, i)
    params[i] = (i == 3 and p:to "float64" or p):requires_grad_()
  end
  local copy = {}
  for k, v in pairs(options) do copy[k] = v end
  local opt = tide.optim[kind](params, copy)
  local function work(shift)
    opt:zero_grad()
    local loss
    for i, p in ipairs(params) do
      local part = ((p - shift):square() * (i * 0.3) + (p * 2):cos()):mean():to "float32"
      loss = loss and loss + part or part
    end
    loss:backward()
    opt:step()
    return loss:detach()
  end
  local lr = options.lr
  local self = { params = params, opt = opt, work = work }
  function self.step(i, fn)
    opt.param_groups[1].lr = lr / (1 + i % 4)
    return (fn or work)(tide.tensor(0.1 * i))
  end
  function self.all()
    local list = {}
    for i, p in ipairs(params) do
      list[#list + 1] = p:detach()
      local state, names = opt:state_dict().state[i], {}
      for name, value in pairs(state) do
        if tide.is_tensor(value) then names[#names + 1] = name end
      end
      table.sort(names)
      for _, name in ipairs(names) do list[#list + 1] = state[name] end
    end
    return list
  end
  function self.hash() return samples.hash(self.all()) end
  return self
end

function M.label(variant)
  local names = {}
  for k in pairs(variant[2]) do
    if k ~= "lr" then names[#names + 1] = k end
  end
  table.sort(names)
  return variant[1] .. (#names > 0 and "(" .. table.concat(names, ",") .. ")" or "")
end

return M
