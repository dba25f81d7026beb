-- Measures against the values of scikit-learn's documentation, and against counting by hand.
local tide = require "tide"
local M = tide.metrics

local function ints(...) return tide.tensor({ ... }, { dtype = "int64" }) end
local function close(want, got) assert(math.abs(want - got) < 1e-12, ("%.17g instead of %.17g"):format(got, want)) end
local function fails(pattern, fn, ...)
  local ok, message = pcall(fn, ...)
  assert.is_false(ok)
  assert.is_nil(message:find("/lua/tide/", 1, true), message) -- the user's line
  assert.matches(pattern, message, 1, true)
end

describe("classification", function()
  local p, t = ints(0, 2, 1, 0, 0, 1), ints(0, 1, 2, 0, 1, 2)
  it("averages as scikit-learn does", function()
    close(1 / 3, M.accuracy(p, t))
    close(2 / 9, M.precision(p, t, { average = "macro" }))
    close(1 / 3, M.precision(p, t, { average = "micro" }))
    close(2 / 9, M.precision(p, t, { average = "weighted" }))
    assert.are.same({ 2 / 3, 0.0, 0.0 }, M.precision(p, t, { average = "none" }))
    close(1 / 3, M.recall(p, t))
    assert.are.same({ 1.0, 0.0, 0.0 }, M.recall(p, t, { average = "none" }))
    close(0.8 / 3, M.f1(p, t))
    close(1 / 3, M.f1(p, t, { average = "micro" }))
    assert.are.same({ 0.8, 0.0, 0.0 }, M.f1(p, t, { average = "none" }))
  end)
  it("of one class of two", function()
    local q, u = ints(0, 1, 0, 0, 1), ints(0, 1, 1, 0, 0)
    close(0.5, M.precision(q, u, { average = "binary" }))
    close(0.5, M.recall(q, u, { average = "binary" }))
    close(2 / 3, M.recall(q, u, { average = "binary", positive = 0 }))
    close(0.6, M.accuracy(tide.tensor { 0.1, 0.7, 0.5, 0.2, 0.9 }, u)) -- probabilities of class 1
    close(0.6, M.accuracy(q, u:ne(0)))
  end)
  it("counts pairs of classes", function()
    assert.are.same({ { 2, 0, 0 }, { 0, 0, 1 }, { 1, 0, 2 } }, M.confusion_matrix(ints(0, 0, 2, 2, 0, 2), ints(2, 0, 2, 2, 0, 1)):tolist())
    assert.are.same({ 4, 4 }, M.confusion_matrix(p, t, { num_classes = 4 }).shape)
    close(2 / 9, M.precision(p, t, { num_classes = 7 })) -- classes that never occur do not count
  end)
  it("takes scores, also over batches", function()
    tide.manual_seed(1)
    local scores, y = tide.randn(60, 4, 3), tide.randperm(180):remainder(4):reshape(60, 3)
    local all, parts = M.confusion_matrix(scores, y), M.Classification(4)
    for i = 1, 60, 20 do parts:update(scores:narrow(1, i, 20), y:narrow(1, i, 20)) end
    assert.are.same(all:tolist(), parts:matrix():tolist())
    close(M.accuracy(scores, y), parts:accuracy())
    close(M.f1(scores, y, { average = "weighted" }), parts:f1 { average = "weighted" })
    parts:reset()
    assert.are.equal(0, parts:matrix():sum():item())
  end)
  it("looks among the best k", function()
    local scores = tide.tensor { { 0.5, 0.2, 0.2 }, { 0.3, 0.4, 0.2 }, { 0.2, 0.4, 0.3 }, { 0.7, 0.2, 0.1 } }
    close(0.75, M.top_k(scores, ints(0, 1, 2, 2), 2))
    close(0.5, M.top_k(scores, ints(0, 1, 2, 2), 1))
    close(1.0, M.top_k(scores, ints(0, 1, 2, 2), 3))
  end)
  it("refuses what does not fit", function()
    fails("[metrics.accuracy] predictions of shape (2) do not fit targets of shape (3)", M.accuracy, ints(1, 2), ints(1, 2, 3))
    fails("a prediction of 3 for 3 classes", M.confusion_matrix, ints(3), ints(1), { num_classes = 3 })
    fails("average is", M.f1, p, t, { average = "mikro" })
    fails("expected a table of options, not a boolean", M.f1, p, t, true)
    fails("class numbers are integers", M.accuracy, tide.tensor { 0, 1, 2 }, tide.tensor { 0, 1, 2 })
    fails("class numbers are integers", M.confusion_matrix, tide.tensor { 0, 0 / 0 }, ints(0, 1))
    local none = M.Classification(3)
    fails("[metrics.accuracy] no predictions", none.accuracy, none)
    fails("[metrics.recall] no predictions", none.recall, none)
    fails("expected a table of options", none.f1, none, true)
    fails("no option 'avrage'", M.f1, p, t, { avrage = "micro" })
  end)
end)

describe("curves", function()
  local scores, t = tide.tensor { 0.1, 0.4, 0.35, 0.8 }, ints(0, 0, 1, 1)
  it("rank as scikit-learn does", function()
    close(0.75, M.roc_auc(scores, t))
    close(5 / 6, M.average_precision(scores, t))
    local f, h, th = M.roc_curve(scores, t)
    assert.are.same({ { 0, 0, 0.5, 0.5, 1 }, { 0, 0.5, 0.5, 1, 1 } }, { f, h })
    assert.are.equal(math.huge, th[1])
    close(0.75, M.auc(f, h))
  end)
  it("equal the count of pairs, ties as halves", function()
    tide.manual_seed(4)
    local s, y = tide.randn(80):mul(3):round(), tide.rand(80):lt(0.4)
    local a, b, won, pairs_ = s:tolist(), y:tolist(), 0, 0
    for i = 1, 80 do
      for k = 1, 80 do
        if b[i] and not b[k] then
          pairs_ = pairs_ + 1
          won = won + (a[i] > a[k] and 1 or a[i] == a[k] and 0.5 or 0)
        end
      end
    end
    close(won / pairs_, M.roc_auc(s, y))
    local many, class = tide.randn(80, 3), tide.arange(80):remainder(3)
    close((M.roc_auc(many:select(2, 1), class:eq(0)) + M.roc_auc(many:select(2, 2), class:eq(1)) + M.roc_auc(many:select(2, 3), class:eq(2))) / 3,
      M.roc_auc(many, class))
  end)
  it("need both classes", function() fails("both classes", M.roc_auc, tide.ones(3), ints(1, 1, 1)) end)
  it("have areas in either direction", function()
    close(1.5, M.auc({ 3, 1, 0 }, { 0, 1, 0 }))
    fails("x must rise or fall throughout", M.auc, { 0, 2, 1 }, { 1, 1, 1 })
    fails("point 2 is not of two numbers", M.auc, { 0, "a" }, { 1, 1 })
    fails("a score is NaN", M.roc_auc, tide.tensor { 0 / 0, 0.5 }, ints(0, 1))
  end)
end)

describe("regression", function()
  local p, t = tide.tensor({ 2.5, 0.0, 2, 8 }, { dtype = "float64" }), tide.tensor({ 3, -0.5, 2, 7 }, { dtype = "float64" })
  it("errs as scikit-learn does", function()
    close(0.375, M.mean_squared_error(p, t))
    close(math.sqrt(0.375), M.root_mean_squared_error(p, t))
    close(0.5, M.mean_absolute_error(p, t))
    close(0.5, M.median_absolute_error(p, t))
    close(1.0, M.max_error(p, t))
    close(0.3273809523809524, M.mean_absolute_percentage_error(p, t))
    close(0.9486081370449679, M.r2(p, t))
    close(0.9571734475374732, M.explained_variance(p, t))
    close(1.0, M.r2(tide.ones(3), tide.ones(3)))
    close(0.0, M.r2(tide.zeros(3), tide.ones(3)))
    fails("[metrics.r2] predictions of shape (4) do not fit targets of shape (3)", M.r2, p, tide.ones(3))
  end)
end)
