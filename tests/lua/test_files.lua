-- npy, npz, sharded and mapped safetensors, .pth, GGUF.
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
  os.remove(path) -- some file systems wait for the disk when a file is emptied and written again
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

local zlib = select(3, tide.load(root .. "npz/deflated.npz")) ~= "EUNSUP"

it("writes no .pth and no .gguf", function()
  for _, name in ipairs { "x.pth", "x.pt", "x.gguf" } do
    local ok, message, code = tide.save(scratch(name), { a = tide.ones(1) })
    assert.is_nil(ok)
    assert.are.equal("EUNSUP", code)
    assert.matches("read only", message)
    assert.is_nil(io.open(scratch(name)))
  end
end)

describe("npz", function()
  for _, compressed in ipairs { false, zlib or nil } do
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
    for _, name in ipairs { "stored", zlib and "deflated" or nil } do
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
    assert(tide.save(scratch "whole.npz", { a = tide.zeros { 100 }, b = tide.ones { 3 } }, nil, { compressed = zlib }))
    for _, source in ipairs { slurp(scratch "whole.npz"), slurp(root .. "npz/stored.npz"), zlib and slurp(root .. "npz/deflated.npz") or nil } do
      for cut = 0, #source - 1, 31 do
        spill(scratch "cut.npz", source:sub(1, cut))
        local t, _, code = tide.load(scratch "cut.npz")
        assert(not t and code == "EFORMAT")
      end
      local refused = 0
      for at = 1, #source, 11 do
        spill(scratch "cut.npz", source:sub(1, at - 1) .. string.char(source:byte(at) ~ 0x41) .. source:sub(at + 1))
        local t, _, code = tide.load(scratch "cut.npz")
        if not t then
          refused = refused + 1
          assert(code == "EFORMAT" or code == "EUNSUP", code)
        end
      end
      assert(refused > #source / 22, refused)
    end
  end)

  it("unpacks no more than the array takes", function()
    if not zlib then return end
    local before = tide.memory().peak
    local t, message, code = tide.load(root .. "npz/bomb.npz") -- 4 MB of zeros behind an array of 4 bytes
    assert(not t and code == "EFORMAT")
    assert(message:find("bomb.npz: a: 4000000 bytes follow the array", 1, true), message)
    assert(tide.memory().peak < before + 1000000)
  end)

  it("names a damaged entry", function()
    if not zlib then return end
    local source = slurp(root .. "npz/deflated.npz")
    local at = source:find("zeros.npy", 1, true) + 9 -- its bytes, with the extra field before them
    spill(scratch "cut.npz", source:sub(1, at + 29) .. "\255\255\255\255" .. source:sub(at + 34))
    local _, message = tide.load(scratch "cut.npz")
    assert(message:find("cut.npz: the compressed bytes of 'zeros.npy' are damaged", 1, true), message)
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

  it("keeps zeros within metadata", function()
    local path = scratch "zeros.safetensors"
    assert(tide.save(path, { a = tide.ones(1) }, { ["k\0y"] = "ab\0cd" }))
    assert.are.same({ ["k\0y"] = "ab\0cd" }, (select(2, tide.load(path))))
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

describe("pth", function()
  local function pth(name) return root .. "pth/" .. name end

  it("reads what torch.save wrote", function()
    local got = assert(tide.load(pth "plain.pth"))
    for name, want in pairs { float64 = { 1.5, -2, "inf" }, float16 = { 1.5, -0.25 }, bfloat16 = { 3, -0.5 }, int64 = { math.mininteger, math.maxinteger },
      int32 = { -7 }, int8 = { -128, 127 }, uint8 = { 0, 255 }, bool = { true, false, true } } do
      assert.are.equal(name, got[name].dtype)
      same(want, flat(got[name]))
    end
    assert.are.equal(tide.tensor(0.1):item(), got.float32[1][1]:item())
    assert.are.same({ 2, 2 }, got.float32.shape)
    assert.are.same({ 1, 1, 1 }, got.int32.shape)
    assert.are.same({ {}, 3.5 }, { got.zero.shape, got.zero:item() })
    assert.are.same({ 0, 3 }, got.empty.shape)
    assert.are.same({ { 0, 4, 8 }, { 1, 5, 9 }, { 2, 6, 10 }, { 3, 7, 11 } }, got.turned:tolist())
    assert.are.same({ { 4, 5 }, { 10, 11, 12 } }, { got.part:tolist(), got.slice:tolist() })
    assert.are.same({ 1000, 1000 }, got.expanded.shape)
    assert.are.equal(7, got.expanded[1000][1000]:item())
    assert.are.same({ 1, 2 }, got.parameter:tolist())
    assert.are.same({ 2, 3 }, got.size)
    got.shared[1]:zero_() -- as in PyTorch, tensors of one storage still share it
    assert.are.same({ { 0, 0, 0 }, { { 0 }, { 0 }, { 0 } } }, { got.shared[2]:tolist(), got.shared[3]:tolist() })
    assert(rawequal(got.shared[1], got.shared[2]) and rawequal(got.again, got.again.me))
    assert.are.same({ yes = true, no = false, small = 7, medium = 300, big = 70000, negative = -1, huge = 1 << 40, least = math.mininteger, float = 0.1,
      inf = math.huge, text = "é\n☃", empty = "", tuple = { 1, { 2 }, { 3, 4, 5 }, {} }, list = { 1, nil, "x" }, [7] = "seven", [-2] = "minus two",
      [true] = "true" }, got.values)
    assert.are.equal("float", math.type(got.values.float))
    assert.are.same({ 1, 2, 3 }, assert(tide.load(pth "tensor.pth")):tolist())
  end)

  it("loads a state_dict into the same model", function()
    local got = assert(tide.load(pth "model.pth"))
    local Model = tide.nn.Module:extend "Model"
    function Model:init() self.linear, self.norm = tide.nn.Linear(2, 3), tide.nn.LayerNorm(3) end
    function Model:forward(x) return self.norm(self.linear(x)) end
    local model = Model()
    model:load_state_dict(got.model)
    for i, want in ipairs(flat(got.y)) do assert.near(want, flat(model(got.x))[i], 1e-6) end
    assert.are.equal(0.01, got.optimizer.param_groups[1].lr)
    assert.are.same({ 3, 2 }, got.optimizer.state[0].exp_avg.shape)
  end)

  for name, why in pairs { ["whole-module"] = "'torch.nn.modules.linear.Linear'", system = "'posix.system'", eval = "'__builtin__.eval'",
    ["rebuild-call"] = "an unusual call of 'torch._utils _rebuild_tensor_v2'", set = "'__builtin__.set'", bytes = "'_codecs.encode'",
    defaultdict = "'collections.defaultdict'", int16 = "'torch.ShortStorage'", complex = "'torch.ComplexFloatStorage'",
    sparse = "'torch._utils._rebuild_sparse_tensor'", dtype = "'torch.float32'", long = "more than 64 bits", key = "a key that is",
    ["nine-dims"] = "9 dims", ["protocol-4"] = "protocol 4", legacy = "before PyTorch 1.6", pickle = "no safetensors file" } do
    it("refuses " .. name .. " by name", function()
      local got, message, code = tide.load(pth("bad-" .. name .. ".pth"))
      assert(not got and message:find(why, 1, true), message)
      assert.are.equal(name == "pickle" and "EFORMAT" or "EUNSUP", code)
    end)
  end

  it("refuses damaged files", function()
    local whole = slurp(pth "plain.pth")
    for at = 1, #whole, 53 do
      for _, text in ipairs { whole:sub(1, at - 1), whole:sub(1, at - 1) .. string.char(whole:byte(at) ~ 0x11) .. whole:sub(at + 1) } do
        spill(scratch "cut.pth", text)
        local got, _, code = tide.load(scratch "cut.pth")
        assert(got or code == "EFORMAT" or code == "EUNSUP", code)
        assert(not got or #text == #whole)
      end
    end
  end)
end)

describe("GGUF", function()
  local expected = json(root .. "gguf/expected.json")
  for name, case in pairs(expected.malformed) do
    it("refuses " .. name .. ": " .. case.why, function()
      local t, message, code = tide.load(root .. "gguf/" .. name)
      assert.is_nil(t)
      assert(message:find(name, 1, true), message)
      assert(code == "EFORMAT" or code == "EUNSUP" and name == "bad-version-big-endian.gguf", code)
    end)
  end
  for name, case in pairs(expected.valid) do
    it("reads " .. name .. ": " .. case.note, function()
      local got, metadata = assert(tide.load(root .. "gguf/" .. name))
      assert.are.same(case.metadata, metadata)
      for key, want in pairs(case.tensors) do
        local t = got[key]
        assert.are.same(want.shape, t.shape)
        assert.are.equal(({ F16 = "float16", BF16 = "bfloat16", I32 = "int32", I8 = "int8", F64 = "float64" })[want.type] or "float32", t.dtype)
        for i, v in ipairs(flat(t)) do assert(math.abs(v - want.values[i]) <= 1e-6 * math.abs(want.values[i]), key .. " " .. i) end
        assert.are.equal(#want.values, t:numel())
        got[key] = nil
      end
      assert.is_nil(next(got))
    end)
  end
end)
