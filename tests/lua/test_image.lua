-- PNG and JPEG to and from tensors; the images and what is in them: tests/data/images/make.py.
local tide = require "tide"
local parts = tide.parts()
local png, jpeg = parts:find "libpng: [%d.]+ " ~= nil, parts:find "libjpeg%-turbo: found" ~= nil
local folder = "tests/data/images/"
local temporary = os.tmpname()
os.remove(temporary)

local function read(path)
  local f = assert(io.open(path, "rb"))
  local text = f:read "a"
  f:close()
  return text
end
local function write(path, text)
  os.remove(path) -- ext4 flushes what is written over
  local f = assert(io.open(path, "wb"))
  f:write(text)
  f:close()
end
local function here(name) return name:find "png$" and png or name:find "jpg$" and jpeg end
local function ints(x) return x:to("int64"):flatten() end
local function furthest(a, b) return (ints(a) - ints(b)):abs():amax():item() end
local function peak() -- bytes
  local f = io.open "/proc/self/status"
  local kib = f and f:read "a":match "VmHWM:%s*(%d+)"
  if f then f:close() end
  return kib and kib * 1024 or 0
end

local expected = assert(tide._json(read(folder .. "expected.json")))

describe("image.load", function()
  it("reads what others wrote", function()
    local n = 0
    for name, e in pairs(expected) do
      if here(name) then
        local x = assert(tide.image.load(folder .. name))
        assert.same("uint8", x.dtype)
        assert.same(e.shape, x.shape, name)
        assert.is_true(furthest(x, tide.tensor(e.pixels)) <= (name:find "png$" and 0 or 1), name)
        n = n + 1
      end
    end
    assert.is_true(n == 13 or not (png and jpeg))
  end)
  it("gives the channels that are wanted", function()
    if not (png and jpeg) then return end
    local rgb, grey = tide.image.load(folder .. "rgb.png"), tide.image.load(folder .. "grey.png")
    for _, name in ipairs { "rgb.png", "rgba.png", "grey.png", "grey-alpha.png", "palette.png", "palette-clear.png", "one-bit.png", "sixteen.png", "interlaced.png" } do
      for channels = 1, 4 do assert.same({ channels, 12, 20 }, tide.image.load(folder .. name, { channels = channels }).shape) end
    end
    for channels = 1, 3, 2 do assert.same({ channels, 12, 20 }, tide.image.load(folder .. "rgb.jpg", { channels = channels }).shape) end
    assert.same(0, furthest(rgb, tide.image.load(folder .. "rgba.png", { channels = 3 })))
    local four = tide.image.load(folder .. "rgb.png", { channels = 4 })
    assert.same(255, four[4]:to("int64"):amin():item())
    assert.same(0, furthest(grey, tide.image.load(folder .. "grey.png", { channels = 3 })[2]))
    local f = rgb:to "float64"
    assert.is_true(furthest((f[1] * 0.299 + f[2] * 0.587 + f[3] * 0.114):round(), tide.image.load(folder .. "rgb.png", { channels = 1 })) <= 1)
    assert.same("EUNSUP", select(3, tide.image.load(folder .. "rgb.jpg", { channels = 4 })))
  end)
  it("refuses damaged and hostile files, in little memory", function()
    local reasons = {
      ["bad-cut.png"] = "cut off", ["bad-sum.png"] = "incorrect data check", ["bad-huge.png"] = "more than 134217728 pixels", ["bad-many-pixels.png"] = "more than",
      ["bad-empty.png"] = "IHDR", ["bad-palette.png"] = "PLTE", ["bad-short.png"] = "Not enough", ["bad-depth.png"] = "IHDR", ["bad-text.png"] = "neither PNG nor JPEG",
      ["bad-nothing.png"] = "neither", ["bad-cut.jpg"] = "Premature end", ["bad-huge.jpg"] = "more than", ["bad-large.jpg"] = "cut off", ["bad-tables.jpg"] = "Quantization",
      ["bad-claim.png"] = "cut off", ["bad-noise.jpg"] = "JPEG", ["bad-scans.jpg"] = "progression", ["bad-cmyk.jpg"] = "CMYK",
    }
    local before, live, count = peak(), nil, 0
    for name, reason in pairs(reasons) do
      if here(name) then
        if count == 1 then -- the first call has noted this line of the program
          collectgarbage()
          live = tide.memory().live
        end
        count = count + 1
        local x, message, code = tide.image.load(folder .. name)
        assert.is_nil(x, name)
        assert.matches(reason, message, 1, true)
        assert.matches("^" .. folder:gsub("%p", "%%%0"), message)
        assert.is_true(code == "EFORMAT" or code == "EUNSUP", code)
      end
    end
    assert.is_true(peak() - before < 64 << 20)
    collectgarbage()
    assert.same(live, count > 0 and tide.memory().live or nil)
    assert.same("EIO", select(3, tide.image.load "/no/such.png"))
  end)
  it("takes no part of a file for the whole", function()
    for name in pairs(expected) do
      local bytes = here(name) and #read(folder .. name) < 2000 and read(folder .. name) or ""
      for n = 0, #bytes - 1 do
        write(temporary, bytes:sub(1, n))
        assert.is_nil((tide.image.load(temporary)), name .. n)
      end
    end
  end)
  it("survives changed bytes", function()
    math.randomseed(7)
    local refused = 0
    for name in pairs(expected) do
      local bytes = here(name) and #read(folder .. name) < 2000 and read(folder .. name) or ""
      for _ = 1, bytes == "" and 0 or 300 do
        local changed = bytes
        for _ = 1, math.random(3) do
          local at = math.random(#bytes)
          changed = changed:sub(1, at - 1) .. string.char(math.random(0, 255)) .. changed:sub(at + 1)
        end
        write(temporary, changed)
        local x, message, code = tide.image.load(temporary, { channels = math.random(0, 1) == 1 and 3 or nil })
        if not x then
          assert.is_true(#message > 0 and (code == "EFORMAT" or code == "EUNSUP" or code == "EMEM"), code)
          refused = refused + 1
        end
      end
    end
    assert.is_true(refused > 100 or not (png or jpeg))
  end)
  it("says what is wrong with the arguments", function()
    assert.error_matches(function() tide.image.load(1) end, "argument 'path': expected a string without NUL bytes")
    assert.error_matches(function() tide.image.load("x", { channels = 5 }) end, "channels must be 1, 2, 3 or 4, not 5")
    assert.matches("test_image.lua:%d+: image.load: no option 'channel'; there are: channels$", (select(2, pcall(function() tide.image.load("x", { channel = 1 }) end))))
  end)
end)

describe("image.save", function()
  local x = tide.arange(0, 4 * 30 * 41):reshape(4, 30, 41):remainder(256):to "uint8"
  it("writes PNG without loss", function()
    if not png then return end
    local path = temporary .. ".png"
    for channels = 1, 4 do
      local part = x:narrow(1, 1, channels)
      assert.same(assert(tide.image.save(path, part)), #read(path))
      assert.same(0, furthest(part, tide.image.load(path)))
    end
    local turned = x[1]:t() -- not contiguous, and grey
    assert.is_truthy(tide.image.save(path, turned))
    local back = tide.image.load(path)
    assert.same({ 1, 41, 30 }, back.shape)
    assert.same(0, furthest(turned, back))
    os.remove(path)
  end)
  it("writes JPEG of some quality", function()
    if not jpeg then return end
    local path = temporary .. ".jpg"
    local smooth = tide.arange(0, 64):reshape(1, 1, 64):mul(3):add(tide.zeros(3, 48, 64)):to "uint8"
    local fine = assert(tide.image.save(path, smooth, { quality = 95 }))
    assert.is_true(furthest(smooth, tide.image.load(path)) <= 3)
    assert.is_true(assert(tide.image.save(path, smooth, { quality = 5 })) < fine)
    assert.is_truthy(tide.image.save(path, smooth[1]))
    assert.same({ 1, 48, 64 }, tide.image.load(path).shape)
    assert.same("EUNSUP", select(3, tide.image.save(path, tide.zeros({ 1, 65501, 1 }, { dtype = "uint8" }))))
    assert.same({ 1, 48, 64 }, tide.image.load(path).shape) -- the old file is as it was
    os.remove(path)
  end)
  it("says what is wrong", function()
    local u8 = { dtype = "uint8" }
    assert.error_matches(function() tide.image.save("x.gif", x) end, "must end with .png, .jpg or .jpeg: x.gif")
    assert.error_matches(function() tide.image.save("x.png", tide.ones(3, 2, 2)) end, "expected uint8, not float32 (3,2,2)", 1, true)
    assert.error_matches(function() tide.image.save("x.jpg", tide.zeros({ 4, 2, 2 }, u8)) end, "with 1 or 3 channels, not (4,2,2)", 1, true)
    assert.error_matches(function() tide.image.save("x.png", tide.zeros({ 5, 2, 2 }, u8)) end, "with 1 to 4 channels, not (5,2,2)", 1, true)
    assert.error_matches(function() tide.image.save("x.png", tide.zeros({ 3, 0, 2 }, u8)) end, "not (3,0,2)", 1, true)
    assert.error_matches(function() tide.image.save("x.jpg", x[1], { quality = 0 }) end, "quality must be an integer from 1 to 100")
    assert.error_matches(function() tide.image.save("x.png", 1) end, "argument 'image': expected a tensor, got 1")
    assert.same("EIO", select(3, tide.image.save("/no/such/x.png", x)))
  end)
  os.remove(temporary)
end)

describe("image.resize", function()
  local x = (tide.arange(20) * 37 % 101):double():reshape(4, 5)
  local function near(wanted, y)
    local got = y:flatten():tolist()
    assert.are.equal(#wanted, #got)
    for i = 1, #got do assert(math.abs(got[i] - wanted[i]) < 1e-9, ("%d: %.12g"):format(i, got[i])) end
  end
  it("gives PyTorch's numbers", function()
    near({ 36.693877551, 52.2380952381, 43.7346938776, 53.2653061224, 44.7619047619, 60.306122449 }, tide.image.resize(x, { 2, 3 }))
    near({ 37.5, 65.5, 43.0, 54.0, 31.5, 59.5 }, tide.image.resize(x, { 2, 3 }, { antialias = false }))
    near({ 32.4090909091, 37.5454545455, 46.2181818182, 54.5681818182, 43.6363636364, 53.3636363636, 42.4318181818, 50.7818181818, 59.4545454545,
      64.5909090909 }, tide.image.resize(x, { 5, 2 }))
    assert.same({ 57, 82, 158, 183 }, tide.image.resize((tide.arange(16) * 16):reshape(4, 4):to "uint8", { 2, 2 }):flatten():tolist())
  end)
  it("keeps what needs no change, the dtype and the proportions", function()
    assert.is_true(tide.equal(x, tide.image.resize(x, { 4, 5 })))
    local image = tide.full({ 3, 40, 60 }, 255, { dtype = "uint8" })
    local small = tide.image.resize(image, 20)
    assert.same({ 3, 20, 30 }, small.shape)
    assert.same("uint8", small.dtype)
    assert.same(255, small:amin():item())
    assert.same({ 3, 30, 20 }, tide.image.resize(image:transpose(2, 3), 20).shape)
    assert.same({ 2, 3, 8, 1 }, tide.image.resize(tide.rand({ 2, 3, 4, 4 }, { dtype = "float16" }), { 8, 1 }).shape)
  end)
  it("has a gradient", function()
    local a = tide.rand({ 1, 3, 4 }, { dtype = "float64" }):requires_grad_()
    local g = tide.grad(tide.image.resize(a, { 2, 6 }):sum(), a)[1]
    assert(math.abs(g:sum():item() - 12) < 1e-12) -- every result is a mean
  end)
  it("says what is wrong with the arguments", function()
    local function says(what, ...)
      local args = table.pack(...)
      local _, message = pcall(function() tide.image.resize(table.unpack(args, 1, args.n)) end)
      assert.matches("test_image.lua:%d+: " .. what, message)
    end
    says("image.resize: expected %(..., height, width%), not %(4%)", tide.ones(4), 2)
    says("image.resize: expected %(..., height, width%), not %(0,2%)", tide.ones(0, 2), 2)
    says("image.resize: expected uint8 or floats, not int64", tide.arange(4):reshape(2, 2), 2)
    says("image.resize: size is {height, width}, both positive", x, { 2 })
    says("image.resize: size is {height, width}, both positive", x, 0)
    says("%[image.resize%] argument 'size': expected an integer or a table, got 1.5", x, 1.5)
    says("image.resize: no option 'mode'; there are: antialias", x, 2, { mode = "nearest" })
  end)
end)
