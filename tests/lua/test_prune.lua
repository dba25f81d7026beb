-- Pruning: masks, schedules, structures, optimizers, compiled steps, and layers made smaller.
local tide = require "tide"
local nn, prune, F = tide.nn, tide.prune, tide.nn.functional

local function zeros(t) return t:detach():eq(0):sum():item() end
local function fails(pattern, fn, ...)
  local ok, message = pcall(fn, ...)
  assert.is_false(ok)
  assert.is_nil(message:find("/lua/tide/", 1, true), message) -- the user's line
  assert.matches(pattern, message, 1, true)
end

describe("schedules", function()
  it("go evenly, or at once", function()
    local linear = prune.LinearSparsity { initial_sparsity = 0.2, final_sparsity = 0.8, begin_step = 10, end_step = 20, frequency = 5 }
    local due = {}
    for step = 0, 30 do
      local now, s = linear(step)
      if now then due[#due + 1] = step end
      assert.is_true(math.abs(s - (0.2 + 0.6 * math.min(1, math.max(0, (step - 10) / 10)))) < 1e-12)
    end
    assert.are.same({ 10, 15, 20 }, due)
    local once = prune.OneShot { target_sparsity = 0.5, begin_step = 3 }
    assert.are.same({ false, 0.0 }, { once(2) })
    assert.are.same({ true, 0.5 }, { once(3) })
    assert.are.same({ false, 0.5 }, { once(4) })
    fails("end_step must lie after begin_step", prune.LinearSparsity, { final_sparsity = 0.5, begin_step = 5, end_step = 5 })
    fails("target_sparsity must lie in [0, 1)", prune.OneShot, { 1 })
    assert.are.same({ true, 0.5 }, { prune.ConstantSparsity { 0.5, begin_step = 1 } (1) })
    fails("no option 'freq'", prune.PolynomialDecay, { final_sparsity = 0.5, end_step = 9, freq = 5 })
    fails("no option 'power'", prune.LinearSparsity, { final_sparsity = 0.5, end_step = 9, power = 2 })
    fails("no option 'end'", prune.OneShot, { 0.5, ["end"] = 3 })
  end)
end)

describe("masks", function()
  it("rank all weights together", function()
    local a, b = tide.tensor { { 1, -9 }, { 3, 4 } }, tide.tensor { { 5, 0.5, -7 } }
    local masks = prune.global_masks({ a, b }, 3 / 7)
    assert.are.same({ { 0, 1 }, { 0, 1 } }, masks[1]:tolist())
    assert.are.same({ { 1, 0, 1 } }, masks[2]:tolist())
  end)
  it("keep n of m neighbours", function()
    local w = tide.tensor { { 1, -4, 3, 2, 0, 0, 0, 0, 9 }, { 5, 6, 7, 8, 4, 3, 2, 1, 1 } }
    assert.are.same({ { 0, 1, 1, 0, 1, 1, 0, 0, 1 }, { 0, 0, 1, 1, 1, 1, 0, 0, 1 } }, prune.n_m_mask(w, 2, 4):tolist())
    tide.manual_seed(2)
    local conv = tide.randn(6, 8, 3, 3)
    local mask = prune.n_m_mask(conv, 2, 4)
    assert.are.same(conv.shape, mask.shape)
    local counts = mask:reshape(6, 2, 4, 3, 3):sum(3)
    assert.are.equal(2.0, counts:amin():item())
    assert.are.equal(2.0, counts:amax():item())
    assert.is_true((conv * mask):abs():sum():item() > (conv * (1 - mask)):abs():sum():item())
  end)
  it("keep whole channels", function()
    local w = tide.tensor { { 1, 1 }, { 9, 0 }, { 0, 2 }, { 5, 5 } }
    local mask, channels = prune.channel_mask(w, 0.5)
    assert.are.same({ { 0, 0 }, { 1, 1 }, { 0, 0 }, { 1, 1 } }, mask:tolist())
    assert.are.same({ 0, 1, 0, 1 }, channels:tolist())
    assert.are.same({ { 1, 0 }, { 1, 0 }, { 1, 0 }, { 1, 0 } }, prune.channel_mask(w, 0.5, 2):tolist())
  end)
  it("are parametrizations", function()
    local layer = nn.Linear(3, 2)
    local w = layer.weight:clone():detach()
    local mask = tide.tensor { { 1, 0, 1 }, { 0, 1, 1 } }
    prune.custom_from_mask(layer, "weight", mask)
    assert.is_true(prune.is_pruned(layer, "weight"))
    assert.are.same((w * mask):tolist(), layer.weight:tolist())
    layer(tide.ones(1, 3)):sum():backward()
    assert.are.same(mask:tolist(), layer.parametrizations.weight.original.grad:tolist())
    prune.custom_from_mask(layer, "weight", tide.tensor { { 1, 1, 0 }, { 1, 1, 1 } })
    assert.are.equal(3, zeros(layer.weight))
    local report = prune.sparsity(layer)
    assert.are.same({ "weight", 3 }, { report[1].name, report[1].zeros })
    fails("a mask of shape (3) for 'weight' of (2,3)", prune.custom_from_mask, layer, "weight", tide.ones(3))
    prune.remove(layer, "weight")
    fails("a mask of shape (7)", prune.custom_from_mask, layer, "weight", tide.ones(7))
    assert.is_false(prune.is_pruned(layer, "weight"))
    assert.are.equal(3, zeros(layer.weight))
    fails("has no mask", prune.remove, layer, "weight")
  end)
end)

local function network() return nn.Sequential { nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4) } end
local function train(model, opt, steps, compiled, with_closure)
  local x, y = tide.randn(32, 8), tide.randperm(32):remainder(4)
  local function step(a, b)
    local function closure()
      opt:zero_grad()
      local loss = F.cross_entropy(model(a), b)
      loss:backward()
      return loss
    end
    if with_closure then return opt:step(closure) end
    local loss = closure()
    opt:step()
    return loss
  end
  if compiled then step = tide.compile(step) end
  local losses = {}
  for i = 1, steps do losses[i] = step(x, y):item() end
  return losses
end

describe("a pruner", function()
  for name in ("SGD Adam AdamW NAdam RAdam Adamax Adagrad Adadelta RMSprop ASGD Rprop Lion LBFGS"):gmatch "%S+" do
    local make = tide.optim[name]
    if make then
      it("keeps masks with " .. name, function()
        tide.manual_seed(1)
        local model = network()
        local opt = make(model:parameters(), { lr = 0.01 })
        local pruner = prune.Pruner(model, prune.LinearSparsity { final_sparsity = 0.75, begin_step = 2, end_step = 6, frequency = 2 }):attach(opt)
        local losses = train(model, opt, 12, false, name == "LBFGS")
        assert.are.equal(96, zeros(model[1].weight))
        assert.are.equal(48, zeros(model[3].weight))
        assert.is_true(losses[12] == losses[12])
        pruner:strip()
        assert.are.equal(0.75, prune.sparsity(model)[3].sparsity)
      end)
    end
  end

  local kinds = {
    layer = {}, global = { scope = "global" }, ["2:4"] = { structure = "2:4" }, channel = { structure = "channel" },
    parametrized = { parametrize = true }, ["global channels"] = { structure = "channel", scope = "global" },
    custom = { mask = function(w) return w:gt(0):to(w.dtype) end },
  }
  for name, options in pairs(kinds) do
    it(("of kind %s trains the same when compiled"):format(name), function()
      local function run(compiled)
        tide.manual_seed(1)
        local model = network()
        local pruner = prune.Pruner(model, prune.PolynomialDecay { final_sparsity = 0.5, begin_step = 3, end_step = 9, frequency = 3 }, options)
        local opt = tide.optim.Adam(model:parameters(), { lr = 0.02 })
        pruner:attach(opt)
        local losses = train(model, opt, 20, compiled)
        pruner:strip()
        return losses, model
      end
      local plain, model = run(false)
      local followed, other = run(true)
      assert.are.same(plain, followed)
      assert.are.same(model[1].weight:tolist(), other[1].weight:tolist())
      local z = zeros(model[1].weight)
      if name == "global" then assert.are.equal(96, z + zeros(model[3].weight))
      elseif name == "custom" then assert.is_true(z > 20)
      else assert.are.equal(64, z) end
    end)
  end

  it("brings parametrized weights back", function()
    local layer = nn.Linear(4, 1, { bias = false })
    tide.no_grad(function() layer.weight:copy_(tide.tensor { { 1, 2, 3, 4 } }) end)
    local pruner = prune.Pruner(layer, prune.OneShot { 0.5 }, { parametrize = true })
    pruner:prune(0.5)
    assert.are.same({ { 0, 0, 3, 4 } }, layer.weight:tolist())
    tide.no_grad(function() layer.parametrizations.weight.original:copy_(tide.tensor { { 9, 2, 3, 4 } }) end)
    pruner:prune(0.5)
    assert.are.same({ { 9, 0, 0, 4 } }, layer.weight:tolist())
    pruner:strip()
    assert.are.same({ { 9, 0, 0, 4 } }, layer.weight:tolist())
    assert.is_nil(layer.parametrizations)
  end)

  it("takes masks of one's own and leaves them alone", function()
    local model = network()
    local pruner = prune.Pruner(model, prune.OneShot { 0.5 })
    local mask = tide.ones(16, 8)
    mask:narrow(1, 1, 3):zero_()
    pruner:set_mask("0.weight", mask)
    pruner:prune(0.75)
    assert.are.equal(24, zeros(model[1].weight))
    assert.are.equal(48, zeros(model[3].weight))
    fails("there is no weight 'x'", pruner.set_mask, pruner, "x", mask)
    fails("no option 'scop'", prune.Pruner, model, prune.OneShot { 0.5 }, { scop = "global" })
    fails("structure is", prune.Pruner, model, prune.OneShot { 0.5 }, { structure = "rows" })
    fails("'structure': expected a string", prune.Pruner, model, prune.OneShot { 0.5 }, { structure = 3 })
    fails("'params': expected a table", prune.Pruner, nil, prune.OneShot { 0.5 }, { params = 3 })
    fails("'mask': expected a tensor", pruner.set_mask, pruner, "0.weight")
    fails("expected an optimizer", pruner.attach, pruner, 3)
    fails("no state of a pruner", pruner.load_state_dict, pruner, 3)
  end)

  it("goes on from its state", function()
    tide.manual_seed(1)
    local model = network()
    local options = { structure = "channel" }
    local pruner = prune.Pruner(model, prune.OneShot { 0.5, begin_step = 1 }, options)
    pruner:step()
    pruner:step()
    local copy = model:clone()
    local other = prune.Pruner(copy, prune.OneShot { 0.5, begin_step = 1 }, options)
    other:load_state_dict(pruner:state_dict())
    assert.are.equal(2, other.steps)
    tide.no_grad(function() copy[1].weight:add_(1) copy[1].bias:add_(1) end)
    other:step()
    assert.are.equal(64, zeros(copy[1].weight))
    assert.are.equal(8, zeros(copy[1].bias))
  end)
end)

describe("shrinking", function()
  local function same(a, b)
    assert.are.same(a.shape, b.shape)
    assert((a - b):abs():max():item() <= 1e-12 * math.max(1, a:abs():max():item()))
  end
  local function trained(model, x, y, sparsity)
    local opt = tide.optim.SGD(model:parameters(), { lr = 0.05, momentum = 0.9 })
    prune.Pruner(model, prune.OneShot { sparsity, begin_step = 2 }, { structure = "channel" }):attach(opt)
    for _ = 1, 5 do
      opt:zero_grad()
      F.cross_entropy(model(x), y):backward()
      opt:step()
    end
    return model:eval()
  end
  local function count(model)
    local n = 0
    for _, p in ipairs(model:parameters()) do n = n + p:numel() end
    return n
  end

  it("leaves what a convolutional network gives", function()
    tide.manual_seed(5)
    local model = nn.Sequential {
      nn.Conv2d(3, 8, 3, { padding = 1 }), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2),
      nn.Sequential { nn.Conv2d(8, 12, 3, { padding = 1, bias = false }), nn.BatchNorm2d(12), nn.SiLU() },
      nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(48, 20), nn.Sigmoid(), nn.Dropout(0.2), nn.Linear(20, 5),
    }:double()
    local x, y = tide.randn({ 6, 3, 8, 8 }, { dtype = "float64" }), tide.arange(6):remainder(5)
    trained(model, x, y, 0.5)
    local before, want = count(model), model(x)
    assert.are.equal(4 + 6 + 10, prune.shrink(model))
    same(want, model(x))
    assert.are.same({ 4, 3, 3, 3 }, model[1].weight.shape)
    assert.are.same({ 4 }, model[2].running_var.shape)
    assert.are.same({ 6, 4, 3, 3 }, model[5][1].weight.shape)
    assert.are.same({ 10, 24 }, model[8].weight.shape)
    assert.are.same({ 5, 10 }, model[11].weight.shape)
    assert.are.same({ 4, 6, 10, 24 }, { model[1].out_channels, model[5][1].out_channels, model[8].out_features, model[8].in_features })
    assert.is_true(count(model) < before / 2)
    local opt = tide.optim.Adam(model:train():parameters()) -- and it can be trained on
    local l = F.cross_entropy(model(x), y)
    l:backward()
    opt:step()
    assert.is_true(F.cross_entropy(model(x), y):item() < 10)
  end)

  it("adds what dead channels give to the next bias, or leaves them", function()
    tide.manual_seed(6)
    local function mlp() return nn.Sequential { nn.Linear(4, 6), nn.GELU(), nn.Linear(6, 3) }:double() end
    local model, x = mlp(), tide.randn({ 5, 4 }, { dtype = "float64" })
    tide.no_grad(function() model[1].weight:narrow(1, 2, 3):zero_() end) -- their biases are not zero
    local want = model(x)
    assert.are.equal(3, prune.shrink(model))
    same(want, model(x))
    local conv = nn.Sequential { nn.Conv2d(1, 4, 3), nn.Conv2d(4, 2, 3, { padding = 1 }) }:double()
    local image = tide.randn({ 1, 1, 6, 6 }, { dtype = "float64" })
    tide.no_grad(function()
      conv[1].weight:narrow(1, 1, 2):zero_()
      conv[1].bias:narrow(1, 1, 1):zero_()
    end)
    want = conv(image)
    assert.are.equal(1, prune.shrink(conv)) -- a constant other than 0 meets the padding
    same(want, conv(image))
    assert.are.same({ 2, 3, 3, 3 }, conv[2].weight.shape)
  end)

  it("works inside a block, and through transposed convolutions", function()
    tide.manual_seed(7)
    local Block = nn.Module:extend("Block")
    function Block:init() self.conv1, self.bn1, self.conv2 = nn.Conv1d(3, 6, 3, { padding = 1 }), nn.BatchNorm1d(6), nn.ConvTranspose1d(6, 3, 3, { padding = 1 }) end
    function Block:forward(x) return x + self.conv2(tide.relu(self.bn1(self.conv1(x)))) end
    local block, x = Block():double(), tide.randn({ 2, 3, 7 }, { dtype = "float64" })
    local layers = { block.conv1, block.bn1, block.conv2 }
    prune.Pruner(nil, prune.OneShot { 0.5 }, { structure = "channel", layers = layers }):prune(0.5)
    block:eval()
    local want = block(x)
    assert.are.equal(3, prune.shrink(layers))
    same(want, block(x))
    assert.are.same({ 3, 3, 3 }, block.conv2.weight.shape)
    fails("it is not known in which order its layers work", prune.shrink, block)
  end)

  it("stops where channels are mixed", function()
    local model = nn.Sequential { nn.Linear(4, 6), nn.LayerNorm(6), nn.Linear(6, 3) }
    tide.no_grad(function() model[1].weight:zero_() end)
    assert.are.equal(0, prune.shrink(model))
    fails("nothing to prune", prune.Pruner, model, prune.OneShot { 0.5 }, { structure = "channel" })
  end)
  it("waits until parametrizations are gone", function()
    local model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    local pruner = prune.Pruner(model, prune.OneShot { 0.5 }, { structure = "channel", parametrize = true })
    pruner:step()
    fails("strip() the pruner", prune.shrink, model)
    pruner:strip()
    assert.are.equal(2, prune.shrink(model))
  end)
end)

describe("the example", function()
  it("prunes a network of digits in four ways", function()
    local name = os.tmpname()
    local picture = name .. ".svg"
    local plots = pcall(require, "tide.plot")
    local pipe = assert(io.popen(("%s %s/examples/prune.lua --epochs 6 %s"):format(os.getenv "TIDE", os.getenv "TIDE_ROOT", plots and "--svg " .. picture or "")))
    local text = pipe:read "a"
    pipe:close()
    if plots then
      local file <close> = assert(io.open(picture))
      local svg = file:read "a"
      assert.matches("^<svg", svg)
      assert.matches("neurons", svg, 1, true)
    end
    os.remove(name)
    os.remove(picture)
    local start, each, all = text:match "RESULT prune accuracy=([%d.]+) each90=([%d.]+) all90=([%d.]+)"
    assert(start, text)
    assert.is_true(tonumber(start) > 0.95 and tonumber(each) > 0.8 and tonumber(all) > 0.8, text)
    assert.matches("\n     95%%", text)
  end)
end)
