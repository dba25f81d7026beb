-- A small training run with everything that a checkpoint must bring back: dropout, batch statistics, momentum, a schedule,
-- and a shuffled loader.    tide train.lua FOLDER LAST [EVERY]
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
local loader = tide.data.DataLoader({ x, y }, { batch_size = BATCH, shuffle = true, seed = 3 })

local train = tide.compile(function(xb, yb)
  local loss = ((model(xb) - yb) ^ 2):mean()
  opt:zero_grad()
  loss:backward()
  opt:step()
  return loss
end)

local ck = tide.checkpoint(folder, { model = model, optimizer = opt, schedule = schedule, loader = loader }, { every = every })
local first = assert(ck:load())
print("resumed " .. first)
local i = first
while i < last do
  for xb, yb in loader do
    i = i + 1
    local loss = train(xb, yb):item()
    schedule:step()
    print(("%d %a"):format(i, loss))
    local saved, message, code = ck:step(i, { loss = loss })
    if saved == nil then print(("failed %d %s %s"):format(i, code, message)) end
    if type(saved) == "string" then print("saved " .. i) end
    if saved == "stop" then print("stopped " .. i) end
    if saved == "stop" or i == last then os.exit(true, true) end
  end
end
