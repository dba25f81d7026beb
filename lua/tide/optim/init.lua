--- Optimizers: the work is one C operation a step over all parameters (core/optim); these files give them a Lua face.
--   local opt = tide.optim.Adam(model:parameters(), {lr = 1e-3})
-- Methods: step([closure]), zero_grad([set_to_none]), state_dict(), load_state_dict(d), add_param_group{params = ...,
-- lr = ...}, after_step(fn). opt.param_groups[i].lr and other options may be changed between steps (schedules do).
-- Options and defaults are PyTorch's: tide.help "optim.AdamW" lists them, core/optim/table.c holds them.
local tide = require "tide.core"
local base = require "tide.optim.optimizer"

local M = {
  Optimizer = base.Optimizer,
  LBFGS = require "tide.optim.lbfgs",
  EMA = require "tide.optim.ema",
  lr_scheduler = require "tide.optim.lr_scheduler",
}
for _, row in ipairs(tide._optimizers()) do M[row.name] = base.class(row) end
return M
