--- The order in which a loader takes rows: sampler:order(seed, pass) gives row numbers (int64, counted from 0) that these two
-- fix, #sampler how many. A sampler of your own is a table with these two.
local tide = require "tide.core"
local expect = require("tide.arguments").one
local with_options = require "tide.options"
local M = {}

-- f() with tide's generator seeded for it alone.
local restore = { __close = function(was) tide._random_state(was[1], was[2]) end }
local function seeded(seed, f)
  local _ <close> = setmetatable({ tide._random_state() }, restore)
  tide._random_state(seed, 0)
  local result = f()
  return result
end
M.seeded = seeded

local function mixed(seed, pass) return seed * 1000003 + pass end

local function class(name, make)
  local Sampler = { __name = "tide.data." .. name }
  Sampler.__index = Sampler
  function Sampler:__len() return self.n end
  M[name] = setmetatable(Sampler, { __call = function(_, ...) return setmetatable(make(...), Sampler) end })
  return Sampler
end

local function count(n, name) return expect("count", name, "n", n) end

--- SequentialSampler(n): 0 .. n-1.
local Sequential = class("SequentialSampler", function(n) return { n = count(n, "SequentialSampler") } end)
--- The rows of a pass, int64: 0, 1, ...
function Sequential:order() return tide.arange(self.n) end

--- RandomSampler(n): another permutation each pass.
local Random = class("RandomSampler", function(n) return { n = count(n, "RandomSampler") } end)
--- The rows of a pass, int64, in an order that seed and pass fix.
function Random:order(seed, pass) return tide._permutation(self.n, mixed(seed, pass)) end

--- WeightedRandomSampler(weights, n, replacement = true): n rows, drawn in proportion to their weights (a sequence or a
-- tensor; not negative). Without replacement: Efraimidis and Spirakis, Weighted random sampling with a reservoir, 2006.
local Weighted = class("WeightedRandomSampler", function(weights, n, replacement)
  expect("tensor|table", "WeightedRandomSampler", "weights", weights)
  local w = tide.is_tensor(weights) and weights:to("float64") or tide.tensor(weights, { dtype = "float64" })
  local total = w:sum():item()
  if w.ndim ~= 1 or w:amin():item() < 0 or not (total > 0 and total < math.huge) then
    tide._fail("WeightedRandomSampler: weights must be a list of finite numbers, none negative, some positive")
  end
  count(n, "WeightedRandomSampler")
  if replacement == false and n > w:gt(0.0):sum():item() then
    tide._fail(("WeightedRandomSampler: %d rows without replacement, but fewer have a weight"):format(n))
  end
  return { n = n, weights = w, replacement = replacement ~= false }
end)
--- The rows of a pass, int64, as seed and pass draw them.
function Weighted:order(seed, pass)
  return seeded(mixed(seed, pass), function()
    if not self.replacement then
      local u = 1.0 - tide.rand({ self.weights:numel() }, { dtype = "float64" })
      return (u:log() / self.weights):argsort(1, { descending = true }):narrow(1, 1, self.n)
    end
    local upto, out = self.weights:cumsum(1):tolist(), {}
    local m = #upto
    while m > 1 and upto[m - 1] == upto[m] do m = m - 1 end -- the last that has a weight
    for i, u in ipairs(tide.rand({ self.n }, { dtype = "float64" }):tolist()) do
      local x, low, high = u * upto[m], 1, m
      while low < high do -- the first whose sum is greater than x
        local middle = (low + high) // 2
        if upto[middle] > x then high = middle else low = middle + 1 end
      end
      out[i] = low - 1
    end
    return self.n > 0 and tide.tensor(out, { dtype = "int64" }) or tide.zeros({ 0 }, { dtype = "int64" })
  end)
end

--- DistributedSampler(n, {ranks, rank (from 1), shuffle = true, drop_last = false}): every rank a part of equal size; rows
-- that are missing to that are taken again from the beginning, or with drop_last the last rows are left out. All ranks need
-- the same seed.
local Distributed = class("DistributedSampler", function(n, options)
  count(n, "DistributedSampler")
  options = with_options("DistributedSampler", options, "ranks:positive rank:positive shuffle:boolean drop_last:boolean")
  local ranks, rank = options.ranks, options.rank
  if not (ranks and rank and rank <= ranks) then
    tide._fail("DistributedSampler: rank must be an integer within 1 and ranks")
  end
  return { rows = n, n = options.drop_last and n // ranks or (n + ranks - 1) // ranks, ranks = ranks, rank = rank,
    shuffle = options.shuffle ~= false }
end)
--- This rank's rows of a pass, int64, in an order that seed and pass fix.
function Distributed:order(seed, pass)
  local all = self.shuffle and tide._permutation(self.rows, mixed(seed, pass)) or tide.arange(self.rows)
  local places = tide.arange(self.n) * self.ranks + (self.rank - 1)
  return all:index_select(1, places % math.max(self.rows, 1))
end

return M
