-- The binding: arguments, operators, indexing, fields, errors, gradients, scopes, the collector's pace, compiled steps,
-- files, and the program.
local tide = require "tide"
local nn = tide.nn

local function list(t) return t:tolist() end
local function fails(fn, ...)
  local ok, message = pcall(fn, ...)
  assert.is_false(ok)
  return message
end
local function here() return debug.getinfo(2, "l").currentline end
local function ints(t) return tide.tensor(t, { dtype = "int64" }) end

describe("arguments", function()
  local x = tide.tensor { { 1, 2, 3 }, { 4, 5, 6 } }

  it("come by position, by name, or are left out", function()
    assert.same({ 5, 7, 9 }, list(x:sum(1)))
    assert.same({ 6, 15 }, list(x:sum(-1)))
    assert.same({ { 6 }, { 15 } }, list(x:sum(2, { keepdim = true })))
    assert.same({ { 21 } }, list(tide.sum(x, { keepdim = true })))
    assert.same({ 5, 7, 9 }, list(tide.sum(x, { dim = 1 })))
    assert.same(21, x:sum({ 1, 2 }):item())
    assert.same({ { 3, 3, 3 }, { 3, 3, 3 } }, list(tide.clamp(x, 3, 3)))
    assert.same({ { 1, 2, 2 }, { 2, 2, 2 } }, list(tide.clamp(x, nil, 2)))
    assert.same(6.0, tide.nn.functional.mse_loss(tide.zeros(1), tide.full({ 1 }, 6):sqrt(), nil, nil):round({ decimals = 4 }):item())
    assert.same({ 21, 42 }, list(tide.add(tide.tensor { 1, 2 }, tide.tensor { 10, 20 }, { alpha = 2 })))
  end)

  it("take shapes and dims as tables or in a row", function()
    assert.same({ { 1, 2 }, { 3, 4 }, { 5, 6 } }, list(x:view(3, -1)))
    assert.same({ { 1, 2 }, { 3, 4 }, { 5, 6 } }, list(x:view({ 3, 2 })))
    assert.same({ { 1, 4 }, { 2, 5 }, { 3, 6 } }, list(x:permute(2, 1)))
    assert.same({ 2, 3 }, tide.zeros(2, 3).shape)
    assert.same({ 2, 3 }, tide.zeros({ 2, 3 }, { dtype = "int64" }).shape)
    assert.same({}, tide.reshape(tide.ones(1), {}).shape) -- {} is a shape, never options
  end)

  it("know numbers from tensors", function()
    local i = ints { 1, 2 }
    assert.same("int64", (i * 2).dtype)
    assert.same("float32", (i * 2.0).dtype)
    assert.same("bool", (tide.tensor { true } & true).dtype)
    assert.same("float64", tide.ones({ 2 }, { dtype = tide.float64 }).dtype)
  end)

  it("take lists of tensors", function()
    assert.same({ 1, 2, 3 }, list(tide.cat { tide.tensor { 1, 2 }, tide.tensor { 3 } }))
    assert.same({ 2, 3 }, tide.stack({ tide.ones(3), tide.ones(3) }).shape)
    assert.matches("entry 2 of the list is a number", fails(tide.cat, { tide.ones(1), 2 }), 1, true)
    assert.matches("an empty list", fails(tide.cat, {}), 1, true)
  end)

  it("give several results", function()
    local values, places = tide.max(x, 2)
    assert.same({ 3, 6 }, list(values))
    assert.same({ 2, 2 }, list(places)) -- stored positions count from 0
    assert.same(6, tide.max(x):item())
  end)

  it("are refused with their name", function()
    assert.matches("[sum] argument 'dim': dims and positions count from 1", fails(x.sum, x, 0), 1, true)
    assert.matches("[sum] argument 'dim': expected a dim or a list of dims, got string", fails(x.sum, x, "a"), 1, true)
    assert.matches("[sum] no option 'kepdim'; there are: input, dim, keepdim, dtype", fails(x.sum, x, { kepdim = true }), 1, true)
    assert.matches("[sum] argument 'keepdim': expected a boolean, got number", fails(x.sum, x, { keepdim = 1 }), 1, true)
    assert.matches("[matmul] argument 'other': expected a tensor, got string", fails(tide.matmul, x, "x"), 1, true)
    assert.matches("[matmul] argument 'other' is missing", fails(tide.matmul, x), 1, true)
    assert.matches("[zeros] argument 'size' is missing", fails(tide.zeros), 1, true)
    assert.matches("[relu] too many arguments: 2 given", fails(tide.relu, x, 1), 1, true)
    assert.matches("no such dtype: float23", fails(tide.ones, { 2 }, { dtype = "float23" }), 1, true)
    assert.matches("'up' is none of none|trunc|floor", fails(tide.div, x, x, { rounding_mode = "up" }), 1, true)
  end)
end)

describe("operators", function()
  local x = tide.tensor { 7, -7 }
  it("are operations", function()
    assert.same({ 8, -6 }, list(x + 1))
    assert.same({ 3, 17 }, list(10 - x))
    assert.same({ 14, -14 }, list(2 * x))
    assert.same({ 3.5, -3.5 }, list(x / 2))
    assert.same({ 1, 1 }, list(x % 2)) -- the sign of the divisor, as in Lua
    assert.same({ 3, -4 }, list(x // 2))
    assert.same({ 49, 49 }, list(x ^ 2))
    assert.same({ -7, 7 }, list(-x))
    local a, b = ints { 12 }, ints { 10 }
    assert.same({ { 8 }, { 14 }, { 6 }, { -13 } }, { list(a & b), list(a | b), list(a ~ b), list(~a) })
  end)
  it("compare by identity; elements by methods", function()
    assert.is_true(x == x)
    assert.is_false(x == tide.tensor { 7, -7 })
    assert.same({ true, false }, list(x:gt(0)))
  end)
  it("have forms in place", function()
    local y = tide.ones(2)
    assert.is_true(rawequal(y, y:add_(x)))
    assert.same({ 8, -6 }, list(y))
    assert.same({ 0, 0 }, list(y:zero_()))
  end)
end)

describe("tide.tensor", function()
  it("reads numbers, tables and booleans", function()
    assert.same("float32", tide.tensor({ 1, 2 }).dtype)
    assert.same("bool", tide.tensor({ true, false }).dtype)
    assert.same("float32", tide.tensor({ true, 2 }).dtype)
    assert.same({}, tide.tensor(3).shape)
    assert.same({ 0 }, tide.tensor({}).shape)
    assert.same({ 2, 0 }, tide.tensor({ {}, {} }).shape)
    assert.same({ 9007199254740993 }, list(ints { 9007199254740993 }))
    for _, d in ipairs { "float64", "float16", "bfloat16", "int32", "int8", "uint8" } do
      assert.same({ { 1, 2 }, { 3, 4 } }, list(tide.tensor({ { 1, 2 }, { 3, 4 } }, { dtype = d })))
    end
    assert.is_true(tide.tensor({ 1 }, { requires_grad = true }).requires_grad)
    local t = tide.ones(2)
    local copy = tide.tensor(t)
    copy:add_(1)
    assert.same({ 1, 1 }, list(t))
  end)
  it("says where tables are ragged", function()
    assert.matches("the table at [2] has 1 entries where the first has 2", fails(tide.tensor, { { 1, 2 }, { 3 } }), 1, true)
    assert.matches("expected a number at [2][1], got string", fails(tide.tensor, { { 1 }, { "x" } }), 1, true)
    assert.matches("expected a table or a number", fails(tide.tensor), 1, true)
  end)
  it("comes back as Lua values", function()
    assert.same("integer", math.type(ints({ 5 })[1]:item()))
    assert.same("float", math.type(tide.tensor(5):item()))
    assert.same(true, tide.tensor(true):item())
    assert.matches("a tensor of one element is needed", fails(tide.item, tide.ones(2)), 1, true)
    assert.matches("not of 17179869184", fails(tide.item, tide.ones(1):expand(1 << 17, 1 << 17)), 1, true)
    assert.same({ { 1, 3 }, { 2, 4 } }, list(tide.tensor({ { 1, 2 }, { 3, 4 } }):transpose(1, 2)))
  end)
end)

describe("indexing", function()
  local x = tide.arange(24):view(2, 3, 4)
  it("counts positions from 1 and includes the end of ranges", function()
    assert.same({ 12, 13, 14, 15 }, list(x[2][1]))
    assert.same(23, x[{ -1, -1, -1 }]:item())
    assert.same({ { 4, 5 }, { 8, 9 } }, list(x[{ 1, { 2, 3 }, { 1, 2 } }]))
    assert.same({ 0, 2 }, list(x[{ 1, 1, { 1, 4, 2 } }]))
    assert.same({ 2, 3 }, list(x[{ 1, 1, { -2, -1 } }]))
    assert.same({ 0, 3, 4 }, x[{ { 2, 1 } }].shape) -- ends before it starts
    assert.same({ 2, 3, 2 }, x[{ {}, {}, { 3, 100 } }].shape) -- runs over the end
    assert.same({ 2, 3, 4 }, x[{}].shape)
  end)
  it("has newaxis and ellipsis", function()
    assert.same({ 1, 2, 3, 4 }, x[tide.newaxis].shape)
    assert.same({ 2, 1, 4 }, x[{ {}, tide.newaxis, 2 }].shape)
    assert.same({ { 0, 4, 8 }, { 12, 16, 20 } }, list(x[{ tide.ellipsis, 1 }]))
  end)
  it("gathers with tensors, whose numbers count from 0", function()
    local m = x[1]
    assert.same({ { 8, 9, 10, 11 }, { 0, 1, 2, 3 } }, list(m[ints { 2, 0 }]))
    assert.same({ 8, 1 }, list(m[{ ints { 2, 0 }, ints { 0, 1 } }]))
    assert.same({ 22, 23 }, list(x[x:gt(21)]))
    assert.same({ { 4, 5, 6, 7 } }, list(m[tide.tensor { false, true, false }]))
  end)
  it("gives views", function()
    local y = tide.zeros(2, 2)
    y[1]:add_(5)
    assert.same({ { 5, 5 }, { 0, 0 } }, list(y))
  end)
  it("stores", function()
    local y = tide.zeros(3, 3)
    y[1] = 1
    y[{ 2, 3 }] = 5
    y[y:eq(5)] = -1
    y[{ {}, 1 }] = tide.tensor { 7, 8, 9 }
    y[{ 3, { 2, 3 } }] = tide.tensor { 1, 2 }
    assert.same({ { 7, 1, 1 }, { 8, 0, -1 }, { 9, 1, 2 } }, list(y))
    y[ints { 0, 2 }] = 0
    assert.same({ { 0, 0, 0 }, { 8, 0, -1 }, { 0, 0, 0 } }, list(y))
    y[tide.tensor { true, true, false }] = tide.ones(2, 3)
    assert.same({ { 1, 1, 1 }, { 1, 1, 1 }, { 0, 0, 0 } }, list(y))
    assert.same({ 0, 2, 0 }, list(tide.index_put(tide.zeros(3), { ints { 1, 1 } }, tide.ones(2), { accumulate = true })))
  end)
  it("differentiates", function()
    local w = tide.tensor({ 1, 2, 3 }, { requires_grad = true })
    local s = w[ints { 0, 0, 2 }]:sum() + w[{ { 2, 3 } }]:sum() * 10
    s:backward()
    assert.same({ 2, 10, 11 }, list(w.grad))
  end)
  it("refuses with a reason", function()
    local function at(k) return fails(function() return x[k] end) end
    assert.matches("positions count from 1; stored indices from 0: use index_select", at(0), 1, true)
    assert.matches("positions count from 1", at { { 0, 1 } }, 1, true)
    assert.matches("position 3 is out of range for a dim of size 2", at(3), 1, true)
    assert.matches("4 positions for a tensor of 3 dims", at { 1, 1, 1, 1 }, 1, true)
    assert.matches("a range is {first, last}", at { { 1 } }, 1, true)
    assert.matches("the step of a range must be positive", at { { 1, 2, -1 } }, 1, true)
    assert.matches("only one ellipsis", at { tide.ellipsis, tide.ellipsis }, 1, true)
    assert.matches("no field or method 'colour'", at "colour", 1, true)
    assert.matches("index 7 is out of range for dim 1 of size 2", at(ints { 7 }), 1, true)
    assert.matches("the mask (3) does not fit", at(tide.tensor { true, true, true }), 1, true)
    assert.matches("cannot store a string", fails(function() x[1] = "a" end), 1, true)
  end)
end)

describe("fields", function()
  local x = tide.zeros(2, 3)
  it("describe the tensor", function()
    assert.same({ 2, 3 }, x.shape)
    assert.same({ "float32", "cpu", 2, true, false }, { x.dtype, x.device, x.ndim, x.is_leaf, x.requires_grad })
    assert.same({ 3, 2 }, x.T.shape)
    assert.same(2, #x)
    assert.same({ 6, 2, 3, 3 }, { x:numel(), x:dim(), x:size(2), x:size(-1) })
    assert.is_true(x:is_contiguous())
    assert.is_false(x.T:is_contiguous())
    assert.is_true(tide.is_tensor(x))
    assert.is_false(tide.is_tensor({}) or tide.is_tensor(io.stdout) or tide.is_tensor(nil))
    assert.matches("^tensor%(%[%[0%., 0%., 0%.%]", tostring(x))
    assert.same("a: tensor(1.)", "a: " .. tide.tensor(1))
  end)
  it("convert", function()
    for method, dtype in pairs { float = "float32", double = "float64", half = "float16", bfloat16 = "bfloat16", long = "int64", int = "int32", bool = "bool" } do
      assert.same(dtype, x[method](x).dtype)
    end
    assert.same("int64", x:to("int64").dtype)
    assert.is_true(x:to("cpu") == x)
  end)
  it("take another tensor's shape or dtype", function()
    local a, like = tide.ones(6), tide.zeros({ 2, 3 }, { dtype = "float64" })
    assert.same({ 2, 3 }, a:view_as(like).shape)
    assert.same({ 2, 3 }, a:reshape_as(like).shape)
    assert.same({ 2, 3 }, tide.ones(3):expand_as(like).shape)
    assert.same("float64", a:type_as(like).dtype)
    assert.is_true(a:cpu() == a)
    assert.matches("^[^\n]*test_binding.lua:%d+: %[view_as%] argument 'other': expected a tensor, got 3$", fails(function() a:view_as(3) end))
  end)

  it("compare as a whole", function()
    local nan, one = tide.tensor { 0 / 0, 1 }, tide.ones(2)
    assert.is_true(tide.equal(one, tide.ones(2)))
    assert.is_true(one:equal(ints { 1, 1 }))
    assert.is_false(tide.equal(one, tide.ones(2, 1)))
    assert.is_false(tide.equal(one, tide.ones(1)))
    assert.is_false(tide.equal(nan, nan))
    assert.is_true(tide.equal(tide.ones(0, 3), tide.ones(0, 3)))
    assert.is_true(tide.allclose(one, one + 1e-6))
    assert.is_false(one:allclose(one + 1e-4))
    assert.is_true(one:allclose(one + 0.1, { rtol = 0, atol = 0.2 }))
    assert.is_false(tide.allclose(nan, nan))
    assert.is_true(tide.allclose(nan, nan, { equal_nan = true }))
    assert.same({ false, true, false }, list(tide.isclose(tide.tensor { math.huge, math.huge, 1 }, tide.tensor { -math.huge, math.huge, 2 })))
    assert.same({ true, true, false }, list(tide.isinf(tide.tensor { math.huge, -math.huge, 0 / 0 })))
    assert.matches("test_binding.lua:%d+: equal: expected two tensors, not a tensor and number", fails(function() tide.equal(one, 1) end))
    assert.matches("test_binding.lua:%d+: %[isclose%] rtol and atol must not be negative", fails(function() tide.allclose(one, one, { atol = -1 }) end))
    assert.same({ 2 }, tide.empty_like(one).shape)
    assert.same("int64", tide.empty_like(one, { dtype = "int64" }).dtype)
  end)

  it("close", function()
    local y = tide.ones(2)
    y:close()
    y:close()
    assert.same("tensor(closed)", tostring(y))
    assert.matches("this tensor was closed", fails(function() return y + 1 end), 1, true)
    do
      local z <close> = tide.ones(2)
      y = z
    end
    assert.same("tensor(closed)", tostring(y))
  end)
end)

describe("errors", function()
  it("name the user's line, also through the library and from C", function()
    local line = here() + 1
    local m = fails(function() return tide.ones(2) + tide.ones(3) end)
    assert.matches("test_binding.lua:" .. line .. ": [add] shapes (2) and (3)", m, 1, true)
    line = here() + 1
    m = fails(function() assert(nn.Linear(4, 2)(tide.ones(3))) end)
    assert.matches("test_binding.lua:" .. line .. ": [linear]", m, 1, true)
    m = fails(tide.add, tide.ones(2), tide.ones(3))
    assert.matches("test_binding.lua:%d+: %[add%]", m)
  end)
  it("name the user's line from the Lua part too, with what was expected", function()
    local x, t, net = tide.ones(4, 2), tide.data.table { { "a", { 1, 2 } } }, nn.Linear(2, 1)
    for _, call in ipairs {
      function() tide.save(1, {}) end, function() tide.load() end, function() tide.load("x", { map = true }) end, function() tide.checkpoint(1, {}) end,
      function() tide.checkpoint("x", x) end, function() tide.scope(x) end, function() tide.custom(1) end, function() tide.custom {} end,
      function() tide.flatten(1) end, function() x:flatten("a") end, function() x:flatten(1, 3) end, function() tide.t(1) end,
      function() tide.clip_grad_norm_({ x }) end, function() tide.clip_grad_value_(1, 1) end,
      function() tide.optim.SGD(net:parameters(), 1) end, function() tide.optim.LBFGS(net:parameters(), 1) end, function() tide.optim.EMA(net, 1) end,
      function() net:load_state_dict(1) end, function() net:load_state_dict({}, { strct = false }) end, function() net:load_state_dict { weight = 1 } end,
      function() net:apply(1) end, function() net:register_buffer(1, x) end, function() net:register_forward_hook(1) end, function() nn.Embedding.from_pretrained(1) end,
      function() tide.data.csv() end, function() tide.data.table(1) end, function() tide.data.table { 1 } end, function() tide.data.table { { "a", 1 } } end,
      function() t:split("a") end, function() t:split(0.5, { sed = 1 }) end, function() t:sort("a", 1) end, function() t:join(1, "a") end,
      function() t:dropna { subst = 1 } end, function() tide.data.StandardScaler():fit(1) end, function() tide.data.LabelEncoder():load_state_dict(1) end,
      function() tide.data.train_test_split(1) end, function() tide.data.train_test_split(x, { test = 1 }) end, function() tide.data.KFold("a", 2) end,
      function() tide.data.StratifiedKFold(1, 2) end, function() tide.data.TensorDataset(nil, x) end, function() tide.data.TensorDataset(tide.ones(1):sum()) end,
      function() tide.data.DataLoader({ x }, 1) end, function() tide.data.JSONLines(1) end, function() tide.data.ImageFolder(1) end,
      function() tide.data.MNISTDataset(1) end, function() tide.data.TokenShards("x", { contxt = 1 }) end, function() tide.data.CIFARDataset("x", 1) end,
      function() tide.data.DistributedSampler(3) end, function() tide.image.load("x", 1) end, function() tide.image.save("x.png", x, { q = 1 }) end,
    } do
      local message = fails(call)
      assert.matches("^[^\n:]*test_binding%.lua:%d+: .", message)
      assert.is_nil(message:find("attempt to", 1, true), message)
    end
  end)
  it("name the module", function()
    local Net = nn.Module:extend("Net")
    function Net:init() self.blocks = { nn.Linear(4, 4), nn.Sequential { nn.ReLU(), nn.Linear(5, 4) } } end
    function Net:forward(x)
      for _, block in ipairs(self.blocks) do x = block(x) end
      return x
    end
    local net = Net()
    assert.matches("inner sizes 4 and 5 differ (in Net.blocks[2][2])", fails(net, tide.ones(2, 4)), 1, true)
  end)
  it("name the line, the operation and the shapes", function()
    local line = debug.getinfo(1, "l").currentline + 1
    local _, text = pcall(function() return (tide.matmul(tide.ones(2, 3), tide.ones(4, 5))) end)
    assert.matches("test_binding.lua:" .. line .. ": [matmul] (2,3) x (4,5): inner sizes 3 and 4 differ", text, 1, true)
  end)
  it("come from misuse that random calls once found", function()
    assert.same(6, tide.zeros(2, 3):ne(1, nil, nil):sum():item()) -- trailing nils are nothing
    assert.matches("in place: the first argument must be a tensor", fails(tide.floor_divide_, 8, true))
    assert.matches("out of range", fails(tide.index_select, tide.zeros(3, 2), 64, tide.zeros(3):long()))
    assert.matches("too large", fails(function() return tide.ones(1, 1):expand(1 << 40, 1 << 40) end))
    assert.matches("too many", fails(tide.arange, 2, math.mininteger, -1))
    assert.same({ 1 }, tide.arange(4)[{ { 1, 4, math.maxinteger } }].shape)
    local many = { 1 }
    for _ = 1, 7 do
      local outer = {}
      for i = 1, 1024 do outer[i] = many end
      many = outer
    end
    assert.matches("too many numbers", fails(tide.tensor, many))
  end)
  it("leave nothing behind", function()
    fails(tide.add, tide.ones(2), tide.ones(3))
    assert.same({ 2, 2 }, list(tide.ones(2) + 1))
  end)
end)

describe("gradients", function()
  it("accumulate, and can be dropped", function()
    local w = tide.tensor({ 1, 2 }, { requires_grad = true })
    assert.is_nil(w.grad)
    for i = 1, 2 do
      (w * w):sum():backward()
      assert.same({ 2 * i, 4 * i }, list(w.grad))
    end
    w.grad = nil
    assert.is_nil(w.grad)
    w.grad = tide.ones(2)
    assert.same({ 1, 1 }, list(w.grad))
    assert.matches("differ", fails(function() w.grad = tide.ones(3) end))
    local y = w * 3
    y:backward(tide.tensor { 1, 10 })
    assert.same({ 4, 31 }, list(w.grad));
    (w + 1):backward(w.grad) -- handed on as it is
    assert.same({ 8, 62 }, list(w.grad))
    w:backward(w.grad)
    assert.same({ 16, 124 }, list(w.grad))
    local seed = tide.tensor { 1, 1 }
    w.grad = nil;
    (w + w):backward(seed)
    assert.same({ 2, 2 }, list(w.grad))
    assert.same({ 1, 1 }, list(seed))
    w.grad = tide.tensor { 4, 31 }
    assert.matches("it has a gradient", tide.why(w), 1, true)
    assert.matches("result of mul", tide.why(y), 1, true)
  end)
  it("come from tide.grad", function()
    local x, z = tide.tensor({ 2 }, { requires_grad = true }), tide.tensor({ 1 }, { requires_grad = true })
    local y = x ^ 3
    local g = tide.grad(y, x, { create_graph = true })[1]
    assert.same({ 12 }, list(g))
    assert.same({ 12 }, list(tide.grad({ g }, { x })[1]))
    assert.same({ 36 }, list(tide.grad({ x ^ 3 }, { x }, { grad_outputs = { tide.tensor { 3 } } })[1]))
    assert.matches("not used", fails(tide.grad, x * 1, z))
    assert.is_nil(tide.grad(x * 1, z, { allow_unused = true })[1])
  end)
  it("can be turned off", function()
    local w = tide.ones(2):requires_grad_()
    assert.is_false(tide.no_grad(function() return w * 2 end).requires_grad)
    assert.same({ 2, 1, n = 2 }, table.pack(tide.no_grad(function(a, b) return b, a end, 1, 2)))
    assert.matches("boom", fails(tide.no_grad, function() error("boom") end))
    assert.is_true(tide.is_grad_enabled())
    tide.no_grad(function()
      assert.is_false(tide.is_grad_enabled())
      assert.is_true(tide.enable_grad(function() return w * 2 end).requires_grad)
    end)
    assert.is_true(tide.set_grad_enabled(false))
    assert.is_false(tide.set_grad_enabled(true))
    assert.is_false((w * 2):detach().requires_grad)
  end)
end)

describe("custom functions", function()
  local cube = tide.custom {
    forward = function(ctx, k, x)
      ctx.x = x
      ctx.y = x * x * x * k
      return ctx.y
    end,
    backward = function(ctx, gy) return nil, gy * ctx.x * ctx.x * 6 end,
  }
  it("have the gradient that is written", function()
    local x = tide.tensor({ 1, 2 }, { requires_grad = true })
    local y = cube(2, x)
    assert.same({ 2, 16 }, list(y));
    (y * 10):sum():backward()
    assert.same({ 60, 240 }, list(x.grad))
  end)
  it("leave nothing alive", function()
    local x = tide.tensor({ 1, 2 }, { requires_grad = true })
    collectgarbage()
    collectgarbage()
    local before = tide.memory().tensors
    for _ = 1, 10 do cube(2, x) end
    for _ = 1, 10 do cube(2, x):sum():backward() end
    x.grad = nil
    collectgarbage()
    collectgarbage()
    assert.is_true(tide.memory().tensors <= before + 1) -- the stable buffer of x.grad
  end)
  it("report errors of their backward", function()
    local x = tide.ones(2):requires_grad_()
    local bad = tide.custom { forward = function(_, v) return v end, backward = function() error("boom", 0) end }
    assert.matches("[backward] boom", fails(function() bad(x):sum():backward() end), 1, true)
    bad = tide.custom { forward = function(_, v) return v end, backward = function() return 3 end }
    assert.matches("gradient 1 is a number, not a tensor", fails(function() bad(x):sum():backward() end), 1, true)
    assert.same({ 2, 2 }, list(x + 1))
  end)
end)

describe("scopes", function()
  local x = tide.ones(3)
  it("free what is not returned or kept", function()
    local inside
    local r, pair = tide.scope(function()
      inside = x + 1
      return x * 2, { x * 3 }
    end)
    assert.same({ 2, 2, 2 }, list(r))
    assert.same({ 3, 3, 3 }, list(pair[1]))
    assert.same("tensor(closed)", tostring(inside))
    local kept
    do
      local s <close> = tide.scope()
      inside = x + 1
      kept = s:keep(x + 2)
    end
    assert.same("tensor(closed)", tostring(inside))
    assert.same({ 3, 3, 3 }, list(kept))
  end)
  it("nest: what an inner one keeps belongs to the outer", function()
    local kept
    do
      local outer <close> = tide.scope() -- luacheck: ignore
      do
        local inner <close> = tide.scope()
        kept = inner:keep(x + 1)
      end
      assert.same({ 2, 2, 2 }, list(kept))
    end
    assert.same("tensor(closed)", tostring(kept))
  end)
  it("close by an error, and in any order", function()
    local inside
    fails(tide.scope, function()
      inside = x + 1
      error("e")
    end)
    assert.same("tensor(closed)", tostring(inside))
    local a, b = tide.scope(), tide.scope()
    local y = x + 1
    a:close()
    assert.same({ 2, 2, 2 }, list(y))
    b:close()
    b:close()
    assert.same("tensor(closed)", tostring(y))
    assert.same({ 2, 2, 2 }, list(x + 1))
  end)
end)

describe("the collector", function()
  for _, mode in ipairs { "incremental", "generational" } do
    it("keeps pace with tensors, " .. mode, function()
      local was = collectgarbage(mode)
      local most, ballast = 0, {} -- luacheck: ignore 241
      for i = 1, 1e5 do ballast[i] = {} end
      for _ = 1, 400 do
        local t = tide.zeros(1 << 18) + 1 -- 2 MiB a round
        assert(t)
        most = math.max(most, tide.memory().live)
      end
      collectgarbage(was)
      assert.is_true(most < 160 * 2 ^ 20, ("%.0f MiB"):format(most / 2 ^ 20))
    end)
  end
  it("runs finalizers that use tensors", function()
    local seen
    do setmetatable({}, { __gc = function() seen = (tide.ones(2) * 3):sum():item() end }) end
    collectgarbage()
    collectgarbage()
    assert.same(6.0, seen)
  end)
end)

describe("compiled steps", function()
  it("give what eager calls give", function()
    local function train(wrap)
      tide.manual_seed(7)
      local model = nn.Sequential { nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4) }
      local opt = tide.optim.Adam(model:parameters(), { lr = 0.01 })
      local step = wrap(function(x, y)
        local loss = nn.functional.cross_entropy(model(x), y)
        opt:zero_grad()
        loss:backward()
        opt:step()
        return { loss = loss }
      end)
      local losses = {}
      for i = 1, 8 do losses[i] = step(tide.randn(6, 8), ints { 0, 1, 2, 3, 0, 1 }).loss:item() end
      return losses
    end
    local before = tide.counters()
    local compiled = train(tide.compile)
    local after = tide.counters()
    assert.same(train(function(fn) return fn end), compiled)
    assert.same(6, after.launches - before.launches)
    assert.same(0, after.deopts - before.deopts)
  end)
  it("follow branches, other shapes and errors", function()
    local w = tide.ones(3)
    local mode = 0
    local step = tide.compile(function(x)
      local y = x * w
      if mode == 1 then y = y + 100 end
      if mode == 2 then error("boom") end
      return y * 2
    end)
    for _ = 1, 5 do assert.same({ 2, 2, 2 }, list(step(tide.ones(3)))) end
    mode = 1
    for _ = 1, 4 do assert.same({ 202, 202, 202 }, list(step(tide.ones(3)))) end
    mode = 2
    assert.matches("boom", fails(step, tide.ones(3)))
    mode = 0
    assert.same({ 4, 4, 4 }, list(step(tide.full({ 3 }, 2.0))))
    assert.same({ { 2, 2, 2 }, { 2, 2, 2 } }, list(step(tide.ones(2, 3))))
  end)
  it("refuse temporaries of a run that is over", function()
    local leak
    local step = tide.compile(function(x, out)
      local t = x + 1
      if out then leak = t end
      return t * 2
    end)
    for _ = 1, 4 do step(tide.ones(2)) end
    step(tide.ones(2), true)
    local ok, message = pcall(function() return leak + 1 end)
    assert.is_true(ok or message:find("temporary of a compiled step", 1, true) ~= nil)
    step(tide.zeros(2))
    ok, message = pcall(function() return leak + 1 end)
    assert.is_true(ok or message:find("temporary of a compiled step", 1, true) ~= nil)
  end)
  it("take what can be called", function()
    assert.same({ 2, 2 }, list(tide.compile(setmetatable({}, { __call = function(_, x) return x + 1 end }))(tide.ones(2))))
    assert.matches("expected a function, got number", fails(tide.compile, 3))
  end)
end)

describe("files", function()
  local path = os.tmpname()
  after_each(function() os.remove(path) end)
  it("keep every dtype", function()
    local dict = { w = tide.tensor({ { 1, 2 }, { 3, 4 } }).T, s = tide.tensor(5), e = tide.zeros(0, 3) }
    for _, d in ipairs { "float64", "float16", "bfloat16", "int64", "int32", "int8", "uint8", "bool" } do
      dict[d] = tide.tensor({ 0, 1 }, { dtype = d })
    end
    assert(tide.save(path, dict, { epoch = "3" }))
    local back, meta = tide.load(path)
    assert.same({ epoch = "3" }, meta)
    for name, t in pairs(dict) do
      assert.same({ t.dtype, t.shape, list(t) }, { back[name].dtype, back[name].shape, list(back[name]) })
      back[name] = nil
    end
    assert.is_nil(next(back))
  end)
  it("return nil, message, code when they fail", function()
    local ok, message, code = tide.load(path .. ".none")
    assert.same({ nil, "EIO" }, { ok, code })
    assert.matches("No such file", message, 1, true)
    local f = assert(io.open(path, "wb"))
    f:write("nonsense, not a file of tensors")
    f:close()
    assert.same("EFORMAT", select(3, tide.load(path)))
    assert.same("EIO", select(3, tide.save("/nonexistent/x", {})))
    assert.matches("expected a table from names to tensors", fails(tide.save, path, { tide.ones(1) }))
  end)
end)

describe("optimizers", function()
  it("have groups, options and state", function()
    local a, b = tide.ones(2):requires_grad_(), tide.ones(2):requires_grad_()
    local opt = tide.optim.AdamW({ { params = { a } }, { params = { b }, lr = 0.5 } }, { lr = 0.1 })
    assert.same({ 0.1, 0.5 }, { opt.param_groups[1].lr, opt.param_groups[2].lr });
    (a + b):sum():backward()
    opt:step()
    local saved = opt:state_dict()
    assert.same(1, saved.state[2].step)
    assert.same({ 2 }, saved.state[1].exp_avg.shape)
    opt.param_groups[1].lr = 0.2
    opt:load_state_dict(saved)
    assert.same(0.1, opt.param_groups[1].lr)
    opt:zero_grad()
    assert.is_nil(a.grad)
    assert.matches("no option 'learning_rate'", fails(tide.optim.SGD, { a }, { learning_rate = 1 }))
  end)
end)

describe("looking inside", function()
  it("shows the program of every operation that has one, and its gradient's", function()
    local names, gradients = tide._programs(), 0
    for _, name in ipairs(names) do
      local text = tide.program(name)
      assert.matches("store y0 %w+ %%%d+\n", text, name)
      local ok, gradient = pcall(tide.program, name, { grad = true })
      if ok then
        gradients = gradients + 1
        assert.matches("store y0 %w+ %%%d+\n", gradient, name)
      else
        assert.matches(name .. " has no gradient: ", gradient, 1, true)
      end
    end
    assert.is_true(#names > 80 and gradients > 50)
    -- inputs that are summed over different dims: a program each
    local both = tide.program("mul", { grad = true, inputs = { tide.ones(4, 1), tide.ones(3) } })
    assert.same(2, select(2, both:gsub("store y0", "")))
    -- what the operation runs, not what could be derived
    assert.is_nil(tide.program("softmax", { grad = true }):find("exp", 1, true))
  end)
  it("shows programs, memory and help", function()
    assert.matches("erf", tide.program("gelu"))
    assert.matches("exp", tide.program("gelu", { grad = true }))
    assert.matches("int64", tide.program("add", { inputs = { ints { 1 }, ints { 1 } } }))
    assert.matches("matmul is no program but a kernel", fails(tide.program, "matmul"))
    assert.matches("inputs: 'other' is missing", fails(tide.program, "add", { inputs = { tide.ones(2) } }))
    assert.matches("mask must be bool", fails(tide.program, "masked_fill", { inputs = { tide.ones(2), tide.ones(2), tide.tensor(1) } }))
    assert.matches("tide.sum(input, dim?, {keepdim?, dtype?})", tide.help("sum"), 1, true)
    assert.same(tide.help("sum"), tide.help(tide.sum))
    local m = tide.memory()
    assert.is_true(m.live > 0 and m.peak >= m.live and m.tensors > 0)
    assert.matches("test_binding.lua:%d+", tide.holders())
    assert.same("0.1.0", tide.version)
    assert.is_true(#tide.operations() > 50)
    for _, name in ipairs { "calls", "kernels", "programs", "launches" } do assert.same("integer", math.type(tide.counters()[name])) end
  end)
  it("is one state, however often it is loaded", function()
    local core = package.loaded["tide.core"]
    package.loaded["tide.core"] = nil
    local again = require "tide.core"
    package.loaded["tide.core"] = core
    assert.is_true(core == again)
  end)
end)

local program = os.getenv("TIDE")
describe("the program", function()
  if not program then return end
  local script = os.tmpname()
  teardown(function() os.remove(script) end)
  local function run(args, text)
    if text then
      local f = assert(io.open(script, "w"))
      f:write(text)
      f:close()
    end
    local p = assert(io.popen(("%s %s 2>&1"):format(program, args)))
    local out = p:read("a")
    local _, how, code = p:close()
    return out, code, how
  end
  it("runs scripts, code and standard input", function()
    assert.same("tensor([2., 2.])\n", (run("-e 'print(tide.ones(2) + 1)'")))
    assert.same(script .. "\ta\tb\n", (run(script .. " a b", "print(arg[0], ...)")))
    assert.same("in\n", (run("- < " .. script, "print 'in'")))
    assert.same("2\n", (run("-i < " .. script, "=1+1\n")))
    assert.same("0.1.0\n", (run("-l tide -e 'print(tide.version)'")))
  end)
  it("ends with lua's exit codes", function()
    local out, code = run(script, "error 'bad'")
    assert.same(1, code)
    assert.matches(":1: bad\nstack traceback:", out, 1, true)
    assert.same(3, select(2, run("-e 'os.exit(3)'")))
    assert.same(4, select(2, run("-e 'os.exit(4, true)'")))
    assert.same(1, select(2, run("/nonexistent.lua")))
    assert.same(1, select(2, run("--wrong")))
  end)
  it("says what it is made of", function()
    local out = run("--version")
    assert.matches("^Tide 0%.1%.0  Lua 5%.4", out)
    assert.matches("instruction set: %w+\nthreads: %d+", out)
    assert.matches("usage: tide", (run("--help")), 1, true)
  end)
  it("stops at SIGINT, in Lua and in a tensor operation", function()
    local busy = [[local tide = require "tide"
      io.popen("sleep 0.3; kill -INT " .. io.open("/proc/self/stat"):read("n"))
      local a = tide.ones(500, 500)
      %s]]
    for _, loop in ipairs { "while true do end", "coroutine.wrap(function() while true do a:matmul(a) end end)()" } do
      local out, code = run(script, busy:format(loop))
      assert.same(1, code)
      assert.is_true(out:find("interrupted") ~= nil or out:find("cancel") ~= nil, out)
    end
  end)
  it("refuses finalizers that run after the context has gone", function()
    local out, code = run(script, [[first = setmetatable({}, { __gc = function()
        for _, name in ipairs { "memory", "counters", "holders", "ones", "parts", "_storages", "_draw_seed" } do
          local ok, text = pcall(tide[name], 2)
          print(ok, text)
        end
      end })
      tide = require "tide"]])
    assert.same(0, code)
    assert.same(7, select(2, out:gsub("false\ttide: the Lua state is closing", "")))
  end)
  it("keeps a black box of the last operations and their lines when it is killed, also in compiled steps", function()
    local box, said = os.tmpname(), os.tmpname()
    for _, how in ipairs { "(%s)", "tide.compile(%s)" } do
      local f = assert(io.open(script, "w"))
      f:write([[local tide = require "tide"
        local x, w = tide.rand(4, 8), tide.rand(8, 8)
        local step = ]], how:format [[function(x)
          local h = x:matmul(w)
          return h:tanh()
        end]], [[

        for i = 1, math.huge do
          x = step(x)
          if i == 1000 then print "now" io.stdout:flush() end
        end]])
      f:close()
      os.execute(([[
        TIDE_BLACKBOX=%s %s %s >%s &
        until grep -q now %s; do sleep 0.05; done
        kill -9 $!
        wait $! 2>/dev/null]]):format(box, program, script, said, said))
      local lines, out = {}, run("blackbox " .. box)
      for line in out:gmatch "[^\n]+" do lines[#lines + 1] = line end
      assert.is_true(#lines > 1000, out)
      local odd = lines[#lines]:find("matmul", 1, true) and 1 or 0 -- which of the two was the last
      for i = #lines - 99, #lines do
        local want = (#lines - i + odd) % 2 == 1 and " matmul (4,8) float32 (8,8) float32  %s:4 " or " tanh (4,8) float32  %s:5 "
        assert.matches(want:format(script), lines[i], 1, true)
      end
    end
    os.remove(said)
    os.remove(box)
  end)
  it("keeps a black box that outlives it", function()
    local box = os.tmpname()
    os.remove(box)
    local kill = "local tide = require 'tide'; local x = tide.ones(3) + 1; os.execute('kill -9 ' .. io.open('/proc/self/stat'):read('n'))"
    local f = assert(io.open(script, "w"))
    f:write(kill)
    f:close()
    os.execute(("TIDE_BLACKBOX=%s %s %s 2>/dev/null"):format(box, program, script))
    local out = run("blackbox " .. box)
    assert.matches("add (3) float32", out, 1, true)
    os.remove(box)
    os.execute(("TIDE_BLACKBOX=%s %s -e 'os.exit(0)' 2>/dev/null"):format(box, program))
    assert.is_nil(io.open(box)) -- a clean end leaves none
    assert.matches("is no black box", (run("blackbox " .. script)), 1, true)
  end)
end)
