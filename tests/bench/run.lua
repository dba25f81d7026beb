--- The benchmark: Tide beside PyTorch, one line a row,
--   BENCH name threads=1 tide=… torch=… ratio=…      (ratio: PyTorch's time / Tide's, the median of interleaved pairs)
-- Settings are environment variables. TIDE_PYTHON: a python that has torch; without it Tide's times alone. ROWS: a Lua
-- pattern of row names; THREADS: "1 2"; PAIRS: 7. BENCH_QUICK: every row once, small, for a test of the bench itself.
-- Tide runs as users have it: the black box is on.
local tide = require "tide"

local here = arg[0]:match "^(.*)/" or "."
local quick = os.getenv "BENCH_QUICK"
local function setting(name) -- nil if it is empty, as make leaves it
  local value = os.getenv(name)
  return value ~= "" and value or nil
end
local pattern, pairs_wanted = setting "ROWS" or "", tonumber(setting "PAIRS") or 7
local PROGRAM, PYTHON = arg[-1], setting "TIDE_PYTHON"

-- name, least ratio wanted, part of the geometric mean?
local LIST = {
  { "add16", 3 }, { "add16_grad" }, { "chain", 10 },
  { "mlp_eager", 8 }, { "mlp_compiled", 10 }, { "cnn_eager" }, { "cnn_compiled" },
  { "adamw", 0.95 }, { "copy" }, { "csv" },
}
for _, name in ipairs { "matmul_16", "matmul_32", "matmul_64", "matmul_128", "matmul_256", "matmul_512", "matmul_1024", "matmul_2048",
  "softmax_dim1", "softmax_dim2", "layer_norm", "gelu", "sum_dim1", "sum_dim2" } do
  table.insert(LIST, { name, 0.9, mean = true })
end
local MEAN_WANTED, COPY_WANTED, DISK_WANTED = 1.1, 0.8, 4e6

local function wanted(name) return name:find(pattern) end
local function capture(command)
  local pipe = io.popen(command)
  local text = pipe:read "a"
  pipe:close()
  return text
end
local function median(list)
  table.sort(list)
  return (list[(#list + 1) // 2] + list[#list // 2 + 1]) / 2
end
local function time(s)
  if s < 1e-3 then return ("%.2fus"):format(s * 1e6) end
  return s < 1 and ("%.2fms"):format(s * 1e3) or ("%.2fs"):format(s)
end

local below, failed = {}, 0
local function report(name, note, mine, theirs, ratio, least)
  local line = ("BENCH %s %s tide=%s torch=%s ratio=%s"):format(name, note, mine, theirs or "-", ratio and ("%.2f"):format(ratio) or "-")
  if ratio and least then
    line = line .. (" target=%g"):format(least)
    if ratio < least then
      line = line .. " BELOW"
      below[#below + 1] = name .. " " .. note
    end
  end
  print(line)
  io.flush()
end

-- ---- a worker: requests go down its input, answers come back through a named pipe ----
local folder = capture("mktemp -d"):match "%S+"
local function worker(command, threads)
  local fifo = ("%s/answers%d%s"):format(folder, threads, command:match "%w+$")
  assert(os.execute("mkfifo " .. fifo))
  local requests = io.popen(("BENCH_DIR=%s TIDE_THREADS=%d exec %s > %s"):format(folder, threads, command, fifo), "w")
  local answers = io.open(fifo)
  return {
    ask = function(name, count)
      requests:write(name, " ", count, "\n")
      requests:flush()
      local line = answers:read "l" or "error the worker is gone"
      local seconds, note = line:match "^([%d.]+) (%S+)$"
      if not seconds then return nil, line end
      return tonumber(seconds) / count, note
    end,
    close = function() requests:close() answers:close() end,
  }
end

-- Calls so that a sample takes about 50 ms.
local function calibrate(side, name)
  if quick then return 1, side.ask(name, 1) end
  local count = 1
  while true do
    local seconds, note = side.ask(name, count)
    if not seconds or seconds * count > 0.02 then
      return seconds and math.max(1, math.ceil(0.05 / seconds)), seconds, note
    end
    count = count * 4
  end
end

local function measure(row, threads, mine, theirs)
  local name, least = row[1], row[2]
  local my_count, first, message = calibrate(mine, name)
  if not first then
    failed = failed + 1
    return print(("BENCH %s threads=%d failed: %s"):format(name, threads, message))
  end
  local their_count, their_first, note
  if theirs then their_count, their_first, note = calibrate(theirs, name) end
  local ours, others, ratios = {}, {}, {}
  for i = 1, quick and 1 or pairs_wanted do
    ours[i] = mine.ask(name, my_count)
    if their_first then
      others[i] = theirs.ask(name, their_count)
      ratios[i] = others[i] / ours[i]
    end
  end
  local text = ("threads=%d"):format(threads)
  if theirs and not their_first then print(("skipped on PyTorch's side: %s: %s"):format(name, note)) end
  if not their_first then return report(name, text, time(median(ours))), median(ours) end
  if note ~= "-" then text = text .. " peer=" .. note end
  local ratio = median(ratios)
  report(name, text, time(median(ours)), time(median(others)), ratio, least)
  return nil, median(ours), median(others), ratio
end

-- ---- a process from start to its first result: seconds, resident memory; and what lies on the disk ----
local TIDE_START = [[-e 'local t = require "tide" assert((t.ones(2) + 1):sum():item() == 4) print(io.open("/proc/self/status"):read("a"):match("VmHWM:%s*(%d+)"))']]
local TORCH_START = [[-c 'import torch, re; assert (torch.ones(2) + 1).sum().item() == 4; print(re.search(r"VmHWM:\s*(\d+)", open("/proc/self/status").read())[1])']]

local function start_rows(torch)
  local function once(command)
    local begun = tide.seconds()
    local kb = tonumber(capture("exec " .. command))
    return tide.seconds() - begun, kb
  end
  local s, t = { {}, {}, {} }, { {}, {} }
  if torch then once(PYTHON .. " " .. TORCH_START) end
  for i = 1, quick and 1 or pairs_wanted do
    s[1][i], s[2][i] = once(PROGRAM .. " " .. TIDE_START)
    if torch then
      t[1][i], t[2][i] = once(PYTHON .. " " .. TORCH_START)
      s[3][i] = t[1][i] / s[1][i]
    end
  end
  local function mb(kb) return ("%.1fMB"):format(kb / 1e3) end
  local kb = median(s[2])
  report("start", "threads=default", time(median(s[1])), torch and time(median(t[1])), torch and median(s[3]), 100)
  report("start_memory", "threads=default", mb(kb), torch and mb(median(t[2])), torch and median(t[2]) / kb, 50)
  -- the program with its Lua files, and the library, without debugging information
  local size = 0
  for _, file in ipairs { PROGRAM, PROGRAM:gsub("[^/]*$", "") .. "libtide.so" } do
    os.execute(("strip -o %s/stripped %s 2>%s/log"):format(folder, file, folder))
    size = size + (tonumber(capture(("stat -Lc %%s %s/stripped; rm -f %s/stripped"):format(folder, folder))) or 0)
  end
  size = size + tonumber(capture(("du -sb %s/../../lua"):format(here)):match "%d+")
  local other = torch and tonumber(capture(PYTHON .. [[ -c 'import torch, os; print(os.path.dirname(torch.__file__))' | xargs du -sb]]):match "%d+")
  report("disk", "threads=default", mb(size / 1e3), other and mb(other / 1e3), other and other / size)
  if size > DISK_WANTED then below[#below + 1] = ("disk (%.1f MB, wanted %g)"):format(size / 1e6, DISK_WANTED / 1e6) end
end

-- ---- everything ----
local torch = PYTHON and os.execute(PYTHON .. " -c 'import torch' 2>/dev/null")
if not torch then print("PyTorch's side is skipped: give a python that has torch, make bench PYTHON=path/to/python") end
if wanted "start" then start_rows(torch) end
for threads in (setting "THREADS" or "1 2"):gmatch "%d+" do
  threads = math.tointeger(tonumber(threads))
  local mine = worker(("%s %s/worker.lua"):format(PROGRAM, here), threads)
  local theirs = torch and worker(("%s %s/worker.py"):format(PYTHON, here), threads)
  local logs, bandwidth = {}, {}
  for _, row in ipairs(LIST) do
    if wanted(row[1]) then
      local alone, ours, others, ratio = measure(row, threads, mine, theirs)
      if row.mean and ratio then logs[#logs + 1] = math.log(ratio) end
      bandwidth[row[1]] = { ours or alone, others }
    end
  end
  if #logs > 0 then
    local sum = 0
    for _, l in ipairs(logs) do sum = sum + l end
    local mean = math.exp(sum / #logs)
    print(("MEAN threads=%d rows=%d ratio=%.2f target=%g%s"):format(threads, #logs, mean, MEAN_WANTED, mean < MEAN_WANTED and " BELOW" or ""))
  end
  local a, c = bandwidth.adamw, bandwidth.copy
  if a and c and a[1] and c[1] and not quick then -- 4 arrays read, 3 written; a copy: 1 and 1
    local n = 50304 * 384 + 256 * 384 + 6 * (2 * 384 + 12 * 384 * 384)
    local rate, copy = 28 * n / a[1] / 1e9, 8 * 30e6 / math.min(c[1], c[2] or c[1]) / 1e9
    print(("ADAMW threads=%d GB/s=%.1f copy=%.1f share=%.2f target=%g%s"):format(threads, rate, copy, rate / copy, COPY_WANTED,
      rate / copy < COPY_WANTED and " BELOW" or ""))
  end
  mine.close()
  if theirs then theirs.close() end
end
os.execute("rm -rf " .. folder)
if #below > 0 then print("below target: " .. table.concat(below, ", ")) end
if failed > 0 then error(failed .. " rows failed", 0) end
