--- Code for the help: { what works, what gives an error }; unrun: it needs files or other things of the reader's. Operations that are not here get an example by trying.
local F = "tide.nn.functional."
local M = {
  -- operations whose arguments must fit together
  full = { "tide.full({2, 3}, 7)" },
  empty = { "tide.empty(2, 3).shape[2]", "tide.empty(-1)" },
  empty_like = { "tide.empty_like(tide.ones(2, 3)).shape[2]", "tide.empty_like(3)" },
  arange = { "tide.arange(1, 10, 3)", "tide.arange(1, 10, 0)" },
  where = { "tide.where(tide.tensor{true, false}, tide.tensor{1, 2}, 0)" },
  masked_fill = { "tide.masked_fill(tide.tensor{1, 2}, tide.tensor{true, false}, 9)" },
  clamp = { "tide.clamp(tide.tensor{-1, 0.5, 3}, 0, 1)", "tide.clamp(tide.ones(2))" },
  add = { "tide.add(tide.tensor{1, 2}, tide.tensor{{10}, {20}}, {alpha = 2})", "tide.ones(2, 3) + tide.ones(4)" },
  div = { "tide.div(tide.tensor{7, -7}, 2, {rounding_mode = 'floor'})", "tide.ones(2, 3) / tide.ones(4)" },
  sum = { "tide.sum(tide.tensor{{1, 2}, {3, 4}}, 1, {keepdim = true})", "tide.sum(tide.ones(2, 3), 3)" },
  mean = { "tide.tensor{{1, 2}, {3, 4}}:mean(2)", "tide.tensor({1, 2}, {dtype = 'int64'}):mean()" },
  reshape = { "tide.arange(6):reshape(2, -1)", "tide.arange(6):reshape(4, -1)" },
  view = { "tide.arange(6):view(2, 3)", "tide.arange(6):view(4, 2)" },
  permute = { "tide.zeros(2, 3, 4):permute(3, 1, 2).shape[1]", "tide.zeros(2, 3):permute(1, 1)" },
  transpose = { "tide.tensor{{1, 2}, {3, 4}}:transpose(1, 2)", "tide.ones(2, 3):transpose(1, 3)" },
  expand = { "tide.tensor{{1}, {2}}:expand(2, 3)", "tide.ones(2, 3):expand(4, 3)" },
  narrow = { "tide.arange(6):narrow(1, 2, 3)", "tide.arange(6):narrow(1, 5, 3)" },
  select = { "tide.tensor{{1, 2}, {3, 4}}:select(1, 2)", "tide.ones(2, 3):select(1, 3)" },
  index_select = { "tide.tensor{10, 20, 30}:index_select(1, tide.tensor({2, 0}, {dtype = 'int64'}))", "tide.ones(3):index_select(1, tide.tensor({3}, {dtype = 'int64'}))" },
  gather = { "tide.tensor{{1, 2}, {3, 4}}:gather(2, tide.tensor({{1}, {0}}, {dtype = 'int64'}))", "tide.ones(2, 2):gather(2, tide.tensor({{2}}, {dtype = 'int64'}))" },
  cat = { "tide.cat({tide.ones(2), tide.zeros(1)}, 1)", "tide.cat({tide.ones(2, 2), tide.zeros(2, 3)}, 1)" },
  stack = { "tide.stack({tide.ones(2), tide.zeros(2)}, 1)", "tide.stack{tide.ones(2), tide.zeros(3)}" },
  index = { "tide.index(tide.tensor{{1, 2}, {3, 4}}, {tide.tensor({1, 0}, {dtype = 'int64'})})", "tide.index(tide.ones(2), {tide.tensor({2}, {dtype = 'int64'})})" },
  scatter = { "tide.zeros(3):scatter(1, tide.tensor({2, 0}, {dtype = 'int64'}), tide.tensor{5, 6})", "tide.zeros(3):scatter(1, tide.tensor({3}, {dtype = 'int64'}), 5)" },
  scatter_add = { "tide.zeros(3):scatter_add(1, tide.tensor({2, 2}, {dtype = 'int64'}), tide.tensor{5, 6})",
    "tide.zeros(3):scatter_add(1, tide.tensor({3}, {dtype = 'int64'}), tide.ones(1))" },
  index_add = { "tide.zeros(3):index_add(1, tide.tensor({2, 2}, {dtype = 'int64'}), tide.tensor{5, 6})",
    "tide.zeros(3):index_add(1, tide.tensor({3}, {dtype = 'int64'}), tide.ones(1))" },
  index_put = { "(function() local x = tide.zeros(3) x[tide.tensor({2, 0}, {dtype = 'int64'})] = tide.tensor{5, 6} return x end)()" },
  matmul = { "tide.matmul(tide.ones(2, 3), tide.ones(3, 4))", "tide.matmul(tide.ones(2, 3), tide.ones(2, 3))" },
  mm = { "tide.mm(tide.ones(2, 3), tide.ones(3, 4))", "tide.mm(tide.ones(2, 3), tide.ones(2, 3))" },
  bmm = { "tide.bmm(tide.ones(5, 2, 3), tide.ones(5, 3, 4)):size(3)", "tide.bmm(tide.ones(5, 2, 3), tide.ones(4, 3, 4))" },
  topk = { "tide.topk(tide.tensor{3, 1, 2}, 2)", "tide.topk(tide.tensor{3, 1, 2}, 4)" },
  softmax = { "tide.softmax(tide.tensor{{1, 2}, {3, 3}}, 2)", "tide.softmax(tide.ones(2, 3), 3)" },
  [F:sub(6) .. "linear"] = { F .. "linear(tide.ones(2, 3), tide.ones(4, 3))", F .. "linear(tide.ones(2, 3), tide.ones(3, 4))" },
  [F:sub(6) .. "conv2d"] = { F .. "conv2d(tide.ones(1, 1, 3, 3), tide.ones(1, 1, 2, 2))", F .. "conv2d(tide.ones(1, 2, 3, 3), tide.ones(1, 1, 2, 2))" },
  [F:sub(6) .. "conv1d"] = { F .. "conv1d(tide.ones(1, 1, 4), tide.ones(1, 1, 2))", F .. "conv1d(tide.ones(1, 2, 4), tide.ones(1, 1, 2))" },
  [F:sub(6) .. "max_pool2d"] = { F .. "max_pool2d(tide.arange(16):reshape(1, 4, 4):float(), 2)", F .. "max_pool2d(tide.ones(1, 2, 2), 3)" },
  [F:sub(6) .. "cross_entropy"] = { F .. "cross_entropy(tide.tensor{{2, 0}, {0, 2}}, tide.tensor({0, 1}, {dtype = 'int64'}))",
    F .. "cross_entropy(tide.ones(2, 3), tide.tensor({1, 2, 3}, {dtype = 'int64'}))" },
  [F:sub(6) .. "conv_transpose2d"] = { F .. "conv_transpose2d(tide.ones(1, 1, 2, 2), tide.ones(1, 1, 2, 2))",
    F .. "conv_transpose2d(tide.ones(1, 2, 3, 3), tide.ones(1, 1, 2, 2))" },
  [F:sub(6) .. "conv_transpose1d"] = { F .. "conv_transpose1d(tide.ones(1, 1, 3), tide.ones(1, 1, 2))", F .. "conv_transpose1d(tide.ones(1, 2, 4), tide.ones(1, 1, 2))" },
  [F:sub(6) .. "avg_pool2d"] = { F .. "avg_pool2d(tide.arange(16):reshape(1, 4, 4):float(), 2)", F .. "avg_pool2d(tide.ones(1, 2, 2), 3)" },
  [F:sub(6) .. "adaptive_avg_pool2d"] = { F .. "adaptive_avg_pool2d(tide.arange(16):reshape(1, 4, 4):float(), 2)", F .. "adaptive_avg_pool2d(tide.ones(4), 2)" },
  [F:sub(6) .. "nll_loss"] = { F .. "nll_loss(tide.tensor{{-0.1, -2.3}, {-1, -0.5}}, tide.tensor({0, 1}, {dtype = 'int64'}))",
    F .. "nll_loss(tide.ones(2, 3), tide.tensor({0, 3}, {dtype = 'int64'}))" },
  [F:sub(6) .. "batch_norm"] = { F .. "batch_norm(tide.tensor{{1, 2}, {3, 6}}, nil, nil, nil, nil, {training = true})", F .. "batch_norm(tide.ones(2, 3))" },
  [F:sub(6) .. "mse_loss"] = { F .. "mse_loss(tide.tensor{1, 2}, tide.tensor{1, 4})", F .. "mse_loss(tide.ones(2), tide.ones(3))" },
  [F:sub(6) .. "embedding"] = { F .. "embedding(tide.tensor({1, 0}, {dtype = 'int64'}), tide.tensor{{1, 1}, {2, 2}})",
    F .. "embedding(tide.tensor({2}, {dtype = 'int64'}), tide.ones(2, 2))" },
  -- written in C, or several operations under one name
  max = { "tide.max(tide.tensor{{1, 4}, {3, 2}}, 2)", "tide.max(tide.ones(2, 3), 3)" },
  min = { "tide.min(tide.tensor{3, 1}, tide.tensor{2, 2})", "tide.min(tide.ones(2, 3), tide.ones(4))" },
  to = { "tide.tensor{1.7, -1.7}:to('int64')", "tide.ones(2):to('int7')" },
  equal = { "tide.equal(tide.ones(2), tide.ones(2)), tide.equal(tide.ones(2), tide.ones(3))", "tide.equal(tide.ones(2), 1)" },
  allclose = { "tide.allclose(tide.ones(2), tide.ones(2) + 1e-3, {atol = 0.01})", "tide.allclose(tide.ones(2), tide.ones(3))" },
  flatten = { "tide.ones(2, 3, 4):flatten(2).shape[2]" },
  nonzero = { "tide.tensor{0, 3, 0, 4}:nonzero()" },
  tensor = { "tide.tensor{{1, 2}, {3, 4}}", "tide.tensor{{1, 2}, {3}}" },
  isclose = { "tide.isclose(tide.tensor{1, 2}, tide.tensor{1.001, 2.1}, {rtol = 0.01})", "tide.isclose(tide.ones(2), tide.ones(2), {rtol = -1})" },
  item = { "tide.tensor{42}:item()", "tide.ones(3):item()" },
  tolist = { "tide.tensor{5, 6}:tolist()[2]", "tide.tolist(1)" },
  grad = { "(function() local x = tide.tensor({2, 3}, {requires_grad = true}) return tide.grad((x * x):sum(), x)[1] end)()" },
  backward = { "(function() local x = tide.tensor({2, 3}, {requires_grad = true}); (x * x):sum():backward() return x.grad end)()", "tide.ones(2):backward()" },
  no_grad = { "tide.no_grad(function() return tide.is_grad_enabled() end)" },
  load = { unrun = true, "model:load_state_dict(assert(tide.load('model.safetensors')))", "tide.load(1)" },
  is_tensor = { "tide.is_tensor(3)" },
  ["x:size"] = { "tide.ones(2, 3):size(2)", "tide.ones(2, 3):size(3)" },
  ["plot.line"] = { "tide.plot.line{1, 4, 9, 16, width = 30, height = 4}:text{colour = false}", "tide.plot.line{}" },
  ["plot.histogram"] = { "tide.plot.histogram{1, 2, 2, 4, bins = 3, width = 30}:text{colour = false}", "tide.plot.histogram{1, bins = 0}" },
  ["plot.heatmap"] = { "tide.plot.heatmap{{{1, 2}, {3, 4}}, width = 30}:text{colour = false}", "tide.plot.heatmap{tide.ones(3)}" },
  ["image.load"] = { unrun = true, "tide.image.load('picture.png', {channels = 3})", "tide.image.load('x.png', {channels = 5})" },
  ["image.resize"] = { "tide.image.resize(tide.tensor{{0, 4}, {8, 12}}, {3, 2})", "tide.image.resize(tide.ones(3), 2)" },
  -- layers and optimizers
  ["nn.Linear"] = { "tide.nn.Linear(3, 2)", "tide.nn.Linear(3, 2)(tide.ones(4, 5))" },
  ["nn.Conv2d"] = { "tide.nn.Conv2d(3, 8, 3)(tide.ones(1, 3, 5, 5)):size(2)", "tide.nn.Conv2d(3, 8, 3)(tide.ones(1, 1, 5, 5))" },
  ["nn.Sequential"] = { "tide.nn.Sequential(tide.nn.Linear(3, 2), tide.nn.ReLU())", "tide.nn.Sequential(tide.nn.Linear(3, 2))(tide.ones(4, 5))" },
  ["nn.Embedding"] = { "tide.nn.Embedding(10, 4)", "tide.nn.Embedding(2, 4)(tide.tensor({3}, {dtype = 'int64'}))" },
  ["nn.LayerNorm"] = { "tide.nn.LayerNorm(3)(tide.tensor{1, 2, 3})", "tide.nn.LayerNorm(3)(tide.ones(2, 4))" },
  ["nn.Dropout"] = { "tide.nn.Dropout(0.5):eval()(tide.ones(3))" },
}

-- optimizers: options that work, options that do not
local function optimizer(name, good, bad)
  local call = "tide.optim." .. name .. "(tide.nn.Linear(3, 2):parameters(), {%s})"
  M["optim." .. name] = { call:format(good), call:format(bad) }
end
optimizer("SGD", "lr = 0.1", "learning_rate = 0.1")
optimizer("Adam", "betas = {0.9, 0.95}", "betas = {0.9, 1}")
optimizer("AdamW", "weight_decay = 0.1", "weight_decay = -1")
optimizer("NAdam", "momentum_decay = 0.01", "momentum = 0.9")
optimizer("RAdam", "lr = 0.01", "lr = -1")
optimizer("Adamax", "lr = 0.01", "betas = 0.9")
optimizer("Adagrad", "lr_decay = 0.01", "rho = 1")
optimizer("Adadelta", "rho = 0.95", "rho = 2")
optimizer("RMSprop", "momentum = 0.9, centered = true", "alpha = -1")
optimizer("ASGD", "t0 = 100", "t0 = -1")
optimizer("Rprop", "etas = {0.5, 1.1}", "etas = {1.1, 0.5}")
optimizer("Lion", "weight_decay = 0.1", "eps = 1")
optimizer("LBFGS", "line_search_fn = 'strong_wolfe'", "max_iter = 0")
M["optim.EMA"] = { "tide.optim.EMA(tide.nn.Linear(3, 2), {decay = 0.99}).decay", "tide.optim.EMA(tide.nn.Linear(3, 2), {decay = 2})" }

-- schedules: the rate after three steps from 0.1
local function schedule(name, arguments)
  local call = ("tide.optim.lr_scheduler.%s(opt, %s)"):format(name, arguments)
  M["optim.lr_scheduler." .. name] = { ("(function() local opt = tide.optim.SGD({tide.zeros(1):requires_grad_()}, {lr = 0.1, momentum = 0.9}) "
    .. "local s = %s s:step() s:step() s:step() return s:get_last_lr()[1] end)()"):format(call), ("tide.optim.lr_scheduler.%s(3)"):format(name) }
end
schedule("StepLR", "2, 0.5")
schedule("MultiStepLR", "{1, 3}, 0.5")
schedule("ConstantLR", "0.5, 2")
schedule("LinearLR", "0.1, 1, 5")
schedule("ExponentialLR", "0.5")
schedule("PolynomialLR", "4")
schedule("LambdaLR", "function(t) return 1 / (1 + t) end")
schedule("MultiplicativeLR", "function() return 0.5 end")
schedule("CosineAnnealingLR", "6")
schedule("CosineAnnealingWarmRestarts", "4")
schedule("CyclicLR", "0.01, 0.1, 6")
schedule("OneCycleLR", "0.1, 10")
require "tide.help.examples_layers"(M)
require "tide.help.examples_data"(M)
return M
