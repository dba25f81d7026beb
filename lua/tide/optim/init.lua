--- Optimizers: the work is one C operation a step over all parameters (core/optim); these files give them a Lua face.
--   local opt = tide.optim.Adam(model:parameters(), {lr = 1e-3})
-- Methods: step([closure]), zero_grad([set_to_none]), state_dict(), load_state_dict(d), add_param_group{params = ...,
-- lr = ...}, after_step(fn). opt.param_groups[i].lr and other options may be changed between steps (schedules do).
-- Options, with PyTorch's defaults; all have lr, maximize and, but for Rprop and LBFGS, weight_decay:
--   SGD       lr 1e-3, momentum 0, dampening 0, nesterov
--   Adam      lr 1e-3, betas {0.9, 0.999}, eps 1e-8, amsgrad, decoupled_weight_decay
--   AdamW     as Adam; weight_decay 1e-2, decoupled
--   NAdam     lr 2e-3, betas {0.9, 0.999}, eps 1e-8, momentum_decay 4e-3, decoupled_weight_decay
--   RAdam     lr 1e-3, betas {0.9, 0.999}, eps 1e-8, decoupled_weight_decay
--   Adamax    lr 2e-3, betas {0.9, 0.999}, eps 1e-8
--   Adagrad   lr 1e-2, lr_decay 0, initial_accumulator_value 0, eps 1e-10
--   Adadelta  lr 1, rho 0.9, eps 1e-6
--   RMSprop   lr 1e-2, alpha 0.99, eps 1e-8, momentum 0, centered
--   ASGD      lr 1e-2, lambd 1e-4, alpha 0.75, t0 1e6
--   Rprop     lr 1e-2, etas {0.5, 1.2}, step_sizes {1e-6, 50}
--   Lion      lr 1e-4, betas {0.9, 0.99}; weight decay is decoupled
--   LBFGS     see lbfgs.lua; step needs a closure
local tide = require "tide.core"
local base = require "tide.optim.optimizer"

local M = {
  Optimizer = base.Optimizer,
  LBFGS = require "tide.optim.lbfgs",
  EMA = require "tide.optim.ema",
  lr_scheduler = require "tide.optim.lr_scheduler",
}
for _, kind in ipairs(tide._optimizers()) do M[kind] = base.class(kind) end
return M
