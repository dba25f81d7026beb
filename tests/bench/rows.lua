--- What is measured, on Tide's side: name -> function that prepares and returns the work of one call.
-- rows.py has the same rows for PyTorch. The big ones are small when BENCH_QUICK is set, for a test of the bench itself.
local tide = require "tide"
local nn, F, optim = tide.nn, tide.nn.functional, tide.optim
local quick = os.getenv "BENCH_QUICK"
local rows = {}

local function leaf(...) return tide.randn(...):requires_grad_(true) end

-- ---- where overhead is all ----
function rows.add16()
  local a, b = tide.randn(16), tide.randn(16)
  tide.set_grad_enabled(false)
  return function() return a + b end
end
function rows.add16_grad()
  local a, b = leaf(16), tide.randn(16)
  return function() return a + b end
end
function rows.chain()
  local w, b = leaf(16), tide.randn(16)
  return function()
    local y = ((w * b + b):tanh() * b):sum()
    w.grad = nil
    y:backward()
  end
end

-- ---- training steps ----
local function trainer(model, x, y)
  local opt = optim.Adam(model:parameters(), { lr = 1e-3 })
  return function()
    local loss = F.cross_entropy(model(x), y)
    opt:zero_grad()
    loss:backward()
    opt:step()
    return loss
  end
end
local function mlp()
  return trainer(nn.Sequential { nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10) }, tide.randn(32, 64), tide.arange(32) % 10)
end
local function cnn() -- that of examples/cnn.lua
  return trainer(nn.Sequential {
    nn.Conv2d(1, 16, 3, { padding = 1, bias = false }), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2),
    nn.Conv2d(16, 32, 3, { padding = 1, bias = false }), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2),
    nn.Flatten(), nn.Dropout(0.25), nn.Linear(128, 10),
  }, tide.randn(64, 1, 8, 8), tide.arange(64) % 10)
end
rows.mlp_eager, rows.cnn_eager = mlp, cnn
function rows.mlp_compiled() return tide.compile(mlp()) end
function rows.cnn_compiled() return tide.compile(cnn()) end

-- ---- kernels ----
for power = 4, 11 do
  local n = 1 << power
  rows["matmul_" .. n] = function()
    local a, b = tide.randn(n, n), tide.randn(n, n)
    tide.set_grad_enabled(false)
    return function() return a:matmul(b) end
  end
end

local ROWS, COLUMNS = quick and 64 or 4096, 1024
local function there_and_back(forward, inputs, gradient)
  return function()
    for _, x in ipairs(inputs) do x.grad = nil end
    forward():backward(gradient)
  end
end
for dim = 1, 2 do
  rows["softmax_dim" .. dim] = function()
    local x = leaf(ROWS, COLUMNS)
    return there_and_back(function() return x:softmax(dim) end, { x }, tide.randn(ROWS, COLUMNS))
  end
  rows["sum_dim" .. dim] = function()
    local x = leaf(ROWS, COLUMNS)
    return there_and_back(function() return x:sum(dim) end, { x }, tide.randn(dim == 1 and COLUMNS or ROWS))
  end
end
function rows.gelu()
  local x = leaf(ROWS, COLUMNS)
  return there_and_back(function() return F.gelu(x) end, { x }, tide.randn(ROWS, COLUMNS))
end
function rows.layer_norm()
  local x, w, b = leaf(ROWS, COLUMNS), leaf(COLUMNS), leaf(COLUMNS)
  return there_and_back(function() return F.layer_norm(x, { COLUMNS }, w, b) end, { x, w, b }, tide.randn(ROWS, COLUMNS))
end

-- ---- memory: the parameters of a GPT of 6 layers of 384, 30 million ----
function rows.adamw()
  local shapes, params = { { quick and 50 or 50304, 384 }, { 256, 384 } }, {}
  for _ = 1, quick and 1 or 6 do
    for _, s in ipairs { { 384 }, { 384 }, { 1152, 384 }, { 384, 384 }, { 1536, 384 }, { 384, 1536 } } do shapes[#shapes + 1] = s end
  end
  for i, s in ipairs(shapes) do
    params[i] = leaf(s)
    params[i].grad = tide.randn(s)
  end
  local opt = optim.AdamW(params)
  return function() opt:step() end
end
function rows.copy() -- what adamw's bandwidth is compared with
  local x, y = tide.randn(quick and 30000 or 30000000), tide.zeros(quick and 30000 or 30000000)
  return function() y:copy_(x) end
end

-- ---- data: files of a million rows and ten columns, read and without the rows where a cell is missing ----
local places = { "Amsterdam", "Bogota", "Cairo", "Delhi", "Helsinki", "Lagos", "Lima", "Melbourne", "Osaka", "Tunis" }
local function decimal(format, least, most)
  return function() return format:format(least + math.random() * (most - least)) end
end
local function whole(least, most)
  return function() return tostring(math.random(least, most)) end
end
local function some(share, cell) -- the others are missing
  return function() return math.random() < share and cell() or "" end
end
local function read_csv(name, columns)
  local path = ("%s/%s.csv"):format(os.getenv "BENCH_DIR", name)
  if not io.open(path) then
    local file <close> = assert(io.open(path, "w"))
    local cells = {}
    for k = 1, #columns do cells[k] = "c" .. k end
    file:write(table.concat(cells, ","), "\n")
    for _ = 1, quick and 1000 or 1000000 do
      for k, cell in ipairs(columns) do cells[k] = cell() end
      file:write(table.concat(cells, ","), "\n")
    end
  end
  return function() return assert(tide.data.csv(path)):dropna() end
end
function rows.csv() -- as a user has them
  return read_csv("mixed", {
    whole(1000000, 9999999), function() return places[math.random(#places)] end, some(0.99, decimal("%.6f", -90, 90)),
    some(0.99, decimal("%.6f", -180, 180)), decimal("%.2f", 0, 1000), whole(0, 20), decimal("%.17g", 0, 1),
    some(0.99, function() return ("item-%04d"):format(math.random(5000)) end), decimal("%.3f", -5, 5), whole(-1000000, 1000000),
  })
end
function rows.csv_floats()
  local columns = {}
  for k = 1, 10 do columns[k] = some(0.99, decimal("%.6f", -100, 100)) end
  return read_csv("floats", columns)
end

return rows
