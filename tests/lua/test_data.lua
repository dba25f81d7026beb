-- CSV files as pandas reads them, safetensors files good and bad, tables, scaling, batches.
local tide = require "tide"
local json = require "json"
local data = tide.data
local root = os.getenv("TIDE_ROOT") .. "/tests/data/"

describe("csv", function()
  local function cells(t)
    local rows = {}
    for i = 1, #t do rows[i] = {} end
    for k, c in ipairs(t.columns) do
      for i, v in ipairs(c:tolist()) do
        if v ~= v then v = false end
        if c.missing and c.type == "bool" and c.missing:tolist()[i] then v = "missing" end
        rows[i][k] = v
      end
    end
    return rows
  end
  local kinds = { int64 = "int", float64 = "float", bool = "bool", string = "string" }

  local function check(case, t)
    local want = case.also_accept and case.also_accept.dtypes or case.dtypes
    assert.are.same(case.columns, t:names())
    local got = {}
    for i, c in ipairs(t.columns) do got[i] = kinds[c.type] end
    if #case.rows > 0 then assert.are.same(want, got) end
    assert.are.equal(#case.rows, #t)
    local rows = cells(t)
    for i, row in ipairs(case.rows) do
      for k = 1, #case.columns do
        local w, g = row[k], rows[i][k]
        if w == nil then
          assert(g == false or g == "missing" or g == nil, ("row %d column %d: %s is not missing"):format(i, k, tostring(g)))
        elseif w == "inf" and got[k] == "float" then
          assert.are.equal(math.huge, g)
        elseif w == "-inf" and got[k] == "float" then
          assert.are.equal(-math.huge, g)
        else
          assert(w == g, ("row %d column %d: %s instead of %s"):format(i, k, tostring(g), tostring(w)))
        end
      end
    end
    assert.are.equal(#case.dropna, #t:dropna())
  end

  for _, name in ipairs(json(root .. "csv-cases/index.json")) do
    it(name, function()
      local case = json(root .. "csv-cases/" .. name .. ".json")
      local t, message = data.csv(root .. "csv-cases/" .. name .. ".csv", case.options)
      if case.error then
        if t and case.also_accept then return end
        assert.is_nil(t, "should be refused: " .. case.error)
        if case.line then assert(message:find(":" .. case.line .. ":", 1, true), message) end
      else
        if not t and case.also_accept and case.also_accept.error then return end
        check(case, assert(t, message))
      end
    end)
  end

  it("says what is wrong with the path", function()
    local t, message, code = data.csv("/nowhere/at/all.csv")
    assert.is_nil(t)
    assert.are.equal("EIO", code)
    assert(message:find("No such file", 1, true), message)
  end)
end)

describe("safetensors", function()
  local expected = json(root .. "safetensors/expected.json")
  for name, case in pairs(expected.malformed) do
    it("refuses " .. name .. ": " .. case.why, function()
      local t, message, code = tide.load(root .. "safetensors/" .. name)
      assert.is_nil(t)
      assert.are.equal("string", type(message))
      assert(code == "EFORMAT" or code == "EIO", code)
    end)
  end
  for name, case in pairs(expected.valid) do
    it("reads " .. name, function()
      local t, message, code = tide.load(root .. "safetensors/" .. name)
      if not t then
        assert(case.may_refuse and code == "EUNSUP", message)
        return
      end
      local n = 0
      for key, want in pairs(case.tensors) do
        n = n + 1
        assert(t[key], "no tensor " .. key)
        assert.are.same(want.shape, t[key].shape)
      end
      for _ in pairs(t) do n = n - 1 end
      assert(n == 0 or name:find("many"), "too many tensors")
    end)
  end
  it("writes what it reads", function()
    local path = os.tmpname()
    local t = { a = tide.randn(3, 4), ["b.c"] = tide.arange(5), d = tide.tensor({ true, false }), e = tide.zeros({ 0, 2 }), f = tide.randn(4, 3):t() }
    t.g = tide.tensor(3.5, { dtype = "bfloat16" })
    assert(tide.save(path, t, { note = 'a "quoted" word' }))
    local u, meta = tide.load(path)
    os.remove(path)
    assert.are.equal('a "quoted" word', meta.note)
    for name, x in pairs(t) do
      assert.are.same(x.shape, u[name].shape)
      assert.are.equal(x.dtype, u[name].dtype)
      assert.are.same(x:tolist(), u[name]:tolist())
    end
    local ok, message = tide.save("/nowhere/at/all", t)
    assert.is_nil(ok)
    assert(message:find("No such file", 1, true))
  end)
end)

describe("tables", function()
  local digits = assert(data.csv(os.getenv("TIDE_ROOT") .. "/examples/data/digits.csv"))
  it("drops incomplete rows", function()
    assert.are.equal(1822, #digits)
    assert.are.equal(1797, #digits:dropna())
  end)
  it("splits with the shares of a column, the same for the same seed", function()
    local whole = digits:dropna()
    local a, b = whole:split(0.8, { seed = 3, stratify = "label" })
    local c = whole:split(0.8, { seed = 3, stratify = "label" })
    assert.are.equal(1797, #a + #b)
    assert.are.same(a:column("label"):tolist(), c:column("label"):tolist())
    for digit = 0, 9 do
      local function share(t) return t:column("label"):tensor():eq(digit):to("float32"):mean():item() end
      assert(math.abs(share(a) - share(whole)) < 0.002)
    end
  end)
  it("scales to mean 0 and deviation 1", function()
    local x = digits:dropna():drop("label"):tensor()
    local scaler = data.StandardScaler():fit(x)
    local z = scaler:transform(x)
    assert(z:mean(1):abs():amax():item() < 1e-5)
    local back = scaler:inverse_transform(z)
    assert((back - x):abs():amax():item() < 1e-4)
  end)
  it("batches every row once, in another order each pass", function()
    local x = tide.arange(10)
    local loader = data.DataLoader({ x, x * 2 }, { batch_size = 3, shuffle = true, seed = 5 })
    assert.are.equal(4, #loader)
    local passes = {}
    for pass = 1, 2 do
      local all = {}
      for a, b in loader do
        assert.are.same((a * 2):tolist(), b:tolist())
        for _, v in ipairs(a:tolist()) do all[#all + 1] = v end
      end
      passes[pass] = table.concat(all, ",")
      table.sort(all)
      assert.are.equal("0,1,2,3,4,5,6,7,8,9", table.concat(all, ","))
    end
    assert.are_not.equal(passes[1], passes[2])
  end)
end)
