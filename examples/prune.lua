-- How much of a network can go? Accuracy on unseen digits against sparsity, 0 to 95 %.
--   tide prune.lua [--seed N] [--epochs N] [--svg FILE: a picture of it]
-- A trained network is pruned in four ways, each time from the same weights: the smallest weights of each layer, of all layers
-- together, neighbours 2:4, and whole neurons, after which the layers really are smaller.
local tide = require "tide"
local nn, optim, data, prune, metrics = tide.nn, tide.optim, tide.data, tide.prune, tide.metrics
local F = nn.functional

local clock = os.clock()
local seed, epochs, picture = 1, 20, nil
for i = 1, #arg do
  if arg[i] == "--seed" then seed = assert(math.tointeger(tonumber(arg[i + 1])), "--seed takes an integer") end
  if arg[i] == "--epochs" then epochs = assert(math.tointeger(tonumber(arg[i + 1])), "--epochs takes an integer") end
  if arg[i] == "--svg" then picture = assert(arg[i + 1], "--svg takes a file") end
end
tide.manual_seed(seed)
local here = arg[0]:match("^(.*)/") or "."

local digits = assert(data.csv(here .. "/data/digits.csv")):dropna()
local train, test = digits:split(0.8, { seed = seed, stratify = "label" })
local function xy(t)
  return t:drop("label"):tensor(), t:column("label"):tensor({ dtype = "int64" })
end
local x, y = xy(train)
local x_test, y_test = xy(test)
local scaler = data.StandardScaler():fit(x)
x, x_test = scaler:transform(x), scaler:transform(x_test)

local batch = 32
local function fit(model, options)
  local opt = optim.Adam(model:parameters(), { lr = options.lr })
  local schedule = optim.lr_scheduler.CosineAnnealingLR(opt, options.epochs)
  if options.pruner then options.pruner:attach(opt) end
  local step = tide.compile(function(xb, yb)
    local loss = F.cross_entropy(model(xb), yb)
    opt:zero_grad()
    loss:backward()
    opt:step()
    return loss
  end)
  local loader = data.DataLoader({ x, y }, { batch_size = batch, shuffle = true, seed = seed })
  for _ = 1, options.epochs do
    for xb, yb in loader do step(xb, yb) end
    schedule:step()
  end
end
local function accuracy(model) return tide.no_grad(function() return metrics.accuracy(model(x_test), y_test) end) end
local function size(model)
  local n = 0
  for _, p in ipairs(model:parameters()) do n = n + p:numel() end
  return n
end

local dense = nn.Sequential { nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 10) }
fit(dense, { lr = 2e-3, epochs = epochs })
local start = accuracy(dense)
print(("trained: accuracy %.4f, %d parameters"):format(start, size(dense)))

-- A copy of the trained network, pruned step by step over the first half of its fine-tuning.
local function pruned(sparsity, options)
  if sparsity == 0 then return start, dense end
  local model, steps = dense:clone(), math.ceil(#train / batch) * epochs // 4
  local schedule = options.structure == "2:4" and prune.OneShot { target_sparsity = sparsity }
    or prune.PolynomialDecay { final_sparsity = sparsity, begin_step = 0, end_step = steps, frequency = math.max(1, steps // 10) }
  local pruner = prune.Pruner(model, schedule, options)
  fit(model, { lr = 1e-3, epochs = math.max(1, epochs // 2), pruner = pruner })
  pruner:strip()
  return accuracy(model), model
end

local levels = { 0, 0.25, 0.5, 0.7, 0.8, 0.9, 0.95 }
local results = { each = {}, together = {}, neurons = {} }
print "\nsparsity   each layer   all layers   neurons   parameters without them"
for i, s in ipairs(levels) do
  local small
  results.each[i] = pruned(s, {})
  results.together[i] = pruned(s, { scope = "global" })
  results.neurons[i], small = pruned(s, { structure = "channel" })
  if s > 0 then
    prune.shrink(small:eval())
    assert(accuracy(small) == results.neurons[i], "the smaller network predicts otherwise")
  end
  print(("%7.0f%%   %10.4f   %10.4f   %7.4f   %10d"):format(100 * s, results.each[i], results.together[i], results.neurons[i], size(small)))
end
local two_four = pruned(0.5, { structure = "2:4" })
print(("2:4 (50%%)  %10.4f"):format(two_four))

if picture then
  local percent = {}
  for i, s in ipairs(levels) do percent[i] = 100 * s end
  local figure = tide.plot.line { { x = percent, y = results.each, label = "each layer" }, { x = percent, y = results.together, label = "all layers" },
    { x = percent, y = results.neurons, label = "neurons" }, title = "accuracy against sparsity", xlabel = "sparsity, %", ylabel = "accuracy" }
  print(figure)
  assert(figure:save(picture))
end

print(("RESULT prune accuracy=%.4f each90=%.4f all90=%.4f neurons90=%.4f two_four=%.4f seconds=%.1f"):format(start, results.each[6], results.together[6],
  results.neurons[6], two_four, os.clock() - clock))
