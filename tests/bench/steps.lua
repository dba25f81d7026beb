-- Small steps, where overhead is all: one line a row. PyTorch's side of the rows is not written yet.
local tide = require "tide"
local nn, F = tide.nn, tide.nn.functional

local function measure(name, count, fn)
  for _ = 1, count // 4 do fn() end
  local best = math.huge
  for _ = 1, 7 do
    local start = os.clock()
    for _ = 1, count do fn() end
    best = math.min(best, (os.clock() - start) / count)
  end
  print(("BENCH %s threads=1 tide=%.2fus"):format(name, best * 1e6))
end

tide.manual_seed(1)
local a, b = tide.randn(16), tide.randn(16)
tide.no_grad(function() measure("add16", 100000, function() return a + b end) end)
local w = tide.randn(16):requires_grad_(true)
measure("chain", 10000, function()
  local y = ((w * b + b):tanh() * b):sum()
  y:backward()
  w.grad = nil
end)

local model = nn.Sequential { nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10) }
local x, y = tide.randn(32, 64), tide.arange(32) % 10
local opt = tide.optim.Adam(model:parameters(), { lr = 1e-3 })
local function step(xb, yb)
  local loss = F.cross_entropy(model(xb), yb)
  opt:zero_grad()
  loss:backward()
  opt:step()
  return loss
end
measure("mlp_eager", 1000, function() return step(x, y) end)
local compiled = tide.compile(step)
measure("mlp_compiled", 1000, function() return compiled(x, y) end)
