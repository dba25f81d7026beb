-- Checkpoints: what is kept, what is loaded, and what happens to damaged ones. (Killed runs: kill.sh; broken disks: faults.sh.)
local tide = require "tide"
local found, lfs = pcall(require, "lfs")
if not found then
  describe("a checkpoint", function() pending "needs LuaFileSystem" end)
  return
end
local top = os.tmpname()
os.remove(top)
assert(lfs.mkdir(top))
teardown(function() os.execute("rm -r " .. top) end)
local count = 0
local function place()
  count = count + 1
  return top .. "/deep/" .. count
end
local function slurp(path)
  local f <close> = assert(io.open(path, "rb"))
  return f:read("a")
end
local function spill(path, text)
  os.remove(path) -- some file systems wait for the disk when a file is emptied and written again
  local f <close> = assert(io.open(path, "wb"))
  f:write(text)
end
local function names(folder)
  local list = {}
  for name in lfs.dir(folder) do
    if name:sub(1, 1) ~= "." then list[#list + 1] = name end
  end
  table.sort(list)
  return table.concat(list, " ")
end

-- an object that is what its table holds
local function object(value)
  local o = { value = value }
  function o:state_dict() return self.value end
  function o:load_state_dict(d) self.value = d end
  return o
end
local quiet = { sigterm = false }

describe("a checkpoint", function()
  it("brings every kind of value back", function()
    local folder = place()
    local value = { list = { 1, 2.5, "three", { true, false } }, empty = {}, big = math.maxinteger, small = math.mininteger, third = 1 / 3,
      huge = math.huge, minus = -math.huge, nan = 0 / 0, whole = 3.0, text = "a\n\"b\"\0\u{e9}", [7] = "seven", [true] = "yes", [0.5] = "half",
      tensors = { tide.ones { 2 }, deep = { x = tide.tensor { 3, 4 } }, ["$tensor"] = "no tensor" }, ["a.b"] = tide.zeros {}, a = { b = tide.ones {} } }
    local ck = tide.checkpoint(folder, { thing = object(value) }, quiet)
    assert.are.equal(folder .. "/step-3", (assert(ck:save(3))))
    local back = object()
    assert.are.equal(3, (assert(tide.checkpoint(folder, { thing = back }, quiet):load())))
    local got = back.value
    assert(got.nan ~= got.nan)
    assert.are.equal("float", math.type(got.whole))
    assert.are.same({ 1, 1 }, got.tensors[1]:tolist())
    assert.are.same({ 3, 4 }, got.tensors.deep.x:tolist())
    assert.are.equal("no tensor", got.tensors["$tensor"])
    assert.are.same({ 0, 1 }, { got["a.b"]:item(), got.a.b:item() })
    for key in pairs(value) do
      if key ~= "nan" and key ~= "tensors" and key ~= "a.b" and key ~= "a" then
        assert.are.same(value[key], got[key])
        assert.are.equal(math.type(value[key]), math.type(got[key]))
      end
    end
  end)

  it("keeps the last and the best", function()
    for mode, want in pairs { min = 2, max = 4 } do
      local folder = place()
      local o = object()
      local ck = tide.checkpoint(folder, { o = o }, { keep = 2, best = "score", mode = mode, sigterm = false })
      for i, score in ipairs { 5, 1, 3, 9, 0 / 0, 4, 5 } do
        o.value = { i = i }
        assert(ck:save(i, { score = score }))
      end
      assert.are.same({ 7, 6, want }, ck:steps())
      assert.are.equal(("LATEST step-%d step-6 step-7"):format(want), names(folder))
      local step, metrics = assert(ck:load("best"))
      assert.are.same({ want, want }, { step, o.value.i })
      assert.are.equal(want == 2 and 1 or 9, metrics.score)
      assert.are.equal(6, (assert(ck:load(6))))
      local none, message, code = ck:load(5)
      assert(not none and message:find "no checkpoint '5'" and code == "EIO")
      assert.are.equal(7, (assert(ck:load())))
      assert.has_error(function() ck:save(8) end)
    end
  end)

  it("takes metrics of tensors", function()
    local ck = tide.checkpoint(place(), { o = object {} }, { keep = 1, best = "loss", sigterm = false })
    for i, loss in ipairs { 0.5, 9, 0 / 0 } do assert(ck:save(i, { loss = tide.tensor(loss) })) end
    assert.are.same({ 3, 1 }, ck:steps())
    for _, loss in ipairs { tide.ones(2), "low", true } do
      assert.error_matches(function() ck:save(4, { loss = loss }) end, "%[checkpoint%] argument 'loss': expected a number")
    end
  end)

  it("saves when it is time", function()
    local ck = tide.checkpoint(place(), { o = object {} }, { every = 3, keep = 9, sigterm = false })
    local saved = {}
    for i = 1, 10 do
      if assert(ck:step(i) ~= nil) and ck.last == i then saved[#saved + 1] = i end
    end
    assert.are.same({ 3, 6, 9 }, saved)
    assert.are.same({ 9, 6, 3 }, ck:steps())
  end)

  it("saves a step anew", function()
    local folder, o = place(), object { n = 1 }
    local ck = tide.checkpoint(folder, { o = o }, quiet)
    for n = 1, 5 do
      o.value = { n = n }
      assert(ck:save(10))
    end
    assert.are.equal(10, (assert(ck:load())))
    assert.are.equal(5, o.value.n)
    assert.are.same({ 10, 10 }, ck:steps())
  end)

  it("starts at 0, and clears what a stopped save left", function()
    local folder = place()
    local ck = tide.checkpoint(folder, { o = object {} }, quiet)
    assert.are.same({ 0, {}, {} }, { ck:load() })
    assert(ck:save(1))
    assert(lfs.mkdir(folder .. "/step-2.tmp"))
    spill(folder .. "/step-2.tmp/o.safetensors", "half")
    assert(lfs.mkdir(folder .. "/step-7")) -- half deleted
    assert.are.equal(1, (assert(ck:load())))
    assert(ck:save(2))
    assert.are.equal("LATEST step-1 step-2", names(folder))
  end)

  it("falls back from a damaged one, and says so", function()
    local folder, o = place(), object()
    local ck = tide.checkpoint(folder, { o = o }, quiet)
    for i = 1, 2 do
      o.value = { t = tide.full({ 3 }, i), i = i }
      assert(ck:save(i))
    end
    for _, file in ipairs { "o.safetensors", "manifest.json" } do
      local path = folder .. "/step-2/" .. file
      local whole = slurp(path)
      local function load_again(text)
        spill(path, text)
        local step, _, against = assert(ck:load())
        assert.are.equal(step, o.value.i)
        assert.are.equal(step, o.value.t[1]:item())
        if step == 1 then assert(#against == 1 and against[1]:find(file, 1, true), against[1]) end
        return step
      end
      for at = 1, #whole, 37 do
        assert.are.equal(1, load_again(whole:sub(1, at - 1) .. string.char(whole:byte(at) ~ 1) .. whole:sub(at + 1)))
        assert.are.equal(1, load_again(whole:sub(1, at - 1)))
      end
      assert.are.equal(2, load_again(whole))
    end
    for i = 1, 2 do spill(("%s/step-%d/o.safetensors"):format(folder, i), "") end
    local none, message, code = ck:load()
    assert(not none and message:find "step%-1/o.safetensors" and message:find "step%-2/o.safetensors")
    assert.are.equal("EFORMAT", code)
    assert.are.equal(2, o.value.i, "nothing was applied")
    local text = ", \"format\": \"other\"}"
    spill(folder .. "/step-2/manifest.json", ("{\"crc32c\": %d,%s"):format(select(2, tide._crc32c_text(text)), text))
    assert(select(2, ck:load()):find "of another format")
  end)

  it("keeps the place in a loader, and the random state", function()
    local x = tide.arange(10)
    local function loader() return tide.data.DataLoader(x, { batch_size = 3, shuffle = true, seed = 5 }) end
    local function run(l, seen, n) -- n batches, over several passes
      while true do
        for b in l do
          seen[#seen + 1] = table.concat(b:tolist(), " ")
          if #seen == n then return end
        end
      end
    end
    local whole = {}
    run(loader(), whole, 13)
    for stop = 1, 12 do
      local folder, first = place(), loader()
      local seen = {}
      run(first, seen, stop)
      tide.manual_seed(stop)
      tide.rand { 2 }
      assert(tide.checkpoint(folder, { l = first }, quiet):save(stop))
      local next_number = tide.rand({}):item()
      local second = loader()
      assert(tide.checkpoint(folder, { l = second }, quiet):load())
      assert.are.equal(next_number, tide.rand({}):item())
      run(second, seen, 13)
      assert.are.same(whole, seen)
    end
  end)

  it("refuses what it cannot keep", function()
    local folder = place()
    local function raises(what, f, ...)
      local ok, message = pcall(f, ...)
      assert(not ok and tostring(message):find(what, 1, true), message)
    end
    raises("has no state_dict", tide.checkpoint, folder, { x = {} })
    raises("cannot name", tide.checkpoint, folder, { ["../x"] = object {} })
    raises("no option 'often'", tide.checkpoint, folder, { o = object {} }, { often = 1 })
    raises("mode", tide.checkpoint, folder, { o = object {} }, { mode = "least" })
    raises("keep", tide.checkpoint, folder, { o = object {} }, { keep = 0 })
    for _, every in ipairs { 0, -1, "x" } do raises("every", tide.checkpoint, folder, { o = object {} }, { every = every }) end
    local often = tide.checkpoint(folder, { o = object {} }, { every = 1, sigterm = false })
    raises("test_checkpoint.lua", often.step, often)
    local loop = {}
    loop.loop = loop
    for what, value in pairs { ["a function"] = { f = print }, ["a table within itself"] = loop, ["a key is a table"] = { [{}] = 1 }, ["not UTF-8"] = { s = "\xff" } } do
      local ck = tide.checkpoint(folder, { o = object(value) }, quiet)
      raises(what, ck.save, ck, 1)
      assert.are.equal("", names(folder), "nothing stays")
    end
    local ck = tide.checkpoint(folder, { o = object {} }, quiet)
    raises("whole number", ck.save, ck, 1.5)
    assert(ck:save(1))
    local none, message = tide.checkpoint(folder, { o = object {}, other = object {} }, quiet):load()
    assert(not none and message:find "it has no 'other'", message)
    spill(folder .. "/file", "")
    local saved, why, code = tide.checkpoint(folder .. "/file/x", { o = object {} }, quiet):save(1)
    assert(not saved and why:find "/file: " and code == "EIO", why)
  end)
end)
