-- The recorded training runs of PyTorch (tests/data/oracle-runs; each folder's README describes one), rebuilt and followed:
-- every loss, learning rate and final parameter, in float64, run at once and compiled.
local tide = require "tide"
local json = require "json"
local nn, optim, F, S = tide.nn, tide.optim, tide.nn.functional, tide.optim.lr_scheduler
local root = os.getenv("TIDE_ROOT") .. "/tests/data/oracle-runs/"

local TOLERANCE = 1e-9

local function class(init, forward)
  local Net = nn.Module:extend("Net")
  Net.init, Net.forward = init, forward
  return Net
end

-- Step t reads rows (t B ... t B + B - 1) mod N; B divides N in every run.
local function rows(tensor, t, count)
  return tensor:narrow(1, t * count % tensor.shape[1] + 1, count)
end

-- The usual run: `count` rows of x and y a step, one loss, one optimizer.
local function usual(model, opt, count, loss, extra)
  local run = { model = model, opt = opt }
  function run.inputs(data, t) return rows(data.x, t, count), data.y and rows(data.y, t, count) end
  function run.step(x, y)
    opt:zero_grad()
    local l = loss(x, y)
    l:backward()
    if extra and extra.clip then nn.utils.clip_grad_norm_(model:parameters(), extra.clip) end
    opt:step()
    return l
  end
  if extra and extra.schedule then
    function run.after() extra.schedule:step() end
  end
  return run
end
local function classifying(model, options)
  return function(x, y) return F.cross_entropy(model(x), y, options) end
end

-- ---- the architectures: make() gives model, optimizer, inputs(data, t), step(...), eval(data); needs: what must be there ----

local runs = {}

runs.mlp = { make = function()
  local model = nn.Sequential(nn.Linear(2, 24), nn.ReLU(), nn.Linear(24, 24), nn.ReLU(), nn.Linear(24, 3)):double()
  local run = usual(model, optim.Adam(model:parameters(), { lr = 0.01 }), 16, classifying(model))
  function run.eval(data)
    local z = model(data.x)
    return { loss = F.cross_entropy(z, data.y), accuracy = z:argmax(2):eq(data.y):double():mean() }
  end
  return run
end }

runs["cnn-batchnorm"] = { make = function()
  local Net = class(function(self)
    self.conv1, self.bn1 = nn.Conv2d(1, 6, 3, { padding = 1 }), nn.BatchNorm2d(6)
    self.conv2, self.bn2, self.fc = nn.Conv2d(6, 8, 3, { padding = 1 }), nn.BatchNorm2d(8), nn.Linear(32, 5)
  end, function(self, x)
    x = F.max_pool2d(tide.relu(self.bn1(self.conv1(x))), 2)
    return self.fc(F.max_pool2d(tide.relu(self.bn2(self.conv2(x))), 2):flatten(2))
  end)
  local model = Net():double()
  local run = usual(model, optim.SGD(model:parameters(), { lr = 0.05, momentum = 0.9, weight_decay = 1e-3 }), 16, classifying(model))
  function run.eval(data)
    local z = model:eval()(data.x)
    return { loss = F.cross_entropy(z, data.y), logits_row_0 = z[1] }
  end
  return run
end }

runs.lstm = { make = function()
  local Net = class(function(self) self.rnn, self.head = nn.LSTM(3, 12, 2, { batch_first = true }), nn.Linear(12, 1) end,
    function(self, x) return self.head((self.rnn(x))) end)
  local model = Net():double()
  local run = usual(model, optim.AdamW(model:parameters(), { lr = 0.01, weight_decay = 0.01 }), 8,
    function(x, y) return F.mse_loss(model(x), y) end, { clip = 0.5 })
  function run.eval(data) return { loss = F.mse_loss(model(data.x), data.y) } end
  return run
end }

runs.gru = { needs = function() return optim.RMSprop, "optim.RMSprop" end, make = function()
  local Net = class(function(self) self.embed, self.rnn, self.head = nn.Embedding(20, 8), nn.GRU(8, 14, { batch_first = true }), nn.Linear(14, 4) end,
    function(self, x) return self.head((self.rnn(self.embed(x))):select(2, -1)) end)
  local model = Net():double()
  local opt = optim.RMSprop(model:parameters(), { lr = 0.005, alpha = 0.95, momentum = 0.5 })
  local run = usual(model, opt, 10, classifying(model), { schedule = S.StepLR(opt, 20, { gamma = 0.5 }) })
  function run.eval(data) return { loss = F.cross_entropy(model(data.x), data.y) } end
  return run
end }

-- Rows of tokens: all but the last are inputs, all but the first targets.
local function language(model, opt, count)
  local run = { model = model, opt = opt }
  function run.inputs(data, t)
    local x = rows(data.x, t, count)
    return x:narrow(2, 1, 16), x:narrow(2, 2, 16)
  end
  function run.loss(x, y) return F.cross_entropy(model(x):reshape(-1, 40), y:reshape(-1)) end
  function run.eval(data)
    local z = model(data.x:narrow(1, 1, 1):narrow(2, 1, 16))[1]
    return { greedy_row_0 = z:argmax(2), logits_row_0_last = z[16] }
  end
  return run
end
local function causal(scores)
  local l = scores.shape[scores.ndim]
  return tide.softmax(scores:masked_fill(tide.arange(l):gt(tide.arange(l):unsqueeze(2)), -math.huge), -1)
end
local function heads(x, size) return x:reshape(x.shape[1], x.shape[2], -1, size):transpose(2, 3) end
local function joined(x) return x:transpose(2, 3):reshape(x.shape[1], x.shape[3], -1) end

runs.gpt = { make = function()
  local Block = class(function(self)
    self.ln_1, self.ln_2, self.qkv, self.proj = nn.LayerNorm(16), nn.LayerNorm(16), nn.Linear(16, 48), nn.Linear(16, 16)
    self.mlp = nn.Sequential(nn.Linear(16, 64), nn.GELU { approximate = "tanh" }, nn.Linear(64, 16))
  end, function(self, h)
    local all = self.qkv(self.ln_1(h))
    local q, k, v = heads(all:narrow(3, 1, 16), 8), heads(all:narrow(3, 17, 16), 8), heads(all:narrow(3, 33, 16), 8)
    h = h + self.proj(joined(tide.matmul(causal(tide.matmul(q, k:transpose(-2, -1)) / math.sqrt(8)), v)))
    return h + self.mlp(self.ln_2(h))
  end)
  local Net = class(function(self)
    self.wte, self.wpe, self.blocks, self.ln_f = nn.Embedding(40, 16), nn.Embedding(16, 16), { Block(), Block() }, nn.LayerNorm(16)
  end, function(self, x)
    local h = self.wte(x) + self.wpe(tide.arange(x.shape[2]))
    for _, block in ipairs(self.blocks) do h = block(h) end
    return tide.matmul(self.ln_f(h), self.wte.weight.T)
  end)
  local model = Net():double()
  local wide, narrow = {}, {}
  for _, p in ipairs(model:parameters()) do table.insert(p.ndim == 2 and wide or narrow, p) end
  local opt = optim.AdamW({ { params = wide, weight_decay = 0.1 }, { params = narrow, weight_decay = 0.0 } }, { lr = 0.01, betas = { 0.9, 0.95 } })
  local run = language(model, opt, 8)
  function run.before(t)
    local lr = t < 10 and 0.01 * (t + 1) / 10 or 0.001 + 0.0045 * (1 + math.cos(math.pi * (t - 10) / 40))
    for _, group in ipairs(opt.param_groups) do group.lr = lr end
  end
  function run.step(x, y)
    opt:zero_grad()
    local loss = run.loss(x, y)
    loss:backward()
    nn.utils.clip_grad_norm_(model:parameters(), 1.0)
    opt:step()
    return loss
  end
  return run
end }

runs.llama = { make = function()
  local function plain(a, b) return nn.Linear(a, b, { bias = false }) end
  local function norm() return nn.RMSNorm(16, { eps = 1e-5 }) end
  local function rotated(u)
    local l = u.shape[3]
    local angles = tide.arange(l):double():unsqueeze(2) * tide.tensor({ 1.0, 0.01 }, { dtype = "float64" })
    angles = tide.cat({ angles, angles }, -1)
    return u * angles:cos() + tide.cat({ -u:narrow(-1, 3, 2), u:narrow(-1, 1, 2) }, -1) * angles:sin()
  end
  local Block = class(function(self)
    self.norm1, self.norm2, self.q, self.k, self.v, self.o = norm(), norm(), plain(16, 16), plain(16, 8), plain(16, 8), plain(16, 16)
    self.gate, self.up, self.down = plain(16, 40), plain(16, 40), plain(40, 16)
  end, function(self, h)
    local n = self.norm1(h)
    local q, k, v = heads(self.q(n), 4), heads(self.k(n), 4), heads(self.v(n), 4)
    h = h + self.o(joined(F.scaled_dot_product_attention(rotated(q), rotated(k), v, { is_causal = true, enable_gqa = true })))
    n = self.norm2(h)
    return h + self.down(F.silu(self.gate(n)) * self.up(n))
  end)
  local Net = class(function(self)
    self.embed, self.blocks, self.norm, self.head = nn.Embedding(40, 16), { Block(), Block() }, norm(), plain(16, 40)
  end, function(self, x)
    local h = self.embed(x)
    for _, block in ipairs(self.blocks) do h = block(h) end
    return self.head(self.norm(h))
  end)
  local model = Net():double()
  local opt = optim.AdamW(model:parameters(), { lr = 0.005, betas = { 0.9, 0.95 }, weight_decay = 0.1 })
  local run = language(model, opt, 8)
  function run.step(x, y) -- gradients of two halves are accumulated
    opt:zero_grad()
    local total
    for half = 0, 1 do
      local loss = run.loss(x:narrow(1, half * 4 + 1, 4), y:narrow(1, half * 4 + 1, 4)) / 2
      loss:backward()
      total = total and total + loss:detach() or loss:detach()
    end
    opt:step()
    return total
  end
  return run
end }

runs.resnet = { needs = function() return S.MultiStepLR, "MultiStepLR" end, make = function()
  local function conv(a, b, k, stride) return nn.Conv2d(a, b, k, { stride = stride, padding = k // 2, bias = false }) end
  local Block = class(function(self, a, b, stride)
    self.conv1, self.bn1, self.conv2, self.bn2 = conv(a, b, 3, stride), nn.BatchNorm2d(b), conv(b, b, 3, 1), nn.BatchNorm2d(b)
    self.down = stride > 1 and nn.Sequential(conv(a, b, 1, stride), nn.BatchNorm2d(b)) or nn.Identity()
  end, function(self, x) return tide.relu(self.bn2(self.conv2(tide.relu(self.bn1(self.conv1(x))))) + self.down(x)) end)
  local Net = class(function(self)
    self.stem, self.bn, self.block1, self.block2, self.fc = conv(3, 8, 3, 1), nn.BatchNorm2d(8), Block(8, 8, 1), Block(8, 12, 2), nn.Linear(12, 4)
  end, function(self, x) return self.fc(self.block2(self.block1(tide.relu(self.bn(self.stem(x))))):mean({ 3, 4 })) end)
  local model = Net():double()
  local opt = optim.SGD(model:parameters(), { lr = 0.05, momentum = 0.9, nesterov = true, weight_decay = 5e-4 })
  local run = usual(model, opt, 12, classifying(model, { label_smoothing = 0.1 }), { schedule = S.MultiStepLR(opt, { 30 }, { gamma = 0.1 }) })
  function run.eval(data)
    local z = model:eval()(data.x)
    return { loss_plain = F.cross_entropy(z, data.y), logits_row_0 = z[1] }
  end
  return run
end }

runs.autoencoder = { needs = function() return S.ExponentialLR, "ExponentialLR" end, make = function()
  local Net = class(function(self)
    self.enc = nn.Sequential(nn.Linear(16, 10), nn.Tanh(), nn.Linear(10, 3))
    self.dec = nn.Sequential(nn.Linear(3, 10), nn.Tanh(), nn.Linear(10, 16))
  end, function(self, x) return self.dec(self.enc(x)) end)
  local model = Net():double()
  local opt = optim.Adam(model:parameters(), { lr = 0.01, betas = { 0.9, 0.99 }, amsgrad = true, weight_decay = 1e-4 })
  local run = usual(model, opt, 20, function(x) return F.mse_loss(model(x), x) end, { schedule = S.ExponentialLR(opt, 0.98) })
  function run.eval(data) return { loss = F.mse_loss(model(data.x), data.x), code_row_0 = model.enc(data.x[1]) } end
  return run
end }

runs["logistic-l2"] = { make = function()
  local Net = class(function(self) self.fc = nn.Linear(5, 1) end, function(self, x) return self.fc(x) end)
  local model = Net():double()
  local run = usual(model, optim.SGD(model:parameters(), { lr = 0.5 }), 80, function(x, y)
    return F.binary_cross_entropy_with_logits(model(x), y) + model.fc.weight:square():sum() * 0.005
  end)
  function run.eval(data) return { accuracy = model(data.x):gt(0):double():eq(data.y):double():mean() } end
  return run
end }

runs.gan = { make = function()
  local Net = class(function(self)
    self.gen = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 2))
    self.disc = nn.Sequential(nn.Linear(2, 16), nn.LeakyReLU(0.2), nn.Linear(16, 16), nn.LeakyReLU(0.2), nn.Linear(16, 1))
  end)
  local model = Net():double()
  local function adam(m) return optim.Adam(m:parameters(), { lr = 0.002, betas = { 0.5, 0.999 } }) end
  local og, od, bce = adam(model.gen), adam(model.disc), F.binary_cross_entropy_with_logits
  local one, zero = tide.ones({ 16, 1 }, { dtype = "float64" }), tide.zeros({ 16, 1 }, { dtype = "float64" })
  local run = { model = model, opt = og }
  function run.inputs(data, t) return rows(data.real, t, 16), data.z[t + 1] end
  function run.step(real, z)
    local fake = model.gen(z)
    od:zero_grad()
    local ld = bce(model.disc(real), one) + bce(model.disc(fake:detach()), zero)
    ld:backward()
    od:step()
    og:zero_grad()
    local lg = bce(model.disc(fake), one)
    lg:backward()
    og:step()
    return ld, lg
  end
  function run.eval(data) return { fake_row_0_of_z_0 = model.gen(data.z[1])[1] } end
  return run
end }

-- ---- following them ----

local function close(got, want, what)
  assert(math.abs(got - want) <= TOLERANCE, ("%s: %.17g instead of %.17g"):format(what, got, want))
end
local function list(x) return type(x) == "table" and x or { x } end

local function follow(name, compiled)
  local folder = root .. name .. "/"
  local want, data = json(folder .. "run.json"), assert(tide.load(folder .. "data.safetensors"))
  local run = runs[name].make()
  run.model:load_state_dict(assert(tide.load(folder .. "initial.safetensors")))
  local step = compiled and tide.compile(run.step) or run.step
  for t = 0, want.steps - 1 do
    if run.before then run.before(t) end
    close(run.opt.param_groups[1].lr, want.lr[t + 1], "learning rate " .. t)
    local losses = { step(run.inputs(data, t)) }
    for i, l in ipairs(list(want.loss[t + 1])) do close(losses[i]:item(), l, ("loss %d of step %d"):format(i, t)) end
    if run.after then run.after() end
  end
  local final, count = assert(tide.load(folder .. "final.safetensors")), 0
  for key, tensor in pairs(run.model:state_dict()) do
    close((tensor:double() - assert(final[key], key):double()):abs():max():item(), 0, key)
    count = count + 1
  end
  for _ in pairs(final) do count = count - 1 end
  assert.are.equal(0, count)
  local got = tide.no_grad(function() return run.eval(data) end)
  for key, value in pairs(want.eval) do
    local numbers = list(got[key].ndim == 0 and got[key]:item() or got[key]:tolist())
    for i, v in ipairs(list(value)) do close(numbers[i], v, key) end
  end
end

describe("recorded runs", function()
  for name in ("mlp cnn-batchnorm lstm gru gpt llama resnet autoencoder logistic-l2 gan"):gmatch "%S+" do
    local there, what = true, nil
    if runs[name].needs then there, what = runs[name].needs() end
    if there then
      it(name, function() follow(name) end)
      it(name .. ", compiled", function() follow(name, true) end)
    else
      pending(("%s waits for %s"):format(name, what))
    end
  end
end)
