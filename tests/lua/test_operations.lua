-- Every operation that scripts can call, by its samples: what must hold of all of them follows from these alone.
local tide = require "tide"
local samples = require "samples"

local TOLERANCE = { float32 = 2e-5, float16 = 1e-2, bfloat16 = 6e-2 }

local function has(list)
  local set = {}
  for name in list:gmatch "%S+" do set[name] = true end
  return set
end
local RANDOM = has "rand randn rand_like randn_like randperm nn.functional.dropout"
local UNDEFINED = has "empty" -- memory as it was
local REFUSES = has "nn.functional.binary_cross_entropy" -- numbers outside [0, 1]
-- Lua functions in front of several operations: what is too much for them is dropped, as in Lua.
local OVERLOADED = has "max_dim min_dim nonzero nn.functional.max_pool2d nn.functional.max_pool2d_with_indices"
-- Results that jump where the input hardly differs: rounding it to a narrow dtype first is no small error.
local JUMPS = has "eq ne floor_divide remainder div floor ceil trunc round argmax argmin max_dim min_dim sort argsort topk"
-- Operations that take a tensor of any shape: they are tried on an empty one and on one element without dims.
local ANY_SHAPE = has [[neg abs sign square floor ceil trunc round reciprocal exp expm1 log log1p sqrt rsqrt sin cos tanh erf
  sigmoid relu clone isfinite isinf isnan logical_not zeros_like ones_like contiguous detach sum nonzero]]

local function same(a, b, what)
  assert.are.equal(#a, #b, what)
  for i = 1, #a do
    assert.are.equal(a[i].dtype, b[i].dtype, what)
    assert.are.same(a[i].shape, b[i].shape, what)
    local p, q = samples.flat(a[i]), samples.flat(b[i])
    for k = 1, #p do
      if samples.word(p[k]) ~= samples.word(q[k]) then
        error(("%s: result %d, element %d: %s instead of %s"):format(what, i, k, q[k], p[k]))
      end
    end
  end
end

local function close(a, b, tolerance, what)
  assert.are.equal(#a, #b, what)
  for i = 1, #a do
    assert.are.same(a[i].shape, b[i].shape, what)
    local p, q = samples.flat(a[i]), samples.flat(b[i])
    local scale = 1
    for _, v in ipairs(p) do
      if type(v) == "number" and v == v and math.abs(v) < math.huge then scale = math.max(scale, math.abs(v)) end
    end
    for k = 1, #p do
      local u, v = p[k], q[k]
      local fine = u == v or (u ~= u and v ~= v)
      if not fine and type(u) == "number" and type(v) == "number" then fine = math.abs(u - v) <= tolerance * scale end
      if not fine then error(("%s: result %d, element %d: %s instead of %s"):format(what, i, k, v, u)) end
    end
  end
end

local function random(state)
  tide.manual_seed(5)
  return state
end

--- Results of a sample over the tensors that `make` gives.
local function results(name, args, dtype, make)
  local values, tensors = samples.arguments({ args = args }, dtype, make)
  return samples.run(samples.resolve(name), random(values), tensors, false)
end

-- The same elements, laid out otherwise: dims reversed, every second of a row, after an offset, one for all.
local layouts = {
  reversed = function(t)
    local order = {}
    for d = 1, t.ndim do order[d] = t.ndim + 1 - d end
    return t:permute(order):contiguous():permute(order)
  end,
  stepped = function(t)
    if t.ndim == 0 or t.shape[t.ndim] == 0 then return t end
    return tide.stack({ t, t }, -1):select(-1, 1)
  end,
  offset = function(t)
    if t.ndim == 0 then return tide.stack({ t, t }, 1):select(1, 2) end
    return tide.cat({ t, t }, 1):narrow(1, t.shape[1] + 1, t.shape[1])
  end,
}

local function each(fn)
  return function()
    for _, name in ipairs(tide.operations()) do
      for i, args in ipairs(samples.rows[name] or {}) do fn(name, args, ("%s, sample %d"):format(name, i)) end
    end
  end
end

describe("every operation", function()
  it("has samples", function()
    local known = {}
    for _, name in ipairs(tide.operations()) do
      known[name] = true
      assert(samples.rows[name] and #samples.rows[name] >= 3, name .. ": fewer than 3 samples in samples.lua")
      assert(samples.resolve(name), name .. ": not to be found from scripts")
    end
    for name in pairs(samples.rows) do assert(known[name], name .. ": samples of no operation") end
  end)

  it("does not see how its inputs lie", each(function(name, args, what)
    if UNDEFINED[name] then return end
    local expected = results(name, args)
    for layout, lay in pairs(layouts) do
      local make = function(...) return lay(samples.plain(...)) end
      -- a view of strided memory may be refused, like PyTorch's
      local ok, got = pcall(results, name, args, nil, make)
      if not ok and name == "view" then
        assert.matches("[view]", got, 1, true)
      else
        assert(ok, what .. ", " .. layout .. ": " .. tostring(got))
        same(expected, got, what .. ", " .. layout)
      end
    end
  end))

  it("repeats expanded elements", each(function(name, args, what)
    if UNDEFINED[name] or RANDOM[name] then return end
    local function constant(s, dtype, seed)
      local t = samples.plain(s, dtype, seed)
      return t:numel() > 0 and t:reshape { -1 }:select(1, 1) or nil, t
    end
    local function view(...)
      local first, t = constant(...)
      return first and first:expand(t.shape) or t
    end
    local function copy(...) return view(...):contiguous() end
    local ok, got = pcall(results, name, args, nil, view)
    if not ok and name == "view" then return assert.matches("[view]", got, 1, true) end
    assert(ok, what .. ": " .. tostring(got))
    same(results(name, args, nil, copy), got, what)
  end))

  it("is close to float64 in every dtype", each(function(name, args, what)
    if UNDEFINED[name] or RANDOM[name] or JUMPS[name] then return end
    local expected = results(name, args, "float64")
    for dtype, tolerance in pairs(TOLERANCE) do
      local ok, got = pcall(results, name, args, dtype)
      assert(ok, ("%s, %s: %s"):format(what, dtype, got))
      close(expected, got, tolerance, what .. ", " .. dtype)
    end
  end))

  it("has its dtype or says that it cannot", each(function(name, args, what)
    local floating = false
    samples.replace(args, function(s)
      floating = floating or not s.fixed
      return s
    end)
    if not floating then return end
    for _, dtype in ipairs { "int64", "int32", "int8", "uint8", "bool" } do
      local ok, got = pcall(results, name, args, dtype)
      assert(ok or got:find "^[^%[]*%[[%w_]+%] ", ("%s, %s: %s"):format(what, dtype, got))
    end
  end))

  it("takes empty tensors and tensors without dims", function()
    for name in pairs(ANY_SHAPE) do
      local fn = samples.resolve(name)
      for _, shape in ipairs { { 0 }, { 3, 0 }, {}, { 1, 1, 1 } } do
        local ok, got = pcall(fn, tide.ones(shape))
        assert(ok, ("%s of {%s}: %s"):format(name, table.concat(shape, ","), tostring(got)))
        if name ~= "sum" and name ~= "nonzero" then assert.are.same(shape, got.shape, name) end
      end
    end
  end)

  it("bears NaN and infinities", each(function(name, args, what)
    if UNDEFINED[name] then return end
    for _, v in ipairs { 0 / 0, math.huge, -math.huge, -0.0, 1e38 } do
      local make = function(s, dtype, seed)
        local t = samples.plain(s, dtype, seed)
        if s.fixed or t:numel() == 0 then return t end
        local list = samples.numbers(s, seed)
        list[1], list[#list] = v, v
        return tide.tensor(list, { dtype = dtype }):reshape(s.shape)
      end
      local values, tensors = samples.arguments({ args = args }, "float32", make)
      local grads = samples.can_follow(name)
      if grads then samples.follow(tensors) end
      local ok, message = pcall(samples.run, samples.resolve(name), random(values), tensors, grads)
      assert(ok or REFUSES[name], ("%s with %s: %s"):format(what, v, message))
    end
  end))

  it("passes NaN on", function()
    local bad = tide.tensor { 1, 0 / 0, 2 }
    for name in ("neg abs square exp expm1 log log1p sqrt rsqrt sin cos tanh erf sigmoid relu floor ceil round sum mean amax amin "
      .. "reciprocal var std"):gmatch "%S+" do
      local out = samples.flat(tide[name](bad))
      local v = out[2] or out[1]
      assert(v ~= v, name .. " loses a NaN")
    end
  end)

  it("refuses misuse where the script called it", function()
    for _, name in ipairs(tide.operations()) do
      local fn = samples.resolve(name)
      local function refused(what, ...)
        local arguments = table.pack(...)
        local line = debug.getinfo(1, "l").currentline + 1
        local ok, message = pcall(function() local out = fn(table.unpack(arguments, 1, arguments.n)) return out end)
        assert(not ok, ("%s takes %s"):format(name, what))
        local at = "test_operations.lua:" .. line .. ": ["
        assert(tostring(message):find(at, 1, true), ("%s, %s: %s"):format(name, what, tostring(message)))
      end
      refused "nothing"
      refused("a word", "word")
      local many = {}
      for i = 1, 14 do many[i] = tide.ones(2) end
      if not OVERLOADED[name] then
        refused("too many", table.unpack(many))
        refused("an unknown option", tide.ones(2), { no_such_option = 1 })
      end
    end
  end)

  it("gives the same when followed", each(function(name, args, what)
    if UNDEFINED[name] then return end
    local fn, grads = samples.resolve(name), samples.can_follow(name)
    local values, tensors = samples.arguments { args = args }
    if grads then samples.follow(tensors) end
    local function once() return samples.run(fn, values, tensors, grads) end
    local step = tide.compile(once)
    for turn = 1, 4 do
      tide.manual_seed(turn)
      local expected = once()
      tide.manual_seed(turn)
      same(expected, step(), ("%s, call %d"):format(what, turn))
    end
  end))
end)
