-- From a CSV file to a trained, pruned and saved classifier of handwritten digits.    tide digits.lua [--seed N]
local tide = require "tide"
local nn, optim, data, prune = tide.nn, tide.optim, tide.data, tide.prune
local F = nn.functional

local clock = os.clock()
local seed, epochs = 1, 30
for i = 1, #arg do
  if arg[i] == "--seed" then seed = assert(math.tointeger(tonumber(arg[i + 1])), "--seed takes an integer") end
  if arg[i] == "--epochs" then epochs = assert(math.tointeger(tonumber(arg[i + 1])), "--epochs takes an integer") end
end
tide.manual_seed(seed)
local here = arg[0]:match("^(.*)/") or "."

-- Read, clean, split, scale.
local whole = assert(data.csv(here .. "/data/digits.csv"))
local digits = whole:dropna()
print(("read %d rows, %d complete"):format(#whole, #digits))
local train, test = digits:split(0.8, { seed = seed, stratify = "label" })
local function xy(t)
  return t:drop("label"):tensor(), t:column("label"):tensor({ dtype = "int64" })
end
local x, y = xy(train)
local x_test, y_test = xy(test)
local scaler = data.StandardScaler():fit(x)
x, x_test = scaler:transform(x), scaler:transform(x_test)

local function network()
  return nn.Sequential { nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10) }
end

local function evaluate(model)
  return tide.no_grad(function()
    local guess = model(x_test):argmax(2)
    return guess:eq(y_test):to("float32"):mean():item(), guess
  end)
end

-- Trains for some epochs; everything in `step` is compiled into one plan.
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
  local loader = data.DataLoader({ x, y }, { batch_size = 32, shuffle = true, seed = seed })
  local loss
  for _ = 1, options.epochs do
    for xb, yb in tide.progress(loader, { label = options.label }) do loss = step(xb, yb) end
    schedule:step()
  end
  return loss:item()
end

local model = network()
print(model)
local loss = fit(model, { lr = 2e-3, epochs = epochs, label = "train" })
local accuracy, guess = evaluate(model)
print(("loss %.4f, accuracy %.4f on %d unseen digits"):format(loss, accuracy, #test))

-- Which digit was taken for which: rows are the truth.
local confusion = tide.zeros({ 100 }, { dtype = "int64" })
confusion:scatter_add_(1, y_test * 10 + guess, tide.ones_like(y_test))
print("confusion matrix")
print(confusion:reshape({ 10, 10 }))

-- Save, then prune copies of the trained network further and further, fine-tuning as the masks grow.
local file = os.tmpname()
assert(tide.save(file, model:state_dict()))

local function pruned(sparsity)
  local net = network()
  net:load_state_dict(assert(tide.load(file)))
  local batches = math.ceil(#train / 32)
  local pruner = prune.Pruner(net, prune.PolynomialDecay { final_sparsity = sparsity, begin_step = 0, end_step = batches * 10, frequency = 20 })
  fit(net, { lr = 1e-3, epochs = 15, label = "prune", pruner = pruner })
  pruner:strip()
  print(prune.report(net))
  return (evaluate(net)), net
end
local pruned50 = pruned(0.5)
local pruned80, small = pruned(0.8)

-- Save the small network, load it into a fresh one, predict.
assert(tide.save(file, small:state_dict()))
local fresh = network():eval()
fresh:load_state_dict(assert(tide.load(file)))
os.remove(file)
local again = evaluate(fresh)
assert(again == pruned80, "the reloaded network predicts otherwise")
print("first digits", table.concat(fresh(x_test[{ { 1, 8 } }]):argmax(2):tolist(), " "), "really",
  table.concat(y_test[{ { 1, 8 } }]:tolist(), " "))

print(("RESULT digits accuracy=%.4f pruned50=%.4f pruned80=%.4f seconds=%.1f"):format(accuracy, pruned50, pruned80,
  os.clock() - clock))
