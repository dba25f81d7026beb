--- The benchmark: Tide beside PyTorch, one line a row,
--   BENCH name threads=1 tide=… torch=… ratio=…      (ratio: PyTorch's time / Tide's, the median of interleaved pairs, and its
-- quartiles). Pairs beside which other processes worked are measured again; if that does not help the row is NOISY and
-- not part of the mean.
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

-- name, least ratio wanted (alone: of one thread each), part of the geometric mean?
local LIST = {
  { "add16", 3 }, { "add16_grad" }, { "chain", 10 },
  { "mlp_eager", 8 }, { "mlp_compiled", 10 }, { "cnn_eager" }, { "cnn_compiled" },
  { "adamw", 0.95 }, { "copy" }, { "csv", 2, alone = true }, { "csv_floats", 2, alone = true },
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

local function megabytes(n) return ("%.1fMB"):format(n / 1e6) end

-- goal: the least ratio wanted. A noisy row is not judged: it passes as little as it fails.
local below, unjudged, failed = {}, {}, 0
local function report(name, note, mine, theirs, ratio, goal, spread, noisy)
  local line = ("BENCH %s %s tide=%s torch=%s ratio=%s"):format(name, note, mine, theirs or "-", ratio and ("%.2f"):format(ratio) or "-")
  line = line .. (spread or "") .. (goal and ratio and (" target=%g"):format(goal) or "")
  if noisy then
    unjudged[#unjudged + 1] = name .. " " .. note
  elseif ratio and goal and ratio < goal then
    below[#below + 1] = name .. " " .. note
  end
  print(line .. (noisy and " NOISY" or ratio and goal and ratio < goal and " BELOW" or ""))
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
      local seconds, cpu, note = line:match "^([%d.]+) ([%d.]+) (%S+)$"
      if not seconds then return nil, line end
      return tonumber(seconds) / count, note, tonumber(cpu)
    end,
    close = function() requests:close() answers:close() end,
  }
end

-- ---- is the machine ours? What other processes take spoils a pair, and spoils spinning OpenMP threads a hundredfold ----
local TICK, CORES = 1 / tonumber(capture "getconf CLK_TCK"), tonumber(capture "nproc")
local function busy() -- seconds of all processors that were not idle, the host's share of them too
  local file <close> = assert(io.open "/proc/stat")
  local user, nice, system, _, _, irq, soft, steal = file:read("l"):match("(%d+) (%d+) (%d+) (%d+) (%d+) (%d+) (%d+) (%d+)")
  return (user + nice + system + irq + soft + steal) * TICK
end

-- One sample: seconds a call; the seconds it took, and the processor time that others had meanwhile.
local function sample(side, name, count)
  local start, before = tide.seconds(), busy()
  local seconds, _, cpu = side.ask(name, count)
  return seconds, tide.seconds() - start, busy() - before - (cpu or 0)
end

-- Calls so that a sample takes about 100 ms.
local function calibrate(side, name)
  if quick then return 1, side.ask(name, 1) end
  local count = 1
  while true do
    local seconds, note = side.ask(name, count)
    if not seconds or seconds * count > 0.02 then
      return seconds and math.max(1, math.ceil(0.1 / seconds)), seconds, note
    end
    count = count * 4
  end
end

local function measure(row, threads, mine, theirs)
  local name, goal = row[1], (threads == 1 or not row.alone) and row[2] or nil
  local my_count, first, message = calibrate(mine, name)
  if not first then
    failed = failed + 1
    return print(("BENCH %s threads=%d failed: %s"):format(name, threads, message))
  end
  local their_count, their_first, note
  if theirs then their_count, their_first, note = calibrate(theirs, name) end
  local ours, others, ratios = {}, {}, {}
  local tries, spare = 0, math.max(CORES - threads, 0) -- others may have half of the cores that the row leaves free
  local noisy = true
  while #ours < (quick and 1 or pairs_wanted) do
    tries = tries + 1
    noisy = tries > 4 * pairs_wanted -- too long: take what comes, and say so
    local mine_s, wall, foreign = sample(mine, name, my_count)
    local theirs_s, wall2, foreign2
    if their_first then
      theirs_s, wall2, foreign2 = sample(theirs, name, their_count)
      wall, foreign = wall + wall2, foreign + foreign2
    end
    if quick or noisy or foreign / wall <= 0.5 * spare + 0.1 then
      local i = #ours + 1
      ours[i] = mine_s
      if theirs_s then others[i], ratios[i] = theirs_s, theirs_s / mine_s end
    else
      os.execute "sleep 0.3" -- whoever works there may be done then
    end
  end
  local text = ("threads=%d"):format(threads)
  if theirs and not their_first then print(("skipped on PyTorch's side: %s: %s"):format(name, note)) end
  if not their_first then
    report(name, text, time(median(ours)), nil, nil, goal, nil, noisy)
    return median(ours), nil, not noisy or nil
  end
  if note ~= "-" then text = text .. " peer=" .. note end
  local ratio = median(ratios) -- sorted now: the quartiles say how sure it is
  local spread = (" (%.2f-%.2f)"):format(ratios[(#ratios + 3) // 4], ratios[(3 * #ratios + 1) // 4])
  report(name, text, time(median(ours)), time(median(others)), ratio, goal, spread, noisy)
  return median(ours), median(others), not noisy and ratio or nil
end

-- ---- everything ----
local torch = PYTHON and os.execute(PYTHON .. " -c 'import torch' 2>/dev/null")
if not torch then print("PyTorch's side is skipped: give a python that has torch, make bench PYTHON=path/to/python") end
if wanted "start" then
  local start = dofile(here .. "/start.lua") { program = PROGRAM, python = torch and PYTHON, lua = here .. "/../../lua", capture = capture,
    folder = folder, pairs = quick and 1 or pairs_wanted, median = median }
  report("start", "threads=default", time(start.seconds), start.peer_seconds and time(start.peer_seconds), start.ratio, 100)
  for _, row in ipairs { { "start_memory", 50 }, { "disk" } } do
    local mine, theirs = start[row[1]], start["peer_" .. row[1]]
    report(row[1], "threads=default", megabytes(mine), theirs and megabytes(theirs), theirs and theirs / mine, row[2])
  end
  if start.disk > DISK_WANTED then below[#below + 1] = ("disk (wanted %s)"):format(megabytes(DISK_WANTED)) end
end
for threads in (setting "THREADS" or "1 2"):gmatch "%d+" do
  threads = math.tointeger(tonumber(threads))
  local mine = worker(("%s %s/worker.lua"):format(PROGRAM, here), threads)
  local theirs = torch and worker(("%s %s/worker.py"):format(PYTHON, here), threads)
  local logs, bandwidth = {}, {}
  for _, row in ipairs(LIST) do
    if wanted(row[1]) then
      local ours, others, ratio = measure(row, threads, mine, theirs)
      if row.mean and math.type(ratio) then logs[#logs + 1] = { name = row[1], log = math.log(ratio) } end
      bandwidth[row[1]] = { ours, others, ratio }
    end
  end
  for _, group in ipairs { "", "^matmul", "^[^m]" } do -- all of the table; then products and the rest, which differ much
    local sum, n = 0, 0
    for _, l in ipairs(logs) do
      if l.name:find(group) then sum, n = sum + l.log, n + 1 end
    end
    if n > 0 then
      local mean, goal = math.exp(sum / n), group == "" and MEAN_WANTED or nil
      print(("MEAN threads=%d rows=%s%d ratio=%.2f%s"):format(threads, group == "" and "" or group == "^matmul" and "matmul:" or "others:",
        n, mean, goal and (" target=%g%s"):format(goal, mean < goal and " BELOW" or "") or ""))
    end
  end
  local a, c = bandwidth.adamw, bandwidth.copy
  if a and c and a[1] and c[1] and not quick then -- 4 arrays read, 3 written; a copy: 1 and 1
    local n = 50304 * 384 + 256 * 384 + 6 * (2 * 384 + 12 * 384 * 384)
    local rate, copy = 28 * n / a[1] / 1e9, 8 * 30e6 / math.min(c[1], c[2] or c[1]) / 1e9
    print(("ADAMW threads=%d GB/s=%.1f copy=%.1f share=%.2f target=%g%s"):format(threads, rate, copy, rate / copy, COPY_WANTED,
      not (a[3] and c[3]) and " NOISY" or rate / copy < COPY_WANTED and " BELOW" or ""))
  end
  mine.close()
  if theirs then theirs.close() end
end
os.execute("rm -rf " .. folder)
if #below > 0 then print("below target: " .. table.concat(below, ", ")) end
if #unjudged > 0 then print("not judged, the machine was busy: " .. table.concat(unjudged, ", ")) end
if failed > 0 then error(failed .. " rows failed", 0) end
