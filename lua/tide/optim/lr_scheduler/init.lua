--- Learning rate schedules: the curves of torch.optim.lr_scheduler. A schedule sets the rate of every group when it is
-- made and at each step(), call it once an epoch (or once a batch) after the optimizer's:
--   local schedule = tide.optim.lr_scheduler.CosineAnnealingLR(opt, 100, {eta_min = 1e-5})
-- Arguments come in PyTorch's order, or by name in a table. Methods: step(), get_last_lr(), state_dict(),
-- load_state_dict(d). A rate that changes makes no new plan in a compiled step.
local M = {}
for _, part in ipairs { "steps", "waves", "plateau", "several" } do
  for name, schedule in pairs(require("tide.optim.lr_scheduler." .. part)) do M[name] = schedule end
end
return M
