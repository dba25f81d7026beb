-- Calls of every operation, as data: an argument made by F, P, U, I or B stands for a tensor filled from a seed.
local tide = require "tide"
local M = {}

-- F: any numbers, P: positive ones, U: between 0 and 1, I: positions below `limit`, B: booleans. `fixed`: the dtype is
-- part of the call and no other is tried.
local function spec(kind, fixed)
  return function(...) return { spec = kind, fixed = fixed, shape = { ... } } end
end
local F, P, U, B = spec("F"), spec("P"), spec("U"), spec("B", true)
local function I(limit, ...) return { spec = "I", fixed = true, limit = limit, shape = { ... } } end
local function call(...) return table.pack(...) end

-- ---- making tensors ----

local function numel(shape)
  local n = 1
  for _, s in ipairs(shape) do n = n * s end
  return n
end

--- The numbers of a spec, the same for the same seed; every value is exact in all floating dtypes.
function M.numbers(s, seed)
  local state, list = (seed * 2654435761 + 12345) & 0xFFFFFFFF, {}
  for i = 1, numel(s.shape) do
    state = (state * 1664525 + 1013904223) & 0xFFFFFFFF
    local word = state >> 16
    if s.spec == "I" then list[i] = word % s.limit
    elseif s.spec == "B" then list[i] = word & 64 ~= 0
    else
      local x = (word & 127) / 32 + 1 / 32 -- 8 bits of mantissa at most
      if s.spec == "U" then x = (word & 127) / 128 + 1 / 256 end
      list[i] = s.spec == "F" and word & 256 ~= 0 and -x or x
    end
  end
  return list
end

local function plain(s, dtype, seed)
  if s.spec == "I" then dtype = "int64" elseif s.spec == "B" then dtype = "bool" end
  return tide.tensor(M.numbers(s, seed), { dtype = dtype }):reshape(s.shape)
end

--- Calls fn(spec) for every tensor of the arguments and puts what it returns in their place; lists and options too.
local function replace(args, fn)
  if args.spec then return fn(args) end
  local out = { n = args.n }
  for k, v in pairs(args) do
    if k ~= "n" then out[k] = type(v) == "table" and not (debug.getmetatable(v) or {}).__name and replace(v, fn) or v end
  end
  return out
end
M.replace = replace

--- The arguments of a sample with tensors in them, and a list of these tensors.
function M.arguments(sample, dtype, make)
  local tensors = {}
  local args = replace(sample.args, function(s)
    local t = (make or plain)(s, dtype or "float32", #tensors + 1)
    tensors[#tensors + 1] = t
    return t
  end)
  return args, tensors
end
M.plain = plain

--- The function that scripts call for an operation of tide.operations().
function M.resolve(name)
  local renamed = { max_dim = "max", min_dim = "min" }
  if name == "nn.functional.max_pool2d_with_indices" then -- an option of max_pool2d
    return function(x, kernel, options)
      local o = { return_indices = true }
      for k, v in pairs(options or {}) do o[k] = v end
      return tide.nn.functional.max_pool2d(x, kernel, o)
    end
  end
  local at = tide
  for word in (renamed[name] or name):gmatch "[^.]+" do at = at and at[word] end
  return at
end

-- ---- the samples ----

local rows = {}
local function add(names, ...)
  for name in names:gmatch "%S+" do rows[name] = { ... } end
end

add("zeros ones", call { 2, 3 }, call({ 4 }, { dtype = "int64" }), call({ 0, 2 }))
add("empty", call { 0, 3 }, call { 2, 0 }, call({ 0 }, { dtype = "bool" })) -- what is in others is not defined
add("rand randn", call { 300 }, call({ 3, 5 }, { dtype = "float64" }), call { 0 })
add("empty_like", call(F(0, 3)), call(F(2, 0), { dtype = "float64" }), call(F(0)))
add("zeros_like ones_like rand_like randn_like", call(F(2, 3)), call(F()), call(F(3), { dtype = "float64" }))
add("full", call({ 2, 3 }, 1.5), call({ 4 }, 7, { dtype = "int32" }), call({}, true))
add("full_like", call(F(2, 3), 1.5), call(F(4), 7, { dtype = "int32" }), call(F(), 3))
add("arange", call(5), call(2, 9), call(1, 3, 0.25), call(9, 2, -2, { dtype = "int64" }))
add("eye", call(3), call(2, 4), call(3, { dtype = "int64" }))
add("randperm", call(1), call(10), call(300))
add("fill", call(F(3, 2), 2), call(F(), 0.5), call(F(300), -1))
add("copy", call(F(3, 2), F(3, 2)), call(F(3, 2), F(2)), call(F(4), I(9, 4)))

local pairs_of = { call(F(4, 3), F(4, 3)), call(F(2, 1, 3), F(4, 1)), call(F(300), 1.5), call(F(), F()), call(F(0, 2), F(2)) }
add("add sub", pairs_of[1], pairs_of[2], pairs_of[3], pairs_of[4], pairs_of[5], call(F(5), F(5), { alpha = 2 }))
add("mul eq ge gt le lt ne", table.unpack(pairs_of))
add("isclose", pairs_of[1], pairs_of[2], pairs_of[4], call(F(300), F(300), { rtol = 0.5, atol = 0.25, equal_nan = true }))
add("maximum minimum", pairs_of[1], pairs_of[2], pairs_of[4], pairs_of[5])
add("div", pairs_of[1], pairs_of[2], pairs_of[3], call(F(5), P(5), { rounding_mode = "floor" }),
  call(F(5), P(5), { rounding_mode = "trunc" }))
add("remainder floor_divide", pairs_of[1], pairs_of[2], pairs_of[3], pairs_of[4])
add("pow", call(P(4, 3), F(3)), call(F(7), 2), call(P(300), 0.5), call(P(), F()))
add("clamp", call(F(4, 3), -1, 1), call(F(300), nil, 0.5), call(F(3, 2), F(2), 1.5))
add("where", call(B(4, 3), F(4, 3), F(3)), call(B(), F(2), 1.5), call(B(300), 0, F(300)))
add("masked_fill", call(F(4, 3), B(3), 2.5), call(F(300), B(300), 0), call(F(), B(), -1))

local one = { call(F(4, 3)), call(F()), call(F(300)), call(F(0, 3)) }
add("neg abs sign square floor ceil trunc exp expm1 sin cos tanh erf sigmoid relu nn.functional.silu clone isfinite "
  .. "isinf isnan logical_not detach contiguous", table.unpack(one))
add("round", one[1], one[2], one[3], call(F(5), { decimals = 1 }))
add("reciprocal log log1p sqrt rsqrt", call(P(4, 3)), call(P()), call(P(300)), call(P(0, 3)))
add("nn.functional.gelu", one[1], one[2], one[3], call(F(5), { approximate = "tanh" }))
add("to", call(F(4, 3), "float64"), call(F(4, 3), "int32"), call(F(300), "bfloat16"), call(I(9, 3), "float32"))
add("nn.functional.dropout", call(F(300)), call(F(4, 3), { p = 0.2 }), call(F(5), { training = false }))
add("bitwise_and bitwise_or bitwise_xor", call(I(99, 4, 3), I(99, 3)), call(B(5), B(5)), call(I(99, 300), 12))
add("bitwise_not", call(I(99, 4, 3)), call(B(5)), call(I(9)))
add("logical_and logical_or logical_xor", call(B(4, 3), B(3)), call(F(5), F(5)), call(I(2, 300), B(300)))

local reductions = { call(F(4, 3)), call(F(4, 300), 2), call(F(300, 4), 1), call(F(2, 3, 4), { 1, 3 }, { keepdim = true }), call(F()) }
add("sum mean", table.unpack(reductions))
rows.sum[6] = call(F(0, 3), 1)
add("amax amin", table.unpack(reductions))
add("argmax argmin", reductions[1], reductions[2], reductions[3], call(F(4, 3), 1, { keepdim = true }))
add("max_dim min_dim", call(F(4, 300), 2), call(F(300, 4), 1), call(F(2, 3, 4), -1, { keepdim = true }))
add("var std var_mean", call(F(4, 3)), call(F(4, 300), 2), call(F(300, 4), 1, { correction = 0 }), call(F(2, 3, 4), { 1, 3 }, { keepdim = true }))
add("logsumexp", call(F(4, 3), 2), call(F(300, 4), 1), call(F(2, 3, 4), { 1, 3 }, { keepdim = true }))
add("softmax log_softmax", call(F(4, 3), 2), call(F(300, 4), 1), call(F(2, 300), -1), call(F(0, 3), 2))
add("nn.functional.layer_norm", call(F(4, 3), { 3 }), call(F(4, 300), { 300 }, P(300), F(300)), call(F(2, 3, 4), { 3, 4 }, P(3, 4)))
add("nn.functional.rms_norm", call(F(4, 3), { 3 }), call(F(4, 300), { 300 }, P(300)), call(F(2, 3, 4), { 3, 4 }, P(3, 4), { eps = 1e-3 }))
add("nn.functional.batch_norm", call(F(8, 3), F(3), P(3)), call(F(8, 3), nil, nil, P(3), F(3), { training = true }),
  call(F(4, 3, 5, 2), nil, nil, P(3), F(3), { training = true }))
add("nn.functional.cross_entropy", call(F(4, 3), I(3, 4)), call(F(5, 300), I(300, 5), { label_smoothing = 0.1 }),
  call(F(4, 3), I(3, 4), { weight = P(3), reduction = "sum" }), call(F(4, 3), I(3, 4), { ignore_index = 1, reduction = "none" }))
add("nn.functional.mse_loss", call(F(4, 3), F(4, 3)), call(F(300), F(300), { reduction = "sum" }), call(F(5), F(5), { reduction = "none" }))

add("view reshape", call(F(4, 3), { 2, 6 }), call(F(4, 3), { -1 }), call(F(), { 1, 1 }), call(F(0, 3), { 3, 0 }))
add("transpose", call(F(4, 3), 1, 2), call(F(2, 3, 4), 1, -1), call(F(0, 3), 1, 2))
add("permute", call(F(4, 3), { 2, 1 }), call(F(2, 3, 4), { 3, 1, 2 }), call(F(), {}))
add("squeeze", call(F(4, 1, 3)), call(F(4, 1, 1), 2), call(F(1)))
add("unsqueeze", call(F(4, 3), 2), call(F(), 1), call(F(0, 3), -1))
add("expand", call(F(4, 1), { 4, 3 }), call(F(3), { 2, 3 }), call(F(), { 5 }))
add("narrow", call(F(4, 3), 1, 2, 2), call(F(300), 1, 1, 100), call(F(4, 3), 2, 1, 0))
add("select", call(F(4, 3), 1, 2), call(F(4, 3), 2, -1), call(F(2, 3, 4), 3, 1))
add("slice", call(F(9, 3), 1, 2, 3, 2), call(F(4, 3), 2, 1, 2), call(F(300), 1, 1, 100, 3))
add("index_select", call(F(4, 3), 1, I(4, 5)), call(F(4, 300), 2, I(300, 50)), call(F(4, 3), 2, I(3, 0)))
add("gather", call(F(4, 3), 1, I(4, 2, 3)), call(F(4, 300), 2, I(300, 4, 7)), call(F(5), 1, I(5, 9)))
add("take_along_dim", call(F(4, 3), I(4, 2, 3), 1), call(F(4, 300), I(300, 4, 7), 2), call(F(4, 3), I(12, 9)))
add("take", call(F(4, 3), I(12, 5)), call(F(300), I(300, 2, 4)), call(F(4, 3), I(12)))
add("index", call(F(4, 3), { I(4, 5) }), call(F(4, 3), { I(4, 5), I(3, 5) }), call(F(2, 3, 4), { I(2, 2, 1), I(3, 5) }))
add("scatter", call(F(4, 3), 1, I(4, 2, 3), F(2, 3)), call(F(4, 3), 2, I(3, 4, 1), 1.5), call(F(9), 1, I(9, 5), F(5), { reduce = "add" }))
add("scatter_add", call(F(4, 3), 1, I(4, 2, 3), F(2, 3)), call(F(5), 1, I(5, 300), F(300)), call(F(4, 3), 2, I(3, 4, 5), F(4, 5)))
add("index_add", call(F(4, 3), 1, I(4, 6), F(6, 3)), call(F(5), 1, I(5, 300), F(300)), call(F(4, 3), 2, I(3, 2), F(4, 2), { alpha = 2 }))
add("index_put", call(F(4, 3), { I(4, 5) }, F(5, 3)), call(F(4, 3), { I(4, 5), I(3, 5) }, F(5), { accumulate = true }),
  call(F(6), { I(6, 3) }, F()))
add("nonzero", call(F(4, 3)), call(I(2, 300)), call(B(5)))
add("masked_select", call(F(4, 3), B(4, 3)), call(F(300), B(300)), call(F(4, 3), B(3)))
add("nn.functional.embedding", call(I(5, 4), F(5, 3)), call(I(7, 2, 300), F(7, 4)), call(I(5, 4), F(5, 3), { padding_idx = 2 }),
  call(I(5, 9), F(5, 3), { scale_grad_by_freq = true }))
add("cat", call { F(4, 3), F(2, 3) }, call({ F(4, 3), F(4, 2), F(4, 0) }, 2), call { F(300) })
add("stack", call { F(4, 3), F(4, 3) }, call({ F(4, 3), F(4, 3) }, 3), call { F(), F() })
add("cumsum", call(F(4, 3), 1), call(F(3, 300), 2), call(F(5), 1, { dtype = "float64" }))
add("sort argsort", call(F(4, 3)), call(F(300), 1, { descending = true }), call(F(9, 4), 1), call(F(40), 1, { stable = true }))
add("topk", call(F(4, 3), 2), call(F(300), 5, 1, { largest = false }), call(F(9, 4), 3, 1))

add("matmul", call(F(4, 3), F(3, 5)), call(F(3), F(3)), call(F(2, 4, 30), F(30, 7)), call(F(2, 1, 3, 4), F(5, 4, 2)), call(F(4, 0), F(0, 3)))
add("mm", call(F(4, 3), F(3, 5)), call(F(33, 70), F(70, 9)), call(F(4, 0), F(0, 3)))
add("bmm", call(F(2, 4, 3), F(2, 3, 5)), call(F(3, 9, 33), F(3, 33, 6)), call(F(0, 4, 3), F(0, 3, 5)))
add("nn.functional.linear", call(F(4, 3), F(5, 3)), call(F(2, 4, 30), F(7, 30), F(7)), call(F(4, 3), F(5, 3), F(5), { activation = "gelu" }),
  call(F(3), F(5, 3), F(5)))
add("nn.functional.conv2d", call(F(2, 3, 6, 5), F(4, 3, 3, 2), F(4)), call(F(3, 7, 7), F(4, 3, 3, 3), nil, { stride = 2, padding = 1 }),
  call(F(1, 4, 6, 6), F(4, 2, 3, 3), F(4), { padding = 2, dilation = 2, groups = 2 }), call(F(1, 2, 5, 5), F(3, 2, 2, 3), nil, { padding = "same" }))
add("nn.functional.conv1d", call(F(2, 3, 9), F(4, 3, 3), F(4)), call(F(3, 7), F(4, 3, 3), nil, { stride = 2, padding = 1 }),
  call(F(1, 4, 30), F(4, 2, 3), F(4), { padding = 2, dilation = 2, groups = 2 }))
add("nn.functional.max_pool2d nn.functional.max_pool2d_with_indices", call(F(2, 3, 6, 6), 2), call(F(3, 7, 7), { 3, 2 }, { stride = 2, padding = 1 }),
  call(F(1, 2, 7, 7), 3, { stride = 2, ceil_mode = true }))
add("nn.functional.leaky_relu nn.functional.elu nn.functional.selu nn.functional.celu nn.functional.softplus nn.functional.logsigmoid "
  .. "nn.functional.mish nn.functional.hardtanh nn.functional.relu6 nn.functional.hardsigmoid nn.functional.hardswish nn.functional.softsign "
  .. "nn.functional.tanhshrink nn.functional.softshrink nn.functional.hardshrink", table.unpack(one))
add("nn.functional.threshold", call(F(4, 3), 0.5, 9.0), call(F(300), 0.1, -2.5), call(F(), 1.0, 0.0))
add("nn.functional.l1_loss nn.functional.smooth_l1_loss nn.functional.huber_loss nn.functional.binary_cross_entropy_with_logits "
  .. "nn.functional.poisson_nll_loss nn.functional.soft_margin_loss nn.functional.hinge_embedding_loss",
  call(F(4, 3), P(4, 3)), call(F(300), P(300), { reduction = "sum" }), call(F(5), P(5), { reduction = "none" }))
add("nn.functional.kl_div", call(F(4, 3), U(4, 3)), call(F(300), F(300), { log_target = true, reduction = "sum" }), call(F(5), U(5), { reduction = "none" }))
add("nn.functional.binary_cross_entropy", call(U(4, 3), U(4, 3)), call(U(300), U(300), { weight = P(300), reduction = "sum" }),
  call(U(5), U(5), { reduction = "none" }))
add("nn.functional.nll_loss", call(F(4, 3), I(3, 4)), call(F(5, 300), I(300, 5)), call(F(4, 3), I(3, 4), { weight = P(3), reduction = "sum" }),
  call(F(4, 3, 2), I(3, 4, 2), { ignore_index = 1, reduction = "none" }))
add("nn.functional.conv_transpose2d", call(F(2, 3, 4, 5), F(3, 2, 3, 2), F(2)), call(F(3, 5, 5), F(3, 4, 3, 3), nil, { stride = 2, padding = 1, output_padding = 1 }),
  call(F(1, 4, 5, 5), F(4, 2, 3, 3), F(4), { dilation = 2, groups = 2 }))
add("nn.functional.conv_transpose1d", call(F(2, 3, 7), F(3, 2, 3), F(2)), call(F(3, 5), F(3, 4, 3), nil, { stride = 2, padding = 1, output_padding = 1 }),
  call(F(1, 4, 30), F(4, 2, 3), F(4), { dilation = 2, groups = 2 }))
add("nn.functional.avg_pool2d", call(F(2, 3, 6, 6), 2), call(F(3, 7, 7), { 3, 2 }, { stride = 2, padding = 1, count_include_pad = false }),
  call(F(1, 2, 7, 7), 3, { stride = 2, ceil_mode = true, divisor_override = 5 }))
add("nn.functional.adaptive_avg_pool2d", call(F(2, 3, 6, 6), 2), call(F(3, 7, 5), { 3, 4 }), call(F(1, 2, 4, 4), { 7, 1 }))
add("lstm_cell_gates", call(F(2, 3), F(2, 3), F(2, 3), F(2, 3)), call(F(300), F(300), F(300), F(300)), call(F(), F(), F(), F()))
add("lstm_hidden_gate", call(F(2, 3), F(2, 3)), call(F(300), F(300)), call(F(), F()))
add("gru_gates", call(F(2, 3), F(2, 3), F(2, 3), F(2, 3), F(2, 3)), call(F(300), F(300), F(300), F(300), F(300)), call(F(), F(), F(), F(), F()))
M.rows = rows

-- Sizes at which orders of addition and tiles change: for comparing settings, not slow instruction sets.
M.large = {
  { "sum", call(F(3, 255), 2) }, { "sum", call(F(3, 256), 2) }, { "sum", call(F(3, 257), 2) }, { "sum", call(F(255, 3), 1) },
  { "sum", call(F(257, 70), 1) }, { "sum", call(F(2, 65537), 2) }, { "sum", call(F(65537, 2), 1) }, { "sum", call(F(65537)) },
  { "mean", call(F(70, 257)) }, { "var", call(F(2, 65537), 2) }, { "logsumexp", call(F(65537), 1) }, { "amax", call(F(65537, 2), 1) },
  { "softmax", call(F(40, 257), 2) }, { "softmax", call(F(257, 40), 1) }, { "softmax", call(F(65537), 1) }, { "log_softmax", call(F(3, 20000), 2) },
  { "nn.functional.layer_norm", call(F(300, 256), { 256 }, P(256), F(256)) },
  { "nn.functional.layer_norm", call(F(2, 20001), { 20001 }, P(20001), F(20001)) },
  { "nn.functional.rms_norm", call(F(257, 255), { 255 }, P(255)) },
  { "nn.functional.batch_norm", call(F(65, 3, 17, 5), nil, nil, P(3), F(3), { training = true }) },
  { "nn.functional.cross_entropy", call(F(257, 10), I(10, 257)) }, { "nn.functional.cross_entropy", call(F(8, 20001), I(20001, 8)) },
  { "exp", call(F(65537)) }, { "mul", call(F(257, 255), F(255)) }, { "cumsum", call(F(2, 65537), 2) },
  { "scatter_add", call(F(50), 1, I(50, 65537), F(65537)) }, { "index_add", call(F(40, 33), 1, I(40, 3000), F(3000, 33)) },
  { "nn.functional.embedding", call(I(50, 5000), F(50, 20)) }, { "sort", call(F(20000)) },
  { "matmul", call(F(130, 700), F(700, 90)) }, { "matmul", call(F(3, 40, 70), F(3, 70, 50)) }, { "matmul", call(F(1, 700), F(700, 257)) },
  { "nn.functional.linear", call(F(64, 700), F(300, 700), F(300), { activation = "relu" }) },
  { "nn.functional.conv2d", call(F(4, 16, 20, 20), F(32, 16, 3, 3), F(32), { padding = 1 }) },
  { "matmul", call(I(99, 130, 300), I(99, 300, 90)) }, { "nn.functional.avg_pool2d", call(F(1, 200, 200), 9, { stride = 1 }) },
  { "nn.functional.max_pool2d", call(F(1, 200, 200), 9, { stride = 1, padding = 4 }) },
  { "nn.functional.adaptive_avg_pool2d", call(F(1, 400, 300), { 9, 299 }) },
}

-- ---- running one ----

local function floats(t) return t.dtype:find "float" ~= nil end

local function is_tensor(t) return tide.is_tensor(t) end
--- fn(...) and, where `grads`, the gradients of its tensors: all as one list of tensors.
function M.run(fn, args, tensors, grads)
  local found = table.pack(fn(table.unpack(args, 1, args.n)))
  local out, loss = {}, nil
  for _, t in ipairs(found) do
    if is_tensor(t) then
      out[#out + 1] = t
      if grads and floats(t) and t.requires_grad then -- weights, lest the gradient be a constant
        local n = numel(t.shape)
        local weighted = t:to("float32"):reshape { n } * tide.arange(n):to "float32":add(1):mul(0.0625):sin()
        loss = loss and loss + weighted:sum() or weighted:sum()
      end
    end
  end
  if loss then
    local leaves = {}
    for _, t in ipairs(tensors) do
      if t.requires_grad then leaves[#leaves + 1] = t end
    end
    for _, g in ipairs { tide.grad(loss, leaves, { allow_unused = true }) } do
      if is_tensor(g) then out[#out + 1] = g
      else for _, each in ipairs(g) do if is_tensor(each) then out[#out + 1] = each end end end
    end
  end
  return out
end

--- Marks the floating tensors as leaves.
function M.follow(tensors)
  for _, t in ipairs(tensors) do
    if floats(t) then t.requires_grad = true end
  end
end

--- The numbers of a tensor in order.
function M.flat(t)
  local list = t:detach():reshape { -1 }
  if #list.shape == 1 and list.shape[1] == 0 then return {} end
  return list:tolist()
end

local function word(v)
  if v == true then return 1 elseif v == false then return 0 end
  if v ~= v then return 0x7FF8000000000000 end
  return math.type(v) == "integer" and v or (string.unpack("<i8", string.pack("<d", v)))
end
M.word = word

--- FNV over dtype, shape and 64-bit values; NaN is one value.
function M.hash(list)
  local h = -3750763034362895579
  local function mix(w) h = (h ~ w) * 1099511628211 end
  for _, t in ipairs(list) do
    for c in t.dtype:gmatch "." do mix(c:byte()) end
    for _, s in ipairs(t.shape) do mix(s) end
    for _, v in ipairs(M.flat(t)) do mix(word(v)) end
  end
  return ("%016x"):format(h ~ h >> 32)
end

M.can_follow = function(name) return not tide.help(name):find("no gradient", 1, true) end
return M
