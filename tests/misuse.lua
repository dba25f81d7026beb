-- Calls of the whole Lua API with arguments at random: lua5.4 misuse.lua CALLS [SEED]
-- Wrong types, closed tensors, sizes out of all bounds, tables that refer to themselves. Every call returns or raises an
-- error in words; after each one the engine still adds, with no error left behind. A crash is for the caller to see.
-- With TRACE=1 in the environment each call is written to standard error before it is made.
local tide = require "tide"
local calls, seed = math.tointeger(tonumber(arg[1])), math.tointeger(tonumber(arg[2] or 1))
local trace = os.getenv "TRACE"
math.randomseed(seed)
tide.manual_seed(seed)

-- ---- what is called: everything that can be reached from the module, methods and metamethods of tensors ----

local skipped = { -- they work on the world around, or show things at a terminal
  ["tide._library"] = true, ["tide._watch_sigterm"] = true, ["tide.help"] = true, ["tide.plot"] = true, ["tide.progress"] = true,
}
for name in next, getmetatable(tide).__names do local _ = skipped["tide." .. name] or tide[name] end -- loaded when first used
local functions, names = {}, {}
local function collect(name, value, seen)
  if skipped[name] or seen[value] then return end
  if type(value) == "function" then
    functions[#functions + 1] = value
    names[value] = name
  elseif type(value) == "table" then
    seen[value] = true
    local meta = getmetatable(value)
    if meta and rawget(meta, "__call") then
      functions[#functions + 1] = value
      names[value] = name
    end
    local keys = {}
    for k in next, value do if type(k) == "string" then keys[#keys + 1] = k end end
    table.sort(keys)
    for _, k in ipairs(keys) do collect(name .. "." .. k, value[k], seen) end
  end
end
local seen = { [_G] = true }
collect("tide", tide, seen)
collect("tensor", getmetatable(tide.ones(1)), seen)
local group = tide._optimizer("SGD", { tide.ones(1):requires_grad_() }, {})
collect("group", getmetatable(group), seen)
assert(#functions > 1500, #functions)

-- ---- with what ----

local function pick(list) return list[math.random(#list)] end
local integers = { 0, 1, 2, 3, -1, -2, 7, 8, 9, 64, 255, -128, 1 << 31, -(1 << 31), 1 << 32, 1 << 40, 1 << 53, math.maxinteger, math.mininteger }
local floats = { 0.5, -0.0, 1.5, -3.25, 1e-300, 1e308, 2.0 ^ 63, 1 / 0, -1 / 0, 0 / 0 }
local texts = { "", "x", "float32", "float64", "int64", "bool", "bfloat16", "none", "mean", "sum", "tanh", "same", "weight", "shape", "grad",
  "SGD", "Adam", "add", "matmul", "a\0b", ("long"):rep(1000), "\xff\xfe", "%s%n", "[[[[", "." }
local option_names = { "dim", "keepdim", "dtype", "p", "training", "eps", "alpha", "correction", "rounding_mode", "reduction", "inputs", "grad",
  "grad_outputs", "create_graph", "retain_graph", "allow_unused", "lr", "momentum", "betas", "batch_size", "shuffle", "sep", "header",
  "requires_grad", "stride", "padding", "groups", "bias", "weight", "min", "max", "step", "k", "largest", "decimals", "ignore_index", "x" }
local dtypes = { "float32", "float64", "float16", "bfloat16", "int64", "int32", "int8", "uint8", "bool" }
local shapes = { {}, { 0 }, { 1 }, { 3 }, { 2, 3 }, { 3, 2 }, { 3, 3 }, { 2, 0, 3 }, { 1, 2, 3, 3 }, { 2, 1, 2, 1, 2, 1, 2, 1 } }

local function tensor()
  local shape, how = table.move(pick(shapes), 1, 8, 1, {}), math.random(12) -- a copy: calls may write into it
  local t = tide.full(shape, math.random(0, 3), { dtype = pick(dtypes) })
  if how == 1 then t:close() end
  if how == 2 and #shape > 1 then return t:transpose(1, #shape) end
  if how == 3 then return tide.ones(1):expand(3, 2) end
  if how == 4 then return tide.rand(shape):requires_grad_() end
  if how == 5 then return tide.rand(shape):requires_grad_() * 2 end
  if how == 6 then return tide.arange(4):long() end
  if how == 7 then return tide.rand(2, 3) end
  return t
end
local dead -- a temporary of a compiled step, used after its run
do
  local step = tide.compile(function(x) dead = x * 2 return dead + 1 end)
  for _ = 1, 4 do step(tide.ones(3)) end
end
local itself = {}
itself[1] = itself
local big = { 1, 2, 3 } -- 3 * 256 ^ 7 numbers, were they all looked at
for _ = 1, 7 do big = table.move({}, 1, 0, 1, { big }) for i = 2, 256 do big[i] = big[1] end end
local modules = { tide.nn.Linear(3, 2), tide.nn.Sequential { tide.nn.Linear(3, 3), tide.nn.ReLU() }, tide.nn.BatchNorm1d(3), tide.nn.Conv2d(2, 1, 1) }

local value
local function list(depth)
  local t = {}
  for i = 1, math.random(0, 4) do t[i] = value(depth + 1) end
  return t
end
local function options(depth)
  local t = {}
  for _ = 1, math.random(3) do t[pick(option_names)] = value(depth + 1) end
  return t
end
local kinds = {
  tensor, tensor, tensor, tensor, tensor, tensor, tensor, tensor, tensor, tensor,
  function() return math.random(3) end,
  function() return math.random(3) end,
  function() return pick(integers) end,
  function() return pick(floats) end,
  function() return pick(texts) end,
  function() return math.random(2) == 1 end,
  function() return nil end,
  function(depth) return depth < 3 and list(depth) or {} end,
  function(depth) return depth < 3 and options(depth) or {} end,
  function() return table.move(pick(shapes), 1, 8, 1, {}) end,
  function() local a = {} for i = 1, math.random(3) do a[i] = pick(integers) end return a end,
  function()
    return pick { itself, print, coroutine.create(print), io.stdout, tide.newaxis, tide.ellipsis, group, tide.nn, tide.compile(print),
      function(...) return ... end, setmetatable({}, { __index = function() error "index" end, __len = function() return 1 << 40 end }) }
  end,
  function() return pick(modules) end,
  function() return math.random(20) == 1 and pick { big, dead, string.rep } or 1 end,
}
function value(depth) return pick(kinds)(depth) end

-- Half of the time an operation is called with what its description asks for, more or less: that gets further in.
local function size() return math.random(6) == 1 and pick(integers) or math.random(0, 3) end
local function sizes()
  local t = {}
  for i = 1, math.random(0, 4) do t[i] = size() end
  return t
end
local fitting = {
  tensor = tensor, operand = function() return math.random(3) == 1 and size() or tensor() end,
  tensors = function() local t = {} for i = 1, math.random(3) do t[i] = tensor() end return t end,
  number = function() return math.random(4) == 1 and pick(floats) or size() end,
  float = function() return math.random(4) == 1 and pick(floats) or math.random() end,
  int = size, dim = size, position = size, dims = function() return math.random(2) == 1 and size() or sizes() end,
  shape = sizes, pair = function() return math.random(2) == 1 and size() or { size(), size() } end,
  bool = function() return math.random(2) == 1 end, dtype = function() return pick(dtypes) end,
}
local function described(f)
  if type(f) ~= "function" or math.random(2) == 1 then return nil end
  local ok, about = pcall(tide._describe, f)
  if not ok or not about then return nil end
  local args, named = table.pack(), {}
  local alike = math.random(3) == 1 and tensor() -- the same everywhere: operands that agree
  for _, a in ipairs(about.args) do
    local v
    if math.random(20) == 1 then
      v = value(0)
    elseif a.type == "enum" then
      local choices = {}
      for c in a.choices:gmatch "[^|]+" do choices[#choices + 1] = c end
      v = pick(choices)
    elseif alike and (a.type == "tensor" or a.type == "operand") then
      v = alike
    else
      v = fitting[a.type]()
    end
    if a.keyword or (a.optional and math.random(2) == 1) then
      if math.random(3) == 1 then named[a.name] = v end
    else
      args.n = args.n + 1
      args[args.n] = v
    end
  end
  if next(named) then
    args.n = args.n + 1
    args[args.n] = named
  end
  return args
end

-- ---- the calls ----

local function text(v, depth)
  if tide.is_tensor(v) then
    local ok, s = pcall(function() return v.dtype .. "(" .. table.concat(v.shape, ",") .. ")" end)
    return ok and s or "closed"
  elseif type(v) == "table" and depth < 2 and v ~= itself then
    local parts = {}
    for k, x in next, v do parts[#parts + 1] = tostring(k) .. "=" .. text(x, depth + 1) end
    return "{" .. table.concat(parts, ", ") .. "}"
  elseif type(v) == "string" then
    return ("%q"):format(v:sub(1, 20))
  end
  return type(v) == "table" and "{...}" or tostring(v)
end

local failed, returned, raised = 0, 0, 0
local one, two = tide.ones(2), tide.full({ 2 }, 2)
local function well()
  local sum = one + two
  return sum:sum():item() == 6
end
local function complain(what, name, args)
  failed = failed + 1
  local shown = {}
  for i = 1, args.n do shown[i] = text(args[i], 0) end
  print(("call %s(%s): %s"):format(name, table.concat(shown, ", "), tostring(what)))
end

for i = 1, calls do
  local f = functions[math.random(#functions)]
  local name, args = names[f], described(f)
  if not args then
    args = table.pack()
    args.n = math.random(0, 5)
    for k = 1, args.n do args[k] = value(0) end
    if args.n > 0 and name:find "^tensor" and math.random(4) > 1 then args[1] = tensor() end
  end
  if trace then
    local shown = {}
    for k = 1, args.n do shown[k] = text(args[k], 0) end
    io.stderr:write(("%d %s(%s)\n"):format(i, name, table.concat(shown, ", ")))
  end
  local function call() return f(table.unpack(args, 1, args.n)) end
  local how, ok, result = math.random(20)
  if how == 1 then -- the same as a compiled step
    local step = tide.compile(call)
    for _ = 1, 4 do ok, result = pcall(step) end
  elseif how == 2 then -- and differentiated
    ok, result = pcall(function()
      local y = call()
      if tide.is_tensor(y) then y:backward(tide.ones_like(y)) end
      return y
    end)
  else
    ok, result = pcall(call)
  end
  if ok then
    returned = returned + 1
    if tide.is_tensor(result) then pcall(tostring, result) end
  else
    raised = raised + 1
    if type(result) ~= "string" and not (type(result) == "table" and result == args[1]) then complain("the error is a " .. type(result), name, args) end
  end
  tide.set_grad_enabled(true)
  local fine, why = pcall(well)
  if not fine or not why then
    complain("afterwards: " .. tostring(why), name, args)
    one, two = tide.ones(2), tide.full({ 2 }, 2)
  end
  if failed > 20 then break end
end
print(("%d calls of %d functions: %d returned, %d raised"):format(calls, #functions, returned, raised))
print(("%d passed, %d failed"):format(failed == 0 and 1 or 0, failed))
os.exit(failed == 0, true)
