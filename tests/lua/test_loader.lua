-- Loaders: samplers, workers, places kept; datasets from files.
local tide = require "tide"
local data = tide.data

local function spill(text, ending)
  local path = os.tmpname()
  if ending then
    os.remove(path)
    path = path .. ending
  end
  local f <close> = assert(io.open(path, "wb"))
  f:write(text)
  return path
end

local function text_of(...)
  local parts = {}
  for i, v in ipairs { ... } do parts[i] = table.concat(v:flatten():tolist(), " ") end
  return table.concat(parts, "|")
end

local function all(loader, n)
  local list = {}
  for a, b, c in loader do
    list[#list + 1] = text_of(a, b, c)
    if #list == n then break end
  end
  return list
end

describe("samplers", function()
  it("random: a permutation, another each pass, fixed by the seed", function()
    local s = data.RandomSampler(50)
    local a, b = s:order(1, 1):tolist(), s:order(1, 2):tolist()
    assert.are_not.same(a, b)
    assert.are.same(a, s:order(1, 1):tolist())
    table.sort(b)
    for i = 1, 50 do assert.are.equal(i - 1, b[i]) end
  end)
  it("weighted: draws in proportion", function()
    local s = data.WeightedRandomSampler({ 1, 0, 3, 0 }, 4000)
    local count = { [0] = 0, 0, 0, 0 }
    for _, row in ipairs(s:order(7, 1):tolist()) do count[row] = count[row] + 1 end
    assert.are.equal(0, count[1] + count[3])
    assert(math.abs(count[2] / 4000 - 0.75) < 0.03, count[2])
    local once = data.WeightedRandomSampler({ 1, 0, 3, 2 }, 3, false):order(3, 1):tolist()
    table.sort(once)
    assert.are.same({ 0, 2, 3 }, once)
    assert.has_error(function() data.WeightedRandomSampler({ 1, 0 }, 2, false) end,
      "WeightedRandomSampler: 2 rows without replacement, but fewer have a weight")
    assert.has_error(function() data.WeightedRandomSampler({ 1, -1 }, 2) end)
  end)
  it("weighted: leaves the context's own random numbers alone", function()
    tide.manual_seed(3)
    local want = tide.rand({ 3 }):tolist()
    tide.manual_seed(3)
    data.WeightedRandomSampler({ 1, 2 }, 5):order(1, 1)
    assert.are.same(want, tide.rand({ 3 }):tolist())
  end)
  it("distributed: equal parts that are everything", function()
    local seen = {}
    for rank = 1, 3 do
      local s = data.DistributedSampler(10, { ranks = 3, rank = rank })
      assert.are.equal(4, #s)
      for _, row in ipairs(s:order(5, 2):tolist()) do seen[row] = (seen[row] or 0) + 1 end
    end
    local total = 0
    for row = 0, 9 do total = total + seen[row] end
    assert.are.equal(12, total)
    local short = data.DistributedSampler(10, { ranks = 3, rank = 3, shuffle = false, drop_last = true })
    assert.are.same({ 2, 5, 8 }, short:order(1, 1):tolist())
  end)
  it("in a loader", function()
    local x = tide.arange(6)
    local loader = data.DataLoader(x, { batch_size = 2, sampler = data.DistributedSampler(6, { ranks = 2, rank = 2, shuffle = false }) })
    assert.are.same({ "1 3", "5" }, all(loader))
    assert.has_error(function() data.DataLoader(x, { shuffle = true, sampler = data.SequentialSampler(6) }) end)
    assert.matches("test_loader.lua:%d+: DataLoader: no option 'batchsize'; there are: batch_size, ", (select(2, pcall(function() data.DataLoader(x, { batchsize = 2 }) end))))
  end)
end)

describe("loader", function()
  local noisy = { module = "noisy", data = { n = 23 } }
  it("collates numbers, strings, named fields", function()
    local samples = { { name = "a", x = tide.ones(2), y = 1 }, { name = "b", x = tide.zeros(2), y = 2 } }
    for batch in data.DataLoader(samples, { batch_size = 2 }) do
      assert.are.same({ "a", "b" }, batch.name)
      assert.are.same({ { 1, 1 }, { 0, 0 } }, batch.x:tolist())
      assert.are.same({ 1, 2 }, batch.y:tolist())
    end
    local own = data.DataLoader({ 4, 5, 6 }, { batch_size = 3, collate = function(list) return { sum = list[1] + list[2] + list[3] } end })
    for batch in own do assert.are.equal(15, batch.sum) end
  end)
  it("gives the same batches whatever the number of workers", function()
    local want = all(data.DataLoader(noisy, { batch_size = 4, shuffle = true, seed = 9 }))
    assert.are.equal(6, #want)
    for workers = 1, 3 do
      local loader <close> = data.DataLoader(noisy, { batch_size = 4, shuffle = true, seed = 9, workers = workers, prefetch = workers })
      assert.are.same(want, all(loader))
      assert.are_not.same(want, all(loader))
    end
    local mine <close> = data.DataLoader(noisy, { batch_size = 4, shuffle = true, seed = 9, workers = 2,
      collate = function(samples) return require "tide.data.collate"(samples) end })
    assert.are.same(want, all(mine))
    local named <close> = data.DataLoader(noisy, { batch_size = 4, shuffle = true, seed = 9, workers = 2, collate = "tide.data.collate" })
    assert.are.same(want, all(named))
  end)
  it("sends tensors to workers, and leaves a pass early", function()
    local x = tide.randn({ 40, 3 })
    local loader <close> = data.DataLoader({ x, tide.arange(40) }, { batch_size = 8, workers = 2, shuffle = true, seed = 2 })
    for _ = 1, 3 do
      for xb, rows in loader do
        assert.are.same(x:index_select(1, rows):tolist(), xb:tolist())
        if rows[1]:item() % 2 == 0 then break end
      end
    end
  end)
  it("resumes exactly, with and without workers", function()
    local options = { batch_size = 3, shuffle = true, seed = 11 }
    local whole = {}
    local reference = data.DataLoader(noisy, options)
    for _ = 1, 2 do
      for _, b in ipairs(all(reference)) do whole[#whole + 1] = b end
    end
    assert.are.equal(16, #whole)
    for _, workers in ipairs { 0, 2 } do
      for stop = 1, 15, 3 do
        local function loader() return data.DataLoader(noisy, { batch_size = 3, shuffle = true, seed = 11, workers = workers }) end
        local seen, first = {}, loader()
        while #seen < stop do
          for _, b in ipairs(all(first, stop - #seen)) do seen[#seen + 1] = b end
        end
        local state = first:state_dict()
        first:close()
        local second <close> = loader():load_state_dict(state)
        while #seen < 16 do
          for _, b in ipairs(all(second)) do seen[#seen + 1] = b end
        end
        assert.are.same(whole, seen)
      end
    end
  end)
  it("raises a worker's error with its traceback, and goes on", function()
    local loader <close> = data.DataLoader({ module = "noisy", data = { n = 8, broken = 3 } }, { batch_size = 2, workers = 2 })
    local ok, message = pcall(all, loader)
    assert(not ok)
    for _, part in ipairs { "worker 2", "noisy.lua:6: sample 3 is broken", "stack traceback", "source.lua" } do
      assert(message:find(part, 1, true), message)
    end
    local seen = 0
    pcall(function() for _ in loader do seen = seen + 1 end end)
    assert.are.equal(1, seen)
    local strange <close> = data.DataLoader({ module = "noisy", data = { n = 4, function_at = 2 } }, { workers = 1,
      collate = function(s) return s end })
    ok, message = pcall(function() for _ in strange do seen = seen + 1 end end)
    assert(not ok and message:find("a function cannot be sent to another thread", 1, true), message)
  end)
  it("says what cannot be sent, and what a module lacks", function()
    local function refused(what, dataset, options)
      local ok, message = pcall(function()
        local loader <close> = data.DataLoader(dataset, options)
        loader:iterate()()
      end)
      assert(not ok and tostring(message):find(what, 1, true), message)
    end
    refused("module 'no.such.module' not found", { module = "no.such.module" }, { workers = 1 })
    refused("a function cannot be sent", { module = "noisy", data = { n = 4, f = print } }, { workers = 1 })
    local loop = { n = 4 }
    loop.loop = loop
    refused("in itself", { module = "noisy", data = loop }, { workers = 1 })
    refused("workers need the dataset as", setmetatable({ get = print }, { __len = function() return 3 end }), { workers = 1 })
  end)
  it("collates the samples of every kind of dataset; several values are several of the batch, nil is an error", function()
    local function rows(list)
      local sum = 0
      for _, sample in ipairs(list) do sum = sum + sample[1]:item() end
      return sum, #list
    end
    for workers = 0, 1 do
      local loader <close> = data.DataLoader({ tide.arange(5) }, { batch_size = 2, collate = rows, workers = workers })
      local got = {}
      for sum, n in loader do got[#got + 1] = sum .. "/" .. n end
      assert.are.same({ "1/2", "5/2", "4/1" }, got)
      local none <close> = data.DataLoader({ tide.arange(5) }, { collate = function() end, workers = workers })
      assert.has_error(function() none() end, "DataLoader: collate returned nil")
    end
  end)
  it("every for is a pass of its own, also within another", function()
    for workers = 0, 2 do
      local loader <close> = data.DataLoader(tide.arange(6), { batch_size = 2, workers = workers })
      local got = {}
      for a in loader do
        for b in loader do got[#got + 1] = a[1]:item() .. b[1]:item() end
      end
      assert.are.same({ "00", "02", "04", "20", "22", "24", "40", "42", "44" }, got)
      assert.are.same({ 4, 3 }, { loader:state_dict().passes, loader:state_dict().at })
    end
  end)
  it("closed within its own loop it goes on", function()
    local loader <close> = data.DataLoader(tide.arange(6), { batch_size = 2, workers = 2 })
    local got = {}
    for a in loader do
      got[#got + 1] = text_of(a)
      loader:close()
    end
    assert.are.same({ "0 1", "2 3", "4 5" }, got)
  end)
  it("takes a state of its own kind only", function()
    local state = data.DataLoader(tide.arange(6), { batch_size = 2 }):state_dict()
    assert.has_error(function() data.DataLoader(tide.arange(6), { batch_size = 3 }):load_state_dict(state) end,
      "DataLoader: the state has batch_size 2, not 3")
    assert.has_error(function() data.DataLoader(tide.arange(7), { batch_size = 2 }):load_state_dict(state) end, "DataLoader: the state has rows 6, not 7")
  end)
  it("wrong arguments are errors in the user's line", function()
    local x = tide.arange(4)
    local function refused(what, f, ...)
      local message = select(2, pcall(function(...) return (f(...)) end, ...))
      assert.matches("test_loader.lua:%d+: .*" .. what, message)
    end
    local function load(state) data.DataLoader(x):load_state_dict(state) end
    refused("'state': expected a table, got 3", load, 3)
    refused("the state has .* nil", load, {})
    refused("'sampler': expected a table", data.DataLoader, x, { sampler = 3 })
    refused("'seed': expected an integer", data.DataLoader, x, { seed = "x" })
    refused("'collate': expected a function or a string", data.DataLoader, x, { collate = 3 })
    refused("'batch_size': expected a positive integer, got 0", data.DataLoader, x, { batch_size = 0 })
    refused("'header': expected a non%-negative integer", data.TokenShards, "x", { context = 2, header = "x" })
    refused("'path': expected a string without NUL bytes", data.JSONLines, "x\0y")
    local list = setmetatable({ order = function() return { 0, 1 } end }, { __len = function() return 2 end })
    refused("'sampler:order%(%)': expected a tensor", function() for _ in data.DataLoader(x, { sampler = list }) do end end)
  end)
  it("closes while a worker is busy", function()
    local loader = data.DataLoader({ module = "noisy", data = { n = 8, endless = 2 } }, { workers = 2 })
    loader:iterate()()
    local start = os.time()
    loader:close()
    assert(os.time() - start < (os.getenv "TIDE_VALGRIND" and 60 or 5))
  end)
end)

describe("datasets", function()
  it("CSV", function()
    local path = spill "a,b,label\n1,2,0\n3,,1\n5,6,1\n"
    local set = data.CSVDataset(path, { target = "label" })
    assert.are.equal(2, #set)
    assert.are.same({ "1.0 2.0 5.0 6.0|0 1" }, all(data.DataLoader(set, { batch_size = 2 })), "rows")
    assert.are.same({ "b" }, data.CSVDataset(path, { features = "b", target = "label" }).names)
    local loader <close> = data.DataLoader(set, { batch_size = 2, workers = 1 })
    assert.are.equal(1, #all(loader))
    os.remove(path)
  end)
  it("JSON lines", function()
    local path = spill '{"x": 1, "t": "a"}\n\n{"x": 2, "t": "b"}\n{"x": 3, "t": "c"}'
    local set = data.JSONLines(path)
    assert.are.equal(3, #set)
    assert.are.same({ x = 3, t = "c" }, set:get(3))
    local loader <close> = data.DataLoader(set, { batch_size = 2, workers = 2 })
    local texts = {}
    for batch in loader do table.insert(texts, table.concat(batch.t)) end
    assert.are.same({ "ab", "c" }, texts)
    os.remove(path)
    path = spill '{"x": \n'
    assert.has_error(function() data.JSONLines(path):get(1) end)
    os.remove(path)
  end)
  it("MNIST's files", function()
    local images = string.pack(">I4I4I4I4", 0x803, 3, 2, 2) .. string.char(0, 255, 51, 0, 1, 2, 3, 4, 5, 6, 7, 255)
    local a, b = spill(images), spill(string.pack(">I4I4", 0x801, 3) .. "\7\1\9")
    local set = data.MNISTDataset(a, b)
    for x, y in data.DataLoader(set, { batch_size = 3 }) do
      assert.are.same({ 3, 1, 2, 2 }, x.shape)
      assert.are.equal(1, x[1][1][1][2]:item())
      assert.are.same({ 7, 1, 9 }, y:tolist())
    end
    local one = set:get(1)
    assert.are.same({ 1, 2, 2 }, one[1].shape)
    for _, broken in ipairs { images:sub(1, -2), images:sub(1, 7), "\0\0\8", "\0\0\7\1aaaa", images .. "x",
      string.pack(">I4I4I4I4", 0x803, 0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF) } do
      local c = spill(broken)
      local ok, message = pcall(data.MNISTDataset, c, b)
      assert(not ok and message:find(c, 1, true), message)
      os.remove(c)
    end
    os.remove(a)
    os.remove(b)
  end)
  it("CIFAR's files", function()
    local record = {}
    for i = 1, 2 do record[i] = string.char(i + 2) .. string.rep(string.char(i * 51), 3072) end
    local path = spill(table.concat(record))
    local set = data.CIFARDataset { path, path }
    assert.are.equal(4, #set)
    for x, y in data.DataLoader(set, { batch_size = 4 }) do
      assert.are.same({ 4, 3, 32, 32 }, x.shape)
      assert(math.abs(x[2][3][1][1]:item() - 0.4) < 1e-6)
      assert.are.same({ 3, 4, 3, 4 }, y:tolist())
    end
    assert.has_error(function() data.CIFARDataset(path, { classes = 100 }) end)
    os.remove(path)
  end)
  it("npy and npz", function()
    local x, y = tide.randn({ 5, 2 }), tide.arange(5)
    local npy, npz = spill("", ".npy"), spill("", ".npz")
    assert(tide.save(npy, x))
    assert(tide.save(npz, { x = x, y = y }))
    assert.are.same(text_of(x), text_of((data.DataLoader(data.ArrayDataset(npy), { batch_size = 5 }):iterate()())))
    local a, b = data.DataLoader(data.ArrayDataset(npz, "x", "y"), { batch_size = 5 }):iterate()()
    assert.are.same(text_of(x, y), text_of(a, b))
    assert.has_error(function() data.ArrayDataset(npz, "z") end)
    os.remove(npy)
    os.remove(npz)
  end)
  it("token shards", function()
    local function shard(from, n)
      local t = {}
      for i = 1, n do t[i] = string.pack("<I2", from + i) end
      return spill(table.concat(t))
    end
    local a, b, c = shard(0, 9), shard(100, 3), shard(65000, 6)
    local set = data.TokenShards({ a, b, c }, { context = 4 })
    assert.are.equal(3, #set) -- tokens 1-5, 5-9, 65001-65005
    local got = {}
    for i = 1, #set do got[i] = text_of(table.unpack(set:get(i))) end
    assert.are.same({ "1 2 3 4|2 3 4 5", "5 6 7 8|6 7 8 9", "65001 65002 65003 65004|65002 65003 65004 65005" }, got)
    assert.are.equal(5 + 2, #data.TokenShards({ a, b, c }, { context = 4, stride = 1 }))
    local loader <close> = data.DataLoader(set, { batch_size = 2, workers = 2 })
    local x = loader:iterate()()
    assert.are.same({ { 1, 2, 3, 4 }, { 5, 6, 7, 8 } }, x:tolist())
    assert.has_error(function() data.TokenShards(b, { context = 3 }) end)
    assert.has_error(function() data.TokenShards("/nowhere", { context = 3 }) end)
    for _, path in ipairs { a, b, c } do os.remove(path) end
  end)
  it("folders of pictures", function()
    local lfs = require "lfs"
    local root = os.tmpname()
    os.remove(root)
    for _, folder in ipairs { "", "/cat", "/dog", "/dog/more" } do assert(lfs.mkdir(root .. folder)) end
    local files = { "/cat/2.png", "/cat/1.PNG", "/dog/more/x.jpg", "/dog/note.txt" }
    for _, name in ipairs(files) do io.open(root .. name, "w"):close() end
    local set = data.ImageFolder(root, { load = function(path) return tide.full({ 1 }, #path) end, transform = function(x) return x - #root end })
    assert.are.same({ "cat", "dog" }, set.classes)
    assert.are.equal(3, #set)
    assert.are.same({ root .. "/cat/1.PNG", root .. "/cat/2.png", root .. "/dog/more/x.jpg" }, set.paths)
    assert.are.same({ "10 10 15|0 0 1" }, all(data.DataLoader(set, { batch_size = 3 })))
    assert.has_error(function() data.ImageFolder(root .. "/cat", { load = print }) end)
    for _, name in ipairs(files) do os.remove(root .. name) end
    for _, folder in ipairs { "/dog/more", "/dog", "/cat", "" } do lfs.rmdir(root .. folder) end
  end)
end)
