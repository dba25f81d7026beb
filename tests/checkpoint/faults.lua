-- Every call that a save makes of the disk fails once: the failure is reported, and nothing that was saved is lost.
--   LD_PRELOAD=faults.so tide faults.lua FAULTS.so FOLDER
local faults = assert(package.loadlib(arg[1], "luaopen_faults"))()
local tide = require "tide"
local lfs = require "lfs"
local folder = arg[2]
local reasons = { ENOSPC = "No space left on device", EIO = "Input/output error" }
local passed, failed = 0, 0

local function check(ok, ...)
  if ok then
    passed = passed + 1
  else
    failed = failed + 1
    print("failed:", ...)
  end
end

-- try(n) saves with the n-th call failing; then intact() says whether all is as before. Returns how many calls there are.
local function every_call(call, how, try, intact)
  for n = 1, 1000 do
    faults.arm(call, n, how)
    local ok, message, code = try()
    if faults.disarm() == 0 then
      check(ok, call, how, n, message)
      return n - 1
    end
    if how == "short" then
      check(ok, call, how, n, message)
    else
      check(not ok and code == "EIO" and message:find(reasons[how], 1, true), call, how, n, ok, message, code)
      check(intact(ok), call, how, n, "something was lost")
    end
  end
end

local function slurp(path)
  local f <close> = assert(io.open(path, "rb"))
  return f:read("a")
end
local function entries(path)
  local n = 0
  for _ in lfs.dir(path) do n = n + 1 end
  return n
end

local kinds = { { "open", "EIO" }, { "write", "ENOSPC" }, { "write", "EIO" }, { "write", "short" }, { "fsync", "EIO" },
  { "fsync", "ENOSPC" }, { "close", "EIO" }, { "rename", "EIO" } }

-- one file that is replaced
local old, new = { a = tide.ones { 1000 }, b = tide.zeros { 3 } }, { a = tide.zeros { 2000 }, c = tide.ones { 2 } }
assert(lfs.mkdir(folder .. "/files"))
for _, name in ipairs { "x.safetensors", "x.npy", "x.npz" } do
  local path = folder .. "/files/" .. name
  local function pick(t) return name == "x.npy" and t.a or t end
  assert(tide.save(path, pick(old)))
  local before = slurp(path)
  assert(tide.save(path, pick(new)))
  local after = slurp(path)
  for _, kind in ipairs(kinds) do
    assert(tide.save(path, pick(old)))
    local count = entries(folder .. "/files")
    local calls = every_call(kind[1], kind[2], function() return tide.save(path, pick(new)) end, function()
      local now = slurp(path) -- whole: the old one, or the new one if only the folder was not synced
      local ok = entries(folder .. "/files") == count and (now == before or kind[1] == "fsync" and now == after)
      assert(tide.save(path, pick(old)))
      return ok
    end)
    check(calls > 0, name, kind[1], "is never called")
    check(slurp(path) == after, name, "the last save is not there")
  end
end

-- a checkpoint
table.insert(kinds, { "mkdir", "ENOSPC" })
for _, kind in ipairs(kinds) do
  local model = tide.nn.Linear(4, 3)
  local opt = tide.optim.SGD(model:parameters(), { lr = 0.1, momentum = 0.9 })
  local place = folder .. "/" .. kind[1] .. kind[2]
  local ck = tide.checkpoint(place, { model = model, opt = opt }, { sigterm = false })
  local function next_weights()
    opt:zero_grad()
    model(tide.randn { 2, 4 }):sum():backward()
    opt:step()
  end
  local step, want = 1, nil
  next_weights()
  assert(ck:save(1))
  want = model.weight:tolist()
  local calls = every_call(kind[1], kind[2], function()
    next_weights()
    step = step + 1
    local path, message, code = ck:save(step)
    if path then want = model.weight:tolist() end
    return path, message, code
  end, function()
    local now = model.weight:tolist()
    local got = assert(ck:load())
    local function same(a, b) return table.concat(a[1], " ") == table.concat(b[1], " ") end
    local ok = got < step and same(model.weight:tolist(), want) or got == step and same(model.weight:tolist(), now)
    assert(ck:save(step)) -- and the next save is well
    want = model.weight:tolist()
    return ok
  end)
  check(calls > 0, kind[1], "is never called")
  check(#ck:steps() == 2 and entries(place) == 5, kind[1], kind[2], "leftovers in the folder: " .. entries(place)) -- . .. LATEST
end
print(("%d passed, %d failed"):format(passed, failed))
os.exit(failed == 0)
