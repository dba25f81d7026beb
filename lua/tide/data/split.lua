--- Rows dealt out for training and testing. Everything is fixed by the seed; row numbers are int64 tensors counted from 0,
-- as index_select and Table:take read them.
local tide = require "tide.core"
local expect = require("tide.arguments").one
local with_options = require "tide.options"
local M = {}

-- Row numbers 0 .. n-1, shuffled or not.
local function order_of(n, options)
  if options.shuffle == false then return tide.arange(n):tolist() end
  return tide._permutation(n, expect("integer", "split", "seed", options.seed or 0)):tolist()
end

-- The rows of `order` by the value of their label, and the values in a fixed order.
local function groups_of(order, labels)
  local groups, keys = {}, {}
  for _, row in ipairs(order) do
    local key = labels[row + 1]
    if not groups[key] then
      groups[key] = {}
      keys[#keys + 1] = key
    end
    table.insert(groups[key], row)
  end
  table.sort(keys, function(a, b)
    if type(a) == "number" and type(b) == "number" then return a < b end
    return tostring(a) < tostring(b)
  end)
  return groups, keys
end

local function tensor(list) return #list > 0 and tide.tensor(list, { dtype = "int64" }) or tide.zeros({ 0 }, { dtype = "int64" }) end

--- Two sets of row numbers: `fraction` of n rows, and the rest. options: seed (0), shuffle (true), stratify (a sequence of
-- n labels, or a tensor: their shares are kept in both parts; counts are rounded by largest remainder).
function M.rows(n, fraction, options)
  options = options or {}
  expect("number", "split", "fraction", fraction)
  if not (fraction >= 0 and fraction <= 1) then tide._fail("split: the fraction must lie within 0 and 1") end
  local order, first, second = order_of(n, options), {}, {}
  local want = math.floor(n * fraction + 0.5)
  if not options.stratify then
    for i, row in ipairs(order) do table.insert(i <= want and first or second, row) end
    return tensor(first), tensor(second)
  end
  local labels = tide.is_tensor(options.stratify) and options.stratify:tolist() or options.stratify
  if #labels ~= n then tide._fail(("split: %d labels for %d rows"):format(#labels, n)) end
  local groups, keys = groups_of(order, labels)
  local take, rest, left = {}, {}, want
  for i, key in ipairs(keys) do
    local exact = #groups[key] * fraction
    take[key] = math.floor(exact)
    left = left - take[key]
    rest[i] = { key = key, remainder = exact - take[key], place = i }
  end
  table.sort(rest, function(a, b)
    return a.remainder > b.remainder or (a.remainder == b.remainder and a.place < b.place)
  end)
  for i = 1, left do take[rest[i].key] = take[rest[i].key] + 1 end
  local seen = {}
  for _, row in ipairs(order) do
    local key = labels[row + 1]
    seen[key] = (seen[key] or 0) + 1
    table.insert(seen[key] <= take[key] and first or second, row)
  end
  return tensor(first), tensor(second)
end

local function pick(x, rows)
  if tide.is_tensor(x) then return x:index_select(1, rows) end
  if x.take then return x:take(rows) end
  local list = {}
  for i, row in ipairs(rows:tolist()) do list[i] = x[row + 1] end
  return list
end

--- train_test_split(x, y, ..., options): tensors, tables of data or sequences of equal length, each split in two; returns
-- x_train, x_test, y_train, y_test, ... options: test_size (0.25, a share), seed (0), shuffle (true), stratify (labels).
function M.train_test_split(...)
  local list = table.pack(...)
  for i = 1, list.n do expect("tensor|table", "train_test_split", "argument " .. i, list[i]) end
  local function data(x) return tide.is_tensor(x) or getmetatable(x) or #x > 0 end
  local options = {}
  if list.n > 0 and not data(list[list.n]) then
    options = with_options("train_test_split", list[list.n], "test_size seed shuffle stratify")
    list.n = list.n - 1
  end
  if list.n == 0 then tide._fail("train_test_split: nothing to split") end
  local function rows(x) return tide.is_tensor(x) and x.shape[1] or #x end
  local n = rows(list[1])
  for i = 2, list.n do
    if rows(list[i]) ~= n then tide._fail(("train_test_split: argument %d has %d rows, the first %d"):format(i, rows(list[i]), n)) end
  end
  local train, test = M.rows(n, 1 - (options.test_size or 0.25), options)
  local out = {}
  for i = 1, list.n do
    out[2 * i - 1], out[2 * i] = pick(list[i], train), pick(list[i], test)
  end
  return table.unpack(out, 1, 2 * list.n)
end

-- Iterates over the folds that the numbers 1 .. k in fold_of make: i, train rows, test rows.
local function folds(self)
  local i = self.resume or 0
  self.resume = nil
  return function()
    if i >= self.k then return nil end
    i = i + 1
    self.fold = i
    local train, test = {}, {}
    for _, row in ipairs(self.order) do table.insert(self.fold_of[row] == i and test or train, row) end
    return i, tensor(train), tensor(test)
  end
end

local Folds = { __name = "tide.data.KFold", iterate = folds }
Folds.__index = Folds
-- A generic for calls the object itself; its control value is nil at the start.
function Folds:__call(_, control)
  if control == nil then self.current = folds(self) end
  return self.current()
end
function Folds:__len() return self.k end
--- How far a loop over the folds has come: a new one after load_state_dict goes on with the next fold.
function Folds:state_dict()
  return { fold = self.fold, seed = self.seed, k = self.k, rows = #self.order, shuffle = self.shuffle }
end
--- Goes on behind the fold of a state_dict; errors: folds of other rows, seeds or options. -> the folds
function Folds:load_state_dict(dict)
  for key, mine in pairs { seed = self.seed, k = self.k, rows = #self.order, shuffle = self.shuffle } do
    if dict[key] ~= mine then tide._fail(("KFold: the state has %s %s, these folds %s"):format(key, tostring(dict[key]), tostring(mine))) end
  end
  self.fold, self.resume = dict.fold, dict.fold
  return self
end

local function make(n, k, options)
  expect("integer", "KFold", "n", n)
  if math.type(k) ~= "integer" or k < 2 or k > n then tide._fail(("KFold: %d rows cannot make %s folds"):format(n, tostring(k))) end
  return setmetatable({ k = k, order = order_of(n, options), fold_of = {}, fold = 0, seed = options.seed or 0,
    shuffle = options.shuffle ~= false }, Folds)
end

--- for i, train, test in tide.data.KFold(n, k, options) do ... end: every row is tested once. Folds differ by at most one
-- row. options: seed (0), shuffle (true).
function M.KFold(n, k, options)
  local self = make(n, k, with_options("KFold", options, "seed shuffle"))
  local size, extra, at = n // k, n % k, 0
  for fold = 1, k do
    for _ = 1, size + (fold <= extra and 1 or 0) do
      at = at + 1
      self.fold_of[self.order[at]] = fold
    end
  end
  return self
end

--- StratifiedKFold(labels, k, options): as KFold; each label's rows are spread over the folds, whose counts of it differ by
-- at most one. labels: a sequence or a tensor.
function M.StratifiedKFold(labels, k, options)
  if tide.is_tensor(labels) then labels = labels:tolist() end
  local self = make(#expect("table", "StratifiedKFold", "labels", labels), k, with_options("StratifiedKFold", options, "seed shuffle"))
  local groups, keys = groups_of(self.order, labels)
  local fold = 0
  for _, key in ipairs(keys) do -- each goes on where the last ended, so that the folds' sizes stay equal too
    for _, row in ipairs(groups[key]) do
      self.fold_of[row] = fold % k + 1
      fold = fold + 1
    end
  end
  return self
end

return M
