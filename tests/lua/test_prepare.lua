-- Scalers, encoders, splits and folds.
local tide = require "tide"
local data = tide.data

-- Without -0.
local function list(t)
  return (t + 0.0):tolist()
end

describe("scalers", function()
  local x = tide.tensor({ { 1.0, 10, 5 }, { 2, 20, 5 }, { 3, 60, 5 }, { 6, 30, 5 } }, { dtype = "float64" })
  it("StandardScaler", function()
    local z = data.StandardScaler():fit_transform(x)
    assert(z:mean(1):abs():amax():item() < 1e-15)
    assert((z:std(1, { correction = 0 }) - tide.tensor({ 1.0, 1, 0 })):abs():amax():item() < 1e-15)
    assert.are.same({ { 1, 10, 5 }, { 2, 20, 5 }, { 3, 60, 5 }, { 6, 30, 5 } }, list(data.StandardScaler { with_mean = false, with_std = false }:fit_transform(x)))
  end)
  it("MinMaxScaler", function()
    local scaler = data.MinMaxScaler()
    assert.are.same({ { 0, 0, 0 }, { 0.2, 0.2, 0 }, { 0.4, 1, 0 }, { 1, 0.4, 0 } }, list(scaler:fit_transform(x)))
    local wide = data.MinMaxScaler { feature_range = { -1, 1 }, clip = true }:fit(x)
    assert.are.same({ { -1, 1, -1 } }, list(wide:transform(tide.tensor({ { -4.0, 100, 5 } }, { dtype = "float64" }))))
    assert((wide:inverse_transform(wide:transform(x)) - x):abs():amax():item() < 1e-14)
  end)
  it("RobustScaler", function()
    -- median 2.5, quartiles 1.75 and 3.75; median 25, quartiles 17.5 and 37.5
    local z = list(data.RobustScaler():fit_transform(x))
    assert.are.same({ { -0.75, -0.75, 0 }, { -0.25, -0.25, 0 }, { 0.25, 1.75, 0 }, { 1.75, 0.25, 0 } }, z)
  end)
  for _, name in ipairs { "StandardScaler", "MinMaxScaler", "RobustScaler" } do
    it(name .. ": its state says all, float32 stays, wrong use is an error", function()
      local a = data[name]():fit(x)
      local b = data[name]():load_state_dict(a:state_dict())
      assert.are.same(a:transform(x):tolist(), b:transform(x):tolist())
      assert((a:inverse_transform(b:transform(x)) - x):abs():amax():item() < 1e-13)
      assert.are.equal("float32", a:transform(x:to("float32")).dtype)
      assert.are.same(a:transform(x):to("float32"):tolist(), a:transform(x:to("int64")):tolist())
      assert.has_error(function() data[name]():transform(x) end, name .. ": fit() first")
      assert.has_error(function() a:transform(x:narrow(2, 1, 2)) end, name .. ": 2 columns, learned from 3")
      assert.matches("test_prepare.lua:%d+: " .. name .. ": no option 'no_such'; there are: ", (select(2, pcall(function() data[name] { no_such = 1 } end))))
      assert.has_error(function() data[name]():load_state_dict({}) end, name .. ": expected the tensors 'shift' and 'scale'")
    end)
  end
end)

describe("scalers, as scikit-learn's,", function()
  -- Cells that differ by no more than rounding; "nan" equals itself.
  local function near(want, got)
    for i, row in ipairs(want) do
      for k, w in ipairs(row) do
        local g = got[i][k]:item()
        assert(w ~= w and g ~= g or math.abs(w - g) < 1e-12, ("row %d column %d: %s instead of %s"):format(i, k, g, w))
      end
    end
  end
  local nan = 0 / 0
  local x = tide.tensor({ { 1, nan, nan, 5 }, { 2, 20, nan, 5 }, { nan, 60, nan, nan }, { 6, 30, nan, 5 } }, { dtype = "float64" })
  it("pass over NaNs and keep them", function()
    near({ { -0.9258200997725514, nan, nan, 0 }, { -0.4629100498862757, -0.98058067569092, nan, 0 }, { nan, 1.3728129459672882, nan, nan },
      { 1.3887301496588271, -0.3922322702763679, nan, 0 } }, data.StandardScaler():fit_transform(x))
    near({ { 0, nan, nan, 0 }, { 0.2, 0, nan, 0 }, { nan, 1, nan, nan }, { 1, 0.25, nan, 0 } }, data.MinMaxScaler { clip = true }:fit_transform(x))
    near({ { -0.4, nan, nan, 0 }, { 0, -0.5, nan, 0 }, { nan, 1.5, nan, nan }, { 1.6, 0, nan, 0 } }, data.RobustScaler():fit_transform(x))
  end)
  it("only shift columns that are constant but for rounding", function()
    local tenth = tide.full({ 3, 1 }, 0.1, { dtype = "float64" })
    local rounded = tide.tensor({ { 1.0 }, { 1 + 2.0 ^ -52 }, { 1.0 } }, { dtype = "float64" })
    near({ { 0 }, { 0 }, { 0 } }, data.StandardScaler():fit_transform(tenth))
    for _, name in ipairs { "MinMaxScaler", "RobustScaler" } do near({ { 0 }, { 0 }, { 0 } }, data[name]():fit_transform(rounded)) end
  end)
  it("have their options in their state", function()
    local y = x:narrow(2, 1, 1):narrow(1, 1, 2)
    local a = data.MinMaxScaler { feature_range = { -3, 5 } }:fit(y)
    near({ { -3 }, { 5 } }, data.MinMaxScaler():load_state_dict(a:state_dict()):transform(y))
    assert.are.same({ 10, 90 }, data.RobustScaler():load_state_dict(data.RobustScaler { quantile_range = { 10, 90 } }:fit(y):state_dict()).quantile_range)
  end)
  it("name the user's line", function()
    local function refused(what, f)
      assert.matches("test_prepare.lua:%d+: .*" .. what, (select(2, pcall(f))))
    end
    refused("'feature_range': expected a range", function() data.MinMaxScaler { feature_range = 3 } end)
    refused("'quantile_range': expected a range", function() data.RobustScaler { quantile_range = { "a" } } end)
    refused("0 columns, learned from 4", function() data.StandardScaler():fit(x):transform(tide.tensor(1.0)) end)
  end)
end)

describe("encoders", function()
  it("LabelEncoder", function()
    local e = data.LabelEncoder():fit { "b", "a", "c", "a" }
    local codes = e:transform { "c", "a", "b" }
    assert.are.same({ 2, 0, 1 }, codes:tolist())
    assert.are.same({ "c", "a", "b" }, e:inverse_transform(codes))
    local f = data.LabelEncoder():load_state_dict(e:state_dict())
    assert.are.same({ 1 }, f:transform({ "b" }):tolist())
    assert.has_error(function() e:transform { "a", "x" } end, "LabelEncoder: value 2 was not seen by fit: x")
    assert.are.same({ 0, 2, 1 }, data.LabelEncoder():fit_transform(tide.tensor({ -5, 7, 2 })):tolist())
  end)
  it("refuse missing cells, and codes that are none", function()
    local function refused(what, f)
      assert.matches("test_prepare.lua:%d+: LabelEncoder: " .. what, (select(2, pcall(f))))
    end
    for _, cells in ipairs { { true, 0 / 0, false }, { "a", false } } do
      refused("column 'c' has missing cells", function() data.LabelEncoder():fit(data.table { { "c", cells } }:column "c") end)
    end
    local e = data.LabelEncoder():fit { false, true }
    assert.are.same({ true, false }, e:inverse_transform(tide.tensor { 1, 0 }))
    refused("codes must be a 1%-d tensor of integers", function() return (e:inverse_transform(tide.tensor { true })) end)
  end)
  it("OneHotEncoder", function()
    local e = data.OneHotEncoder():fit { "x", "z", "y", "x" }
    local hot = e:transform { "y", "x" }
    assert.are.same({ { 0, 1, 0 }, { 1, 0, 0 } }, hot:tolist())
    assert.are.equal("float32", hot.dtype)
    assert.are.same({ "y", "x" }, e:inverse_transform(hot))
    assert.has_error(function() e:transform { "?" } end, "OneHotEncoder: value 1 was not seen by fit: ?")
    local lax = data.OneHotEncoder():load_state_dict(data.OneHotEncoder { ignore_unknown = true, dtype = "float64" }:fit { "x", "y", "z" }:state_dict())
    assert.are.equal("float64", lax:transform({ "x" }).dtype)
    assert.are.same({ { 0, 0, 0 }, { 0, 0, 1 } }, lax:transform({ "?", "z" }):tolist())
    assert.are.same({ false, "z" }, lax:inverse_transform(lax:transform { "?", "z" }))
  end)
end)

describe("splits", function()
  it("train_test_split keeps rows together", function()
    local x, y, names = tide.arange(20):reshape({ 10, 2 }), tide.arange(10), {}
    for i = 0, 9 do names[i + 1] = "row" .. i end
    local a, b, c, d, e, f = data.train_test_split(x, y, names, { test_size = 0.3, seed = 4 })
    assert.are.same({ 7, 2 }, a.shape)
    assert.are.same({ 3, 2 }, b.shape)
    for part, labels in pairs { [c] = e, [d] = f } do
      for i, v in ipairs(part:tolist()) do assert.are.equal("row" .. v, labels[i]) end
    end
    assert.are.same((c * 2):tolist(), a:select(2, 1):tolist())
    local again = data.train_test_split(x, { test_size = 0.3, seed = 4 })
    assert.are.same(a:tolist(), again:tolist())
    local first = data.train_test_split(y, { test_size = 0.5, shuffle = false })
    assert.are.same({ 0, 1, 2, 3, 4 }, first:tolist())
    assert.has_error(function() data.train_test_split(x, tide.arange(9)) end, "train_test_split: argument 2 has 9 rows, the first 10")
  end)
  it("stratifies", function()
    local labels = {}
    for i = 1, 100 do labels[i] = i <= 80 and "often" or "rare" end
    local _, test = data.train_test_split(labels, { stratify = labels, test_size = 0.25 })
    local n = 0
    for _, v in ipairs(test) do n = n + (v == "rare" and 1 or 0) end
    assert.are.equal(25, #test)
    assert.are.equal(5, n)
  end)
  it("takes a table's column as labels, in which missing cells are a label too", function()
    local t = data.table { { "y", { "a", "b", "a", "b", false, false, "a", "b", false } } }
    for _, train, test in data.StratifiedKFold(t:column "y", 3) do
      assert.are.same({ 6, 3 }, { train:numel(), test:numel() })
      local labels = t:take(test):column("y"):tolist()
      table.sort(labels, function(a, b) return tostring(a) < tostring(b) end)
      assert.are.same({ "a", "b", false }, labels)
    end
    local train, test = data.train_test_split(t, { stratify = t:column "y", test_size = 1 / 3 })
    assert.are.same({ 6, 3 }, { #train, #test })
    local flags = data.table { { "f", { true, true, false, false, 0 / 0, 0 / 0 } } }
    local half = flags:split(0.5, { stratify = "f" })
    assert.are.equal(1, half:column("f").missing:sum():item())
    local message = select(2, pcall(function() return (data.StratifiedKFold(tide.zeros({ 4, 2 }), 2)) end))
    assert.matches("test_prepare.lua:%d+: StratifiedKFold: expected one label a row, got a tensor of 2 dims", message)
  end)
  it("a loop over folds within another is one of its own", function()
    local folds, pairs_ = data.KFold(4, 2), {}
    for i in folds do
      for j in folds do pairs_[#pairs_ + 1] = i .. j end
    end
    assert.are.same({ "11", "12", "21", "22" }, pairs_)
  end)
  it("KFold tests every row once", function()
    local seen = {}
    for i, train, test in data.KFold(11, 3, { seed = 2 }) do
      assert.are.equal(11, train:numel() + test:numel())
      assert.are.equal(i <= 2 and 4 or 3, test:numel())
      for _, row in ipairs(test:tolist()) do
        assert.is_nil(seen[row])
        seen[row] = i
      end
    end
    for row = 0, 10 do assert(seen[row]) end
    assert.has_error(function() data.KFold(3, 4) end, "KFold: 3 rows cannot make 4 folds")
  end)
  it("StratifiedKFold spreads every label, and goes on where it was", function()
    local labels = tide.tensor({ 0, 0, 0, 0, 0, 0, 1, 1, 1, 2, 2, 2 })
    local folds, all = data.StratifiedKFold(labels, 3, { seed = 7 }), {}
    for i, _, test in folds do
      all[i] = test:tolist()
      local count = { [0] = 0, 0, 0 }
      for _, row in ipairs(all[i]) do
        local l = labels[row + 1]:item()
        count[l] = count[l] + 1
      end
      assert.are.same({ [0] = 2, 1, 1 }, count)
    end
    local state
    for i in folds do
      if i == 2 then
        state = folds:state_dict()
        break
      end
    end
    local later = data.StratifiedKFold(labels, 3, { seed = 7 }):load_state_dict(state)
    local rest = {}
    for i, _, test in later do rest[i] = test:tolist() end
    assert.are.same({ [3] = all[3] }, rest)
    assert.has_error(function() data.KFold(12, 3):load_state_dict(state) end)
    for _, wrong in ipairs { 3, {} } do
      assert.matches("test_prepare.lua:%d+: ", (select(2, pcall(function() data.KFold(12, 3):load_state_dict(wrong) end))))
    end
    assert.matches("test_prepare.lua:%d+: %[train_test_split%] argument 'test_size': expected a number",
      (select(2, pcall(function() return (data.train_test_split(labels, { test_size = "a" })) end))))
  end)
end)
