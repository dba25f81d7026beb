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
