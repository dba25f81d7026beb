-- npy, npz, sharded and mapped safetensors, .pth.
local tide = require "tide"
local json = require "json"
local root = os.getenv("TIDE_ROOT") .. "/tests/data/"
local folder = os.tmpname()
os.remove(folder)
assert(os.execute("mkdir " .. folder))
local function scratch(name) return folder .. "/" .. name end
local function slurp(path)
  local f <close> = assert(io.open(path, "rb"))
  return f:read("a")
end
local function spill(path, text)
  local f <close> = assert(io.open(path, "wb"))
  f:write(text)
end
teardown(function() os.execute("rm -r " .. folder) end)

local function number(v) return ({ inf = math.huge, ["-inf"] = -math.huge })[v] or v end
local function same(want, got)
  assert.are.equal(#want, #got)
  for i, w in ipairs(want) do
    if w == "nan" then
      assert(got[i] ~= got[i])
    else
      assert.are.equal(number(w), got[i])
    end
  end
end
local function flat(t) return t:reshape { -1 }:tolist() end

local samples = {
  f64 = tide.tensor({ { 1.5, -2, 0 }, { 1e300, 3, 4 } }, { dtype = "float64" }),
  f32 = tide.randn { 3, 4, 5 },
  f16 = tide.tensor({ 1.5, -0.25 }, { dtype = "float16" }),
  i64 = tide.tensor({ math.mininteger, math.maxinteger }, { dtype = "int64" }),
  i32 = tide.tensor({ { { -7 } } }, { dtype = "int32" }),
  i8 = tide.tensor({ -128, 127 }, { dtype = "int8" }),
  u8 = tide.tensor({ 0, 255 }, { dtype = "uint8" }),
  bool = tide.tensor({ true, false, true }, { dtype = "bool" }),
  zero = tide.tensor(3.5),
  empty = tide.zeros { 0, 3 },
  turned = tide.randn({ 4, 3 }):t(),
}
local function assert_samples(got)
  for name, t in pairs(samples) do
    assert(got[name], name)
    assert.are.equal(t.dtype, got[name].dtype)
    assert.are.same(t.shape, got[name].shape)
    assert.are.same(flat(t), flat(got[name]))
  end
end

describe("npy", function()
  local expected = json(root .. "npy/expected.json")
  for name, case in pairs(expected.malformed) do
    it("refuses " .. name .. ": " .. case.why, function()
      local t, message, code = tide.load(root .. "npy/" .. name)
      assert.is_nil(t)
      assert(message:find(name, 1, true), message)
      assert(code == "EFORMAT" or code == "EUNSUP" and name:find("object"), code)
    end)
  end
  for name, case in pairs(expected.valid) do
    it("reads " .. name .. ": " .. case.note, function()
      local t, message, code = tide.load(root .. "npy/" .. name)
      if not t and case.may_refuse then
        assert.are.equal("EUNSUP", code)
        return
      end
      assert(t, message)
      assert.are.equal(case.dtype, t.dtype)
      assert.are.same(case.shape, t.shape)
      same(case.values, flat(t))
    end)
  end

  it("writes what it reads", function()
    for name, t in pairs(samples) do
      local path = scratch(name .. ".npy")
      assert(tide.save(path, t))
      local got = assert(tide.load(path))
      assert.are.equal(t.dtype, got.dtype)
      assert.are.same(t.shape, got.shape)
      assert.are.same(flat(t), flat(got))
      assert.are.equal(0, #slurp(path):match("^[^\n]*\n") % 64)
    end
    local ok, message, code = tide.save(scratch "b.npy", tide.ones({ 2 }):to "bfloat16")
    assert.is_nil(ok)
    assert.are.equal("EUNSUP", code)
    assert(message:find "bfloat16", message)
  end)
end)

describe("npz", function()
  for _, compressed in ipairs { false, true } do
    it("writes what it reads, compressed: " .. tostring(compressed), function()
      local path = scratch "all.npz"
      assert(tide.save(path, samples, nil, { compressed = compressed }))
      local got = assert(tide.load(path))
      assert_samples(got)
      local n = 0
      for _ in pairs(got) do n = n + 1 end
      assert.are.equal(11, n)
    end)
  end

  it("reads what NumPy wrote", function()
    for _, name in ipairs { "stored", "deflated" } do
      local got = assert(tide.load(root .. "npz/" .. name .. ".npz"))
      assert.are.same({ 0, 1, 2, 3, 4, 5 }, flat(got.a))
      assert.are.equal("int64", got.a.dtype)
      assert.are.same({ 2, 3 }, got.a.shape)
      assert.are.same({ 1.5, 2.5 }, got.b:tolist())
      assert.are.equal(1000, got.zeros:numel())
      assert.are.equal(0, got.zeros:sum():item())
    end
  end)

  it("refuses damaged archives", function()
    assert(tide.save(scratch "whole.npz", { a = tide.zeros { 100 }, b = tide.ones { 3 } }, nil, { compressed = true }))
    for _, source in ipairs { slurp(scratch "whole.npz"), slurp(root .. "npz/stored.npz"), slurp(root .. "npz/deflated.npz") } do
      for cut = 0, #source - 1, 7 do
        spill(scratch "cut.npz", source:sub(1, cut))
        local t, _, code = tide.load(scratch "cut.npz")
        assert(not t and code == "EFORMAT")
      end
      local refused = 0
      for at = 1, #source, 3 do
        spill(scratch "cut.npz", source:sub(1, at - 1) .. string.char(source:byte(at) ~ 0x41) .. source:sub(at + 1))
        local t, _, code = tide.load(scratch "cut.npz")
        if not t then
          refused = refused + 1
          assert(code == "EFORMAT" or code == "EUNSUP", code)
        end
      end
      assert(refused > #source / 6, refused)
    end
  end)
end)

describe("safetensors", function()
  it("shares a mapped file", function()
    local path = scratch "mapped.safetensors"
    assert(tide.save(path, samples, { note = "x" }))
    local before = slurp(path)
    local got, metadata = assert(tide.load(path, { mmap = true }))
    assert.are.equal("x", metadata.note)
    assert_samples(got)
    got.f32:zero_()
    collectgarbage()
    assert.are.equal(0, got.f32:sum():item())
    assert.are.equal(before, slurp(path))
  end)

  it("spreads over shards", function()
    local path, index = scratch "big.safetensors", scratch "big.safetensors.index.json"
    assert(tide.save(path, samples, { format = "pt" }, { max_shard_size = 100 }))
    assert.is_nil((io.open(path)))
    local listed = json(index)
    assert.are.equal(48 + 240 + 4 + 16 + 4 + 2 + 2 + 3 + 4 + 0 + 48, listed.metadata.total_size)
    local files, n = {}, 0
    for name, file in pairs(listed.weight_map) do
      assert(samples[name])
      if not files[file] then n = n + 1 end
      files[file] = true
    end
    assert(n > 2, n)
    for file in pairs(files) do assert(file:find("^big%-%d%d%d%d%d%-of%-0000" .. n .. "%.safetensors$"), file) end
    local got, metadata = assert(tide.load(index))
    assert_samples(got)
    assert.are.equal("pt", metadata.format)
    assert_samples((assert(tide.load(index, { mmap = true }))))
    assert(tide.save(path, { a = tide.ones { 2 } }, nil, { max_shard_size = "1MB" }))
    assert((tide.load(path)).a, "one shard is a plain file")
    assert.has_error(function() tide.save(path, samples, nil, { max_shard_size = "much" }) end)
  end)

  it("refuses bad indexes", function()
    local index = scratch "bad.safetensors.index.json"
    for text, why in pairs { ["{"] = "JSON", ["[]"] = "weight_map", ["{\"weight_map\": {\"a\": \"../x\"}}"] = "not in its folder",
      ["{\"weight_map\": {\"a\": 1}}"] = "strings", ["{\"weight_map\": {\"a\": \"absent.safetensors\"}}"] = "No such file",
      ["{\"weight_map\": {\"a\": \"mapped.safetensors\"}}"] = "'a' is not in" } do
      spill(index, text)
      local t, message = tide.load(index)
      assert.is_nil(t)
      assert(message:find(why, 1, true), message)
    end
  end)
end)
