--- Rows dealt out for training and testing. Everything is fixed by the seed; row numbers are int64 tensors counted from 0,
-- as index_select and Table:take read them.
local tide = require "tide.core"
local expect = require("tide.arguments").one
local with_options = require "tide.options"
local columns = require "tide.data.column"
local group = require "tide.data.group"
local same_state = require "tide.data.state"
local M = {}

-- Row numbers 0 .. n-1, shuffled or not.
local function order_of(n, options)
  if options.shuffle == false then return tide.arange(n):tolist() end
  return tide._permutation(n, expect("integer", "split", "seed", options.seed or 0)):tolist()
end

-- Of every row the number of its label (of a column, a sequence or a 1-d tensor) in their order, from 1; missing cells are one too.
local function numbered(labels, name)
  expect("table|tensor", name, "labels", labels)
  if tide.is_tensor(labels) and labels.ndim ~= 1 then tide._fail(("%s: expected one label a row, got a tensor of %d dims"):format(name, labels.ndim)) end
  local ids, n = group.number_rows { columns.of("labels", labels) }
  return (ids + 1):tolist(), n
end

-- The rows of `order` by the number of their label.
local function groups_of(order, labels, n)
  local groups = {}
  for label = 1, n do groups[label] = {} end
  for _, row in ipairs(order) do table.insert(groups[labels[row + 1]], row) end
  return groups
end

local function tensor(list) return #list > 0 and tide.tensor(list, { dtype = "int64" }) or tide.zeros({ 0 }, { dtype = "int64" }) end

--- Two sets of row numbers: `fraction` of n rows, and the rest. options: seed (0), shuffle (true), stratify (n labels,
-- a sequence, a 1-d tensor or a table's column: their shares are kept in both parts; counts are rounded by largest remainder).
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
  local labels, count = numbered(options.stratify, "split")
  if #labels ~= n then tide._fail(("split: %d labels for %d rows"):format(#labels, n)) end
  local take, rest, left = {}, {}, want
  for label, rows in ipairs(groups_of(order, labels, count)) do
    local exact = #rows * fraction
    take[label] = math.floor(exact)
    left = left - take[label]
    rest[label] = { label = label, remainder = exact - take[label] }
  end
  table.sort(rest, function(a, b)
    return a.remainder > b.remainder or (a.remainder == b.remainder and a.label < b.label)
  end)
  for i = 1, left do take[rest[i].label] = take[rest[i].label] + 1 end
  local seen = {}
  for _, row in ipairs(order) do
    local label = labels[row + 1]
    seen[label] = (seen[label] or 0) + 1
    table.insert(seen[label] <= take[label] and first or second, row)
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
    options = with_options("train_test_split", list[list.n], "test_size:number seed:integer shuffle:boolean stratify:table|tensor")
    list.n = list.n - 1
  end
  if list.n == 0 then tide._fail("train_test_split: nothing to split") end
  local function rows(x) return tide.is_tensor(x) and (x.shape[1] or tide._fail("train_test_split: a tensor without rows")) or #x end
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

local Folds = { __name = "tide.data.KFold" }
Folds.__index = Folds
-- Where a loop begins: at the first fold, or once after the one that was loaded.
local function begin(self)
  local i = self.resume or 0
  self.resume = nil
  return i
end
local function nth(self, i)
  if i > self.k then return nil end
  self.fold = i
  local train, test = {}, {}
  for _, row in ipairs(self.order) do table.insert(self.fold_of[row] == i and test or train, row) end
  return i, tensor(train), tensor(test)
end
-- A generic for calls the object itself with the fold before, nil at the start.
function Folds:__call(_, before) return nth(self, (before or begin(self)) + 1) end
--- An iterator over the folds: i, train rows, test rows.
function Folds:iterate()
  local i = begin(self)
  return function()
    i = i + 1
    return nth(self, i)
  end
end
function Folds:__len() return self.k end
--- How far a loop over the folds has come: a new one after load_state_dict goes on with the next fold.
function Folds:state_dict()
  return { fold = self.fold, seed = self.seed, k = self.k, rows = #self.order, shuffle = self.shuffle }
end
--- Goes on behind the fold of a state_dict; errors: folds of other rows, seeds or options. -> the folds
function Folds:load_state_dict(dict)
  same_state("KFold", dict, { seed = self.seed, k = self.k, rows = #self.order, shuffle = self.shuffle })
  self.fold = expect("count", "KFold", "state.fold", dict.fold)
  self.resume = self.fold
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
  local self = make(n, k, with_options("KFold", options, "seed:integer shuffle:boolean"))
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
-- at most one. labels: a sequence, a 1-d tensor or a table's column.
function M.StratifiedKFold(labels, k, options)
  local numbers, count = numbered(labels, "StratifiedKFold")
  local self = make(#numbers, k, with_options("StratifiedKFold", options, "seed:integer shuffle:boolean"))
  local fold = 0
  for _, rows in ipairs(groups_of(self.order, numbers, count)) do -- each goes on where the last ended, so that the folds' sizes stay equal too
    for _, row in ipairs(rows) do
      self.fold_of[row] = fold % k + 1
      fold = fold + 1
    end
  end
  return self
end

return M
