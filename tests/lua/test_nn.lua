-- Layers: what PyTorch's give, loaded by PyTorch's names; hooks, parametrizations, names.
local tide = require "tide"
local json = require "json"
local nn, F = tide.nn, tide.nn.functional
local root = os.getenv("TIDE_ROOT") .. "/tests/data/layers/"

local function same(got, want, what)
  assert.are.same(want.shape, got.shape, what)
  if want:numel() == 0 then return end
  if not want.dtype:find "float" then return assert.are.same(want:reshape(-1):tolist(), got:to(want.dtype):reshape(-1):tolist(), what) end
  local far = (got:detach() - want):abs():max():item()
  local tolerance = 1e-11 * math.max(1.0, want:abs():max():item())
  assert(far <= tolerance, ("%s: off by %g"):format(what, far))
end

local function flat(...)
  local out = {}
  local function add(x)
    if tide.is_tensor(x) then out[#out + 1] = x
    elseif type(x) == "table" then for _, y in ipairs(x) do add(y) end end
  end
  for _, x in ipairs(table.pack(...)) do add(x) end
  return out
end

describe("layers as PyTorch's", function()
  local tensors = assert(tide.load(root .. "layers.safetensors"))
  for _, case in ipairs(json(root .. "layers.json").cases) do
    it(("%s: %s"):format(case.name, case.class), function()
      local function at(...) return tensors[table.concat({ case.name, ... }, "/")] end
      local args, options = case.args, case.options
      args[#args + 1] = next(options) and options or nil
      local layer = nn[case.class](table.unpack(args)):double()
      local state, prefix = {}, case.name .. "/state/"
      for name, t in pairs(tensors) do
        if name:sub(1, #prefix) == prefix then state[name:sub(#prefix + 1)] = t end
      end
      layer:load_state_dict(state)
      if case.eval then layer:eval() end
      local inputs = {}
      for i = 1, case.inputs do
        inputs[i] = at("in", i - 1):clone()
        inputs[i]:requires_grad_(inputs[i].dtype:find "float" ~= nil)
      end
      for _, i in ipairs(case.fixed) do inputs[i + 1]:requires_grad_(false) end
      local given = { table.unpack(inputs) }
      if case.nested then given = { inputs[1], { table.unpack(inputs, 2) } } end
      local call = case.call
      for _, name in ipairs(case.tensors) do call[name] = at("call", name) end
      if next(call) then given[#given + 1] = call end
      local outs = flat(layer(table.unpack(given)))
      assert.are.equal(case.outputs, #outs)
      local loss
      for i, y in ipairs(outs) do
        same(y, at("out", i - 1), "result " .. i)
        if y.requires_grad then
          local each = (y * tide.arange(y:numel()):double():cos():reshape(y.shape)):sum()
          loss = loss and loss + each or each
        end
      end
      for name, b in layer:named_buffers() do same(b, at("after", name), name) end
      loss:backward()
      for i, x in ipairs(inputs) do
        if at("grad", "in", i - 1) then same(x.grad, at("grad", "in", i - 1), "gradient of input " .. i) end
      end
      for name, p in layer:named_parameters() do same(p.grad, at("grad", name), "gradient of " .. name) end
    end)
  end
end)

local function fails(fn, ...)
  local ok, message = pcall(fn, ...)
  assert(not ok, "no error")
  return message
end

describe("modules", function()
  it("name their tensors as PyTorch does and count from 1 in scripts", function()
    local net = nn.Sequential { nn.Linear(2, 3), nn.Sequential { nn.ReLU(), nn.Linear(3, 1, { bias = false }) } }
    local names = {}
    for name in net:named_parameters() do names[#names + 1] = name end
    assert.are.same({ "0.weight", "0.bias", "1.1.weight" }, names)
    net[2][2] = nn.Linear(4, 1)
    assert.matches("(in Sequential[2][2])", fails(net, tide.ones(1, 2)), 1, true)
  end)

  it("list what is shared once as a parameter, by all its names in the state", function()
    local Tied = nn.Module:extend("Tied")
    function Tied:init() self.a, self.b = nn.Linear(2, 2), nn.Linear(2, 2) self.b.weight = self.a.weight end
    local net = Tied()
    assert.are.equal(3, #net:parameters())
    assert.is_truthy(net:state_dict()["a.weight"] and net:state_dict()["b.weight"])
    net:double()
    assert.is_true(rawequal(net.a.weight, net.b.weight))
    local copy = net:clone()
    assert.is_true(rawequal(copy.a.weight, copy.b.weight))
    assert.is_false(rawequal(copy.a.weight, net.a.weight))
    assert.are.same(net.a.weight:tolist(), copy.b.weight:tolist())
    tide.no_grad(function() copy.a.weight:zero_() end)
    assert.is_true(net.a.weight:abs():sum():item() > 0)
  end)

  it("call hooks before and after forward", function()
    local layer, seen = nn.Linear(2, 2), {}
    local before = layer:register_forward_pre_hook(function(m, args)
      assert.is_true(rawequal(m, layer))
      seen[#seen + 1] = "before"
      return args[1] * 0
    end)
    local after = layer:register_forward_hook(function(_, args, y)
      seen[#seen + 1] = "after"
      assert.are.equal(0, args[1]:abs():sum():item())
      return y + 1
    end)
    local y = layer(tide.ones(1, 2))
    assert.are.same((layer.bias + 1):tolist(), y:reshape(-1):tolist())
    assert.are.same({ "before", "after" }, seen)
    before:remove()
    after:remove()
    layer(tide.ones(1, 2))
    assert.are.equal(2, #seen)
    local rnn = nn.LSTM(2, 3)
    local first
    rnn:register_forward_hook(function(_, _, out, state) first = state[1] return out end)
    local out, state = rnn(tide.ones(4, 1, 2))
    assert.is_nil(state) -- the hook gave one value
    assert.are.same(out[4]:reshape(-1):tolist(), first:reshape(-1):tolist())
  end)

  it("compute parametrized parameters", function()
    local P = nn.utils.parametrize
    local layer = nn.Linear(2, 2)
    local weight, count = layer.weight, 0
    P.register_parametrization(layer, "weight", function(w) count = count + 1 return (w + w.T) / 2 end)
    assert.is_true(P.is_parametrized(layer, "weight"))
    assert.is_true(rawequal(weight, layer.parametrizations.weight.original))
    local names = {}
    for name in layer:named_parameters() do names[#names + 1] = name end
    table.sort(names)
    assert.are.same({ "bias", "parametrizations.weight.original" }, names)
    local w = layer.weight:tolist()
    assert.are.equal(w[1][2], w[2][1])
    layer(tide.ones(1, 2)):sum():backward()
    assert.is_truthy(weight.grad)
    assert.matches("is parametrized", fails(function() layer.weight = weight end))
    assert.matches("another shape", fails(P.register_parametrization, layer, "bias", function(b) return b:narrow(1, 1, 1) end))
    assert.matches("^inside$", fails(P.register_parametrization, layer, "bias", function() error("inside", 0) end))
    assert.is_false(P.is_parametrized(layer, "bias"))
    P.remove_parametrizations(layer, "weight")
    assert.is_false(P.is_parametrized(layer))
    assert.is_true(rawequal(weight, layer.weight))
    assert.are.same(w, layer.weight:tolist())
    assert.matches("^Linear%(2 %-> 2%)", tostring(layer))
    assert.is_true(count > 2)
  end)

  it("say which options they have", function()
    local line = debug.getinfo(1, "l").currentline + 1
    local message = fails(function() assert(nn.Conv2d(1, 2, 3, { paddin = 1 })) end)
    assert.matches(("test_nn.lua:%d: [Conv2d] there is no option 'paddin'"):format(line), message, 1, true)
    assert.matches("[pad] pad holds integers", fails(F.pad, tide.ones(2, 2), { 1, nil, 2, 3 }), 1, true)
    assert.matches("'output_size': expected an integer or a table of integers", fails(F.adaptive_avg_pool1d, tide.ones(2, 3), { x = 1 }, {}), 1, true)
    assert.are.equal(4, #nn.Sequential(nn.Linear(3, 2)):append(nn.ReLU()):append(nn.Linear(2, 1)):parameters())
    assert.are.equal(2, #nn.ModuleList():append(nn.Linear(3, 2)):parameters())
    assert.matches("[ModuleList] argument 'modules': expected a table, got 3", fails(nn.ModuleList, 3), 1, true)
    assert.matches("[ModuleList] argument '1': expected a module, got 3", fails(nn.ModuleList, { 3 }), 1, true)
    assert.matches("[LSTM] hidden_size is missing", fails(nn.LSTM, 3), 1, true)
    assert.matches("[GRU] inputs of size 4 for input_size 3", fails(nn.GRU(3, 2), tide.ones(5, 1, 4)), 1, true)
    assert.matches("[BatchNorm2d] 2 channels for 3 features", fails(nn.BatchNorm2d(3), tide.ones(1, 2, 4, 4)), 1, true)
    assert.matches("[MultiheadAttention] 3 heads do not divide embed_dim 8", fails(nn.MultiheadAttention, 8, 3), 1, true)
  end)
end)

describe("dropout", function()
  it("drops whole channels", function()
    tide.manual_seed(3)
    local y = nn.Dropout2d(0.5)(tide.ones(4, 8, 3, 3)):reshape(32, 9)
    local low, high = y:amin(2):tolist(), y:amax(2):tolist()
    assert.are.same(low, high)
    local zeros = 0
    for _, v in ipairs(low) do if v == 0 then zeros = zeros + 1 else assert.are.equal(2.0, v) end end
    assert.is_true(zeros > 5 and zeros < 27)
  end)
  it("lies between recurrent layers, while training", function()
    tide.manual_seed(3)
    local rnn, x = nn.GRU(3, 4, { num_layers = 2, dropout = 0.5 }), tide.randn(5, 2, 3)
    assert.are_not.same(rnn(x):tolist(), rnn(x):tolist())
    rnn:eval()
    assert.are.same(rnn(x):tolist(), rnn(x):tolist())
  end)
end)

describe("an embedding", function()
  it("takes a table that is there", function()
    local table_ = tide.randn(5, 2)
    local e = nn.Embedding.from_pretrained(table_)
    assert.is_false(e.weight.requires_grad)
    assert.are.same(table_[3]:tolist(), e(tide.tensor({ 2 }, { dtype = "int64" })):reshape(-1):tolist())
  end)
end)

describe("recurrent and attention layers", function()
  for _, kind in ipairs { "LSTM", "GRU", "TransformerEncoder" } do
    it(kind .. " train the same when compiled", function()
      local function train(compiled)
        tide.manual_seed(7)
        local net = kind == "TransformerEncoder" and nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, { dim_feedforward = 16, dropout = 0.1 }), 2)
          or nn[kind](8, 8, { num_layers = 2, bidirectional = true })
        local opt = tide.optim.Adam(net:parameters(), { lr = 1e-2 })
        local x, y = tide.randn(6, 3, 8), tide.randn(6, 3, 1)
        local function step(a, b)
          opt:zero_grad()
          local loss = F.mse_loss((net(a)), b:expand(6, 3, kind == "TransformerEncoder" and 8 or 16))
          loss:backward()
          opt:step()
          return loss
        end
        if compiled then step = tide.compile(step) end
        local losses = {}
        for i = 1, 8 do losses[i] = step(x, y):item() end
        return losses
      end
      local plain = train(false)
      assert.is_true(plain[8] < plain[1])
      assert.are.same(plain, train(true))
    end)
  end
end)

describe("help", function()
  it("says what every layer, function, mask and measure is", function()
    local function scan(t, path)
      for key, value in pairs(t) do
        local call = type(value) == "function" or (type(value) == "table" and rawget(getmetatable(value) or {}, "__call"))
        if type(key) == "string" and key:sub(1, 1) ~= "_" and call then
          local text = tide.help(path .. "." .. key)
          assert(text and text:find "\n", path .. "." .. key .. " is not described")
        end
      end
    end
    scan(nn, "nn")
    scan(F, "nn.functional")
    scan(nn.init, "nn.init")
    scan(nn.utils.parametrize, "nn.utils.parametrize")
    scan(tide.prune, "prune")
    scan(tide.metrics, "metrics")
    assert.matches("tide.nn.LSTM(input_size, hidden_size, {num_layers = 1, bias = true", tide.help(nn.LSTM), 1, true)
  end)
end)

describe("wrong arguments", function()
  it("are refused where the script called, never inside the library", function()
    local closed = tide.ones(3)
    closed:close()
    local values = { 0, 1, 2, 3, -1, 4, 0.5, 0 / 0, 1e300, -3, "x", "mean", "none", true, false, print, closed, tide.ones(2, 3), tide.ones(4),
      tide.ones(2, 3, 8), tide.ones(2, 4, 6, 6), tide.tensor({ 0, 1 }, { dtype = "int64" }), tide.ones(0, 3), tide.tensor(true), {}, { 1, 2 },
      { dtype = "float64" }, { bias = false }, { padding = 1 }, { reduction = "sum" }, { num_layers = 2 }, nn.Linear(3, 2) }
    local state = 1
    local function random(n) -- of our own, so that it is the same everywhere
      state = (state * 1103515245 + 12345) & 0x7FFFFFFF
      return (state >> 8) % n + 1
    end
    local calls = {}
    for path, t in pairs { nn = nn, ["nn.functional"] = F, metrics = tide.metrics, prune = tide.prune, ["nn.init"] = nn.init, parametrize = nn.utils.parametrize } do
      for name, value in pairs(t) do
        local call = type(value) == "function" or (type(value) == "table" and rawget(getmetatable(value) or {}, "__call"))
        if name:sub(1, 1) ~= "_" and call then calls[#calls + 1] = { path .. "." .. name, value } end
      end
    end
    table.sort(calls, function(a, b) return a[1] < b[1] end)
    local made, refused = {}, 0
    for _ = 1, 8000 do
      local call, args, n = calls[random(#calls)], {}, random(5) - 1
      if #made > 0 and random(3) == 1 then call = made[random(#made)] end
      for i = 1, n do args[i] = values[random(#values)] end
      local ok, result = pcall(call[2], table.unpack(args, 1, n))
      if ok then
        if nn.is_module(result) and #made < 100 then made[#made + 1] = { call[1] .. "()", result } end
      else
        refused = refused + 1
        assert(type(result) == "string" and not result:find "lua/tide/[^:]*:%d+:", ("%s: %s"):format(call[1], tostring(result)))
      end
    end
    assert.is_true(refused > 4000 and #made > 50)
  end)
end)
