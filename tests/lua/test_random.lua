-- Moments and distributions of rand, randn and dropout. The seeds are fixed: bounds of one in a thousand do not flicker.
-- Philox itself has its known answers in tests/c/test_base.c.
local tide = require "tide"
local F = tide.nn.functional
local n = 1 << 18

-- |a sample's mean - expected| in standard errors
local function errors(x, mean, var) return math.abs(x:double():mean():item() - mean) / math.sqrt(var / x:numel()) end

-- Kolmogorov and Smirnov: sqrt(n) times the largest distance from a distribution whose values at x are `uniform`
local function distance(uniform)
  local u = tide.sort(uniform:double())
  local i = tide.arange(u:numel(), { dtype = "float64" })
  local size = u:numel()
  local above, below = ((i + 1) / size - u):amax():item(), (u - i / size):amax():item()
  return math.sqrt(size) * math.max(above, below)
end

-- Chi squared of neighbouring pairs over 16 x 16 cells, in standard deviations from what 255 degrees of freedom expect
local function pairs_chi(uniform)
  local cell = (uniform:double() * 16):floor():reshape(-1, 2)
  local which = (cell:select(2, 1) * 16 + cell:select(2, 2)):long()
  local counts = tide.zeros(256, { dtype = "float64" }):index_add(1, which, tide.ones(which:numel(), { dtype = "float64" }))
  local expected = which:numel() / 256
  return (((counts - expected) ^ 2 / expected):sum():item() - 255) / math.sqrt(2 * 255)
end

local function normal_cdf(x) return (tide.erf(x:double() / math.sqrt(2)) + 1) / 2 end

describe("random numbers", function()
  for _, dtype in ipairs { "float32", "float64" } do
    it("of rand are uniform, " .. dtype, function()
      tide.manual_seed(11)
      local x = tide.rand(n, { dtype = dtype })
      assert.is_true(x:amin():item() >= 0 and x:amax():item() < 1)
      assert.is_true(errors(x, 1 / 2, 1 / 12) < 3.3)
      assert.is_true(errors((x - 0.5) ^ 2, 1 / 12, 1 / 180) < 3.3)
      assert.is_true(distance(x) < 1.95)
      assert.is_true(math.abs(pairs_chi(x)) < 3.3)
    end)
    it("of randn are normal, " .. dtype, function()
      tide.manual_seed(12)
      local x = tide.randn(n, { dtype = dtype })
      assert.is_true(errors(x, 0, 1) < 3.3)
      assert.is_true(errors(x ^ 2, 1, 2) < 3.3)
      assert.is_true(errors(x ^ 3, 0, 15) < 3.3)
      assert.is_true(errors(x ^ 4, 3, 96) < 3.3)
      local u = normal_cdf(x)
      assert.is_true(distance(u) < 1.95)
      assert.is_true(math.abs(pairs_chi(u)) < 3.3)
      assert.is_true(x:abs():amax():item() > 4) -- the tails are there
    end)
  end
  it("of the short floats are as even as they can be, and never 1", function()
    for _, dtype in ipairs { "float16", "bfloat16" } do
      tide.manual_seed(13)
      local x, steps = tide.rand(n, { dtype = dtype }), dtype == "float16" and 2048 or 256
      assert.is_true(errors(x:double() + 0.5 / steps, 1 / 2, 1 / 12) < 3.3, dtype)
      assert.is_true(x:amin():item() >= 0 and x:amax():item() < 1, dtype)
      assert.is_true(distance(x:double() + tide.rand(n, { dtype = "float64" }) / steps) < 1.95, dtype)
      local y = tide.randn(n, { dtype = dtype })
      assert.is_true(errors(y, 0, 1) < 3.3 and errors(y:double() ^ 2, 1, 2) < 3.3, dtype)
    end
  end)
  it("of two calls, and of two seeds, have nothing in common", function()
    tide.manual_seed(14)
    local a, b = tide.randn(n), tide.randn(n)
    tide.manual_seed(15)
    local c = tide.randn(n)
    for _, product in ipairs { a * b, a * c, b * c } do assert.is_true(errors(product, 0, 1) < 3.3) end
    tide.manual_seed(14)
    assert.same(n, a:eq(tide.randn(n)):sum():item())
  end)
  it("of dropout keep a share of 1 - p, scaled by its inverse", function()
    tide.manual_seed(16)
    local x = tide.ones(n)
    for _, p in ipairs { 0.1, 0.25, 0.5, 0.9 } do
      local y = F.dropout(x, { p = p })
      local kept = y:ne(0)
      assert.is_true(errors(kept, 1 - p, p * (1 - p)) < 3.3, p)
      assert.is_true(errors(y, 1, p / (1 - p)) < 3.3, p)
      assert.is_true(((y - 1 / (1 - p)):abs():lt(1e-5):eq(kept)):sum():item() == n)
      local pair = kept:double():reshape(-1, 2)
      assert.is_true(errors(pair:select(2, 1) * pair:select(2, 2), (1 - p) ^ 2, (1 - p) ^ 2 * (1 - (1 - p) ^ 2)) < 3.3, p)
    end
    assert.same(n, F.dropout(x, { p = 0 }):sum():item())
    assert.same(0, F.dropout(x, { p = 1 }):sum():item())
    assert.same(n, F.dropout(x, { training = false }):sum():item())
  end)
  it("of randperm put every number at every place", function()
    tide.manual_seed(17)
    local size, rounds = 8, 4000
    local counts = tide.zeros(size * size, { dtype = "float64" })
    local ones = tide.ones(size, { dtype = "float64" })
    for _ = 1, rounds do counts:index_add_(1, tide.randperm(size) + tide.arange(size) * size, ones) end
    local expected = rounds / size
    local chi = ((counts - expected) ^ 2 / expected):sum():item()
    local freedom = (size - 1) ^ 2
    assert.is_true(math.abs(chi - freedom) / math.sqrt(2 * freedom) < 3.3, chi)
  end)
end)
