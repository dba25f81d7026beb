-- A small training run with everything that a checkpoint must bring back: dropout, batch statistics, momentum, a schedule,
-- and a shuffled order of its own.    tide train.lua FOLDER LAST [EVERY]
-- Goes on where the folder's newest checkpoint ends; writes "STEP LOSS" (exact) for each step, and "saved STEP" after each
-- save that was acknowledged, "failed STEP CODE MESSAGE" after others, each at once; "stopped STEP" after SIGTERM.
local tide = require "tide"
local nn, optim = tide.nn, tide.optim
local folder, last, every = arg[1], tonumber(arg[2]), tonumber(arg[3])
local ROWS, BATCH = 96, 16
io.stdout:setvbuf("no")

tide.manual_seed(7)
local x = tide.randn { ROWS, 6 }
local y = (x:sum(2, { keepdim = true }) * 0.3):sin()
local model = nn.Sequential { nn.Linear(6, 16), nn.LayerNorm(16), nn.ReLU(), nn.Dropout(0.2), nn.Linear(16, 1) }
local opt = optim.AdamW(model:parameters(), { lr = 1e-2 })
local schedule = optim.lr_scheduler.CosineAnnealingLR(opt, 150)
local order = { pass = 0, at = ROWS }
function order:next()
  if self.at + BATCH > ROWS then self.pass, self.at = self.pass + 1, 0 end
  local places = tide._permutation(ROWS, self.pass):narrow(1, self.at + 1, BATCH)
  self.at = self.at + BATCH
  return x:index_select(1, places), y:index_select(1, places)
end
function order:state_dict() return { pass = self.pass, at = self.at } end
function order:load_state_dict(d) self.pass, self.at = d.pass, d.at end

local train = tide.compile(function(xb, yb)
  local loss = ((model(xb) - yb) ^ 2):mean()
  opt:zero_grad()
  loss:backward()
  opt:step()
  return loss
end)

local ck = tide.checkpoint(folder, { model = model, optimizer = opt, schedule = schedule, order = order }, { every = every })
local first = assert(ck:load())
print("resumed " .. first)
for i = first + 1, last do
  local loss = train(order:next()):item()
  schedule:step()
  print(("%d %a"):format(i, loss))
  local saved, message, code = ck:step(i, { loss = loss })
  if saved == nil then print(("failed %d %s %s"):format(i, code, message)) end
  if type(saved) == "string" then print("saved " .. i) end
  if saved == "stop" then
    print("stopped " .. i)
    break
  end
end
