-- Initial values, and small parts of nn that no recorded run goes through.
local tide = require "tide"
local nn, F = tide.nn, tide.nn.functional

describe("nn.init", function()
  before_each(function() tide.manual_seed(3) end)
  local function close(want, got) assert(math.abs(want - got) < 0.05 * want, ("%g, not %g"):format(got, want)) end

  it("fills with constants", function()
    local w = tide.zeros(2, 3)
    nn.init.constant_(w, 2.5)
    assert.equal(15.0, w:sum():item())
    nn.init.ones_(w)
    assert.equal(6.0, w:sum():item())
    nn.init.zeros_(w)
    assert.equal(0.0, w:abs():sum():item())
  end)

  it("draws within bounds, with the spread that the formulas give", function()
    local w = tide.zeros(300, 200)
    nn.init.uniform_(w, -2, 4)
    assert(w:amin():item() >= -2 and w:amax():item() < 4)
    close(1.0, w:mean():item())
    nn.init.normal_(w, 5, 3)
    close(5, w:mean():item())
    close(3, w:std():item())
    nn.init.xavier_uniform_(w)
    local bound = math.sqrt(6 / 500)
    assert(w:abs():amax():item() <= bound)
    close(bound / math.sqrt(3), w:std():item())
    nn.init.xavier_normal_(w)
    close(math.sqrt(2 / 500), w:std():item())
    nn.init.kaiming_uniform_(w, { nonlinearity = "relu" })
    assert(w:abs():amax():item() <= math.sqrt(6 / 200))
    nn.init.kaiming_normal_(w, { nonlinearity = "relu" })
    close(math.sqrt(2 / 200), w:std():item())
  end)
end)

describe("nn", function()
  it("softmin is the softmax of the negative", function()
    local x = tide.tensor { 1, 2, 4 }
    assert.same(tide.softmax(-x, 1):tolist(), F.softmin(x, 1):tolist())
  end)

  it("Unflatten parts a dim", function()
    local y = nn.Unflatten(2, { 2, 3 })(tide.arange(12):reshape(2, 6))
    assert.same({ 2, 2, 3 }, y.shape)
  end)

  it("Dropout1d and Dropout3d drop whole channels", function()
    tide.manual_seed(1)
    for _, case in ipairs { { nn.Dropout1d(0.5), { 4, 16, 5 } }, { nn.Dropout3d(0.5), { 4, 16, 2, 2, 2 } } } do
      local y = case[1](tide.ones(case[2])):reshape(64, -1)
      local least, most = y:amin(2), y:amax(2)
      assert.equal(64, least:eq(most):sum():item())
      local kept = most:gt(0):sum():item()
      assert(kept > 10 and kept < 54)
      assert.equal(2.0, y:amax():item())
    end
  end)

  it("adaptive_max_pool1d and 3d take the largest of each part", function()
    assert.same({ { { 2.0, 5.0 } } }, F.adaptive_max_pool1d(tide.arange(6):float():reshape(1, 1, 6), 2):tolist()) -- the halves
    assert.equal(7.0, F.adaptive_max_pool3d(tide.arange(8):float():reshape(1, 1, 2, 2, 2), 1):item())
  end)

  it("modules list what is registered", function()
    local m = nn.Module:extend "Registered"()
    m:register_parameter("w", tide.ones(2):requires_grad_())
    m:register_buffer("count", tide.zeros(1))
    m.parts = nn.ModuleList { nn.Linear(2, 2), nn.Linear(2, 2) }
    assert.equal(5, #m:parameters())
    local names, buffers = {}, {}
    for name in m:named_modules() do names[#names + 1] = name end
    for name in m:named_buffers() do buffers[#buffers + 1] = name end
    assert.same({ "", "parts", "parts.0", "parts.1" }, names)
    assert.same({ "count" }, buffers)
  end)
end)

describe("small doors", function()
  it("nn.Parameter requires a gradient; default_ stays within 1/sqrt(fan in)", function()
    local w = nn.Parameter(tide.zeros(50, 16))
    assert.is_true(w.requires_grad)
    nn.init.default_(w)
    local most = w:abs():amax():item()
    assert(most <= 0.25 and most > 0.2)
  end)

  it("after_step runs after each step", function()
    local w, seen = tide.ones(1):requires_grad_(), {}
    local opt = tide.optim.SGD({ w }, { lr = 0.5 })
    opt:after_step(function(o) seen[#seen + 1] = { o == opt, w:item() } end)
    w:sum():backward()
    opt:step()
    opt:step()
    assert.same({ { true, 0.5 }, { true, 0.0 } }, seen)
    assert.has_error(function() opt:after_step(1) end)
  end)

  it("index_put_ writes in place", function()
    local x = tide.zeros(3)
    x:index_put_({ tide.tensor({ 2, 0 }, { dtype = "int64" }) }, tide.tensor { 5, 6 })
    assert.same({ 6.0, 0.0, 5.0 }, x:tolist())
  end)

  it("datasets of tensors and of samples", function()
    local d = tide.data.TensorDataset(tide.arange(4), tide.arange(4) * 10)
    assert.equal(4, #d)
    assert.same({ 2, 20 }, { d:get(3)[1]:item(), d:get(3)[2]:item() })
    assert.equal("b", tide.data.List({ "a", "b" }):get(2))
  end)

  it("idx reads the format of MNIST's files", function()
    local path = os.tmpname()
    local f <close> = assert(io.open(path, "wb"))
    f:write("\0\0\8\2", (">I4I4"):pack(2, 3), "\1\2\3\4\5\6")
    f:close()
    assert.same({ { 1, 2, 3 }, { 4, 5, 6 } }, tide.data.idx(path):tolist())
    os.remove(path)
  end)

  it("global_channels ranks the channels of several tensors together; Mask multiplies", function()
    local a, b = tide.tensor { { 1, 1 }, { 5, 5 } }, tide.tensor { { 2, 2 }, { 9, 9 } }
    local kept = tide.prune.global_channels({ a, b }, { 1, 1 }, 0.5)
    assert.same({ { 0.0, 1.0 }, { 0.0, 1.0 } }, { kept[1]:tolist(), kept[2]:tolist() })
    assert.same({ 0.0, 2.0 }, tide.prune.Mask(tide.tensor { 0, 1 })(tide.tensor { 3, 2 }):tolist())
  end)
end)
