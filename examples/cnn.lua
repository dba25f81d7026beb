-- A convolutional network on the handwritten digits.    tide cnn.lua [--seed N]
local tide = require "tide"
local nn, optim, data = tide.nn, tide.optim, tide.data
local F = nn.functional

local clock = os.clock()
local seed, epochs = 1, 25
for i = 1, #arg do
  if arg[i] == "--seed" then seed = assert(math.tointeger(tonumber(arg[i + 1])), "--seed takes an integer") end
  if arg[i] == "--epochs" then epochs = assert(math.tointeger(tonumber(arg[i + 1])), "--epochs takes an integer") end
end
tide.manual_seed(seed)
local here = arg[0]:match("^(.*)/") or "."

local digits = assert(data.csv(here .. "/data/digits.csv")):dropna()
local train, test = digits:split(0.8, { seed = seed, stratify = "label" })
local function xy(t)
  return (t:drop("label"):tensor() / 16.0):reshape({ -1, 1, 8, 8 }), t:column("label"):tensor({ dtype = "int64" })
end
local x, y = xy(train)
local x_test, y_test = xy(test)

local model = nn.Sequential {
  nn.Conv2d(1, 16, 3, { padding = 1, bias = false }), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2),
  nn.Conv2d(16, 32, 3, { padding = 1, bias = false }), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2),
  nn.Flatten(), nn.Dropout(0.25), nn.Linear(128, 10),
}
print(model)

local opt = optim.AdamW(model:parameters(), { lr = 5e-3 })
local schedule = optim.lr_scheduler.CosineAnnealingLR(opt, epochs)
local step = tide.compile(function(xb, yb)
  local loss = F.cross_entropy(model(xb), yb)
  opt:zero_grad()
  loss:backward()
  opt:step()
  return loss
end)

local loader = data.DataLoader({ x, y }, { batch_size = 64, shuffle = true, seed = seed })
for epoch = 1, epochs do
  local loss
  for xb, yb in tide.progress(loader, { label = ("epoch %2d"):format(epoch) }) do loss = step(xb, yb) end
  schedule:step()
  if epoch % 5 == 0 then print(("epoch %d: loss %.4f"):format(epoch, loss:item())) end
end

model:eval()
local accuracy = tide.no_grad(function() return model(x_test):argmax(2):eq(y_test):to("float32"):mean():item() end)
print(("RESULT cnn accuracy=%.4f seconds=%.1f"):format(accuracy, os.clock() - clock))
