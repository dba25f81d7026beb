--- Sums, means and maxima of rows of a table; classes as vectors.
local tide = require "tide.core"
local define = require "tide.nn.functional.define"
local F, fail = tide.nn.functional, tide._fail

--- Class numbers (...) as rows (..., num_classes) of zeros with a one, int64. num_classes: -1 is the largest number and one more.
define("one_hot", "input num_classes", { num_classes = -1 }, function(a)
  local x, n = a.input, a.num_classes
  if x.dtype ~= "int64" then fail("[one_hot] input holds class numbers (int64), not " .. x.dtype) end
  if n == 0 or n < -1 then fail(("[one_hot] num_classes must be positive, not %d"):format(n)) end
  if x:numel() == 0 then
    if n < 0 then fail "[one_hot] an empty input needs num_classes" end
  else
    local low, high = x:amin():item(), x:amax():item()
    if low < 0 or (n > 0 and high >= n) then fail(("[one_hot] there is no class %d"):format(low < 0 and low or high)) end
    if n < 0 then n = high + 1 end
  end
  return tide.arange(n):eq(x:unsqueeze(-1)):to("int64")
end)

-- offsets (bags) and how many rows there are -> the bag of each row
local function bags_of(offsets, count)
  local starts = tide.zeros({ count + 1 }, { dtype = "int64" }):index_add(1, offsets:to("int64"), tide.ones({ offsets.shape[1] }, { dtype = "int64" }))
  return starts:narrow(1, 1, count):cumsum(1) - 1
end

-- The largest of each bag, 0 of empty ones; rows of padding are -inf.
local function largest(rows, starts, count)
  local out = {}
  for b, start in ipairs(starts) do
    local length = (starts[b + 1] or count) - start
    local y = length > 0 and (tide.max(rows:narrow(1, start + 1, length), 1)) or tide.zeros({ rows.shape[2] }, { dtype = rows.dtype })
    out[b] = y:masked_fill(y:detach():eq(-math.huge), 0.0)
  end
  return tide.stack(out, 1)
end

--- The mean, sum or maximum of rows of weight, bag by bag. input int64 (bags, each) or (all) with offsets (bags), where each bag
-- begins. mode: "mean", "sum", "max". padding_idx: a row that does not count; per_sample_weights (mode "sum"): factors in the shape
-- of input; include_last_offset: offsets has the end of the last bag too; max_norm, norm_type, scale_grad_by_freq as in embedding.
define("embedding_bag", "input weight offsets:tensor max_norm norm_type scale_grad_by_freq mode:string sparse:boolean per_sample_weights:tensor "
  .. "include_last_offset:boolean padding_idx", { mode = "mean", include_last_offset = false }, function(a)
  local ids, w, offsets, mode = a.input, a.weight, a.offsets, a.mode
  if mode ~= "mean" and mode ~= "sum" and mode ~= "max" then fail(("[embedding_bag] mode is 'mean', 'sum' or 'max', not '%s'"):format(mode)) end
  if w.ndim ~= 2 then fail(("[embedding_bag] weight must have 2 dims, not %d"):format(w.ndim)) end
  if not ids.dtype:find "^int" then fail("[embedding_bag] input holds row numbers (int64), not " .. ids.dtype) end
  local factors = a.per_sample_weights
  if factors then
    if mode ~= "sum" then fail "[embedding_bag] per_sample_weights need mode 'sum'" end
    if table.concat(factors.shape, ",") ~= table.concat(ids.shape, ",") then fail "[embedding_bag] per_sample_weights must have the shape of input" end
  end
  local bags, starts, bag
  local count = ids:numel()
  if ids.ndim == 2 then
    if offsets then fail "[embedding_bag] an input of 2 dims has no offsets" end
    bags = ids.shape[1]
    if mode == "max" then
      starts = {}
      for b = 1, bags do starts[b] = (b - 1) * ids.shape[2] end
    end
    bag = tide.arange(bags):unsqueeze(2):expand(bags, ids.shape[2]):reshape(-1)
  elseif ids.ndim == 1 then
    if not offsets or offsets.ndim ~= 1 then fail "[embedding_bag] an input of 1 dim needs offsets of 1 dim" end
    if not offsets.dtype:find "^int" then fail("[embedding_bag] offsets must be int64, not " .. offsets.dtype) end
    if a.include_last_offset then
      if offsets.shape[1] < 1 then fail "[embedding_bag] include_last_offset needs an offset" end
      offsets = offsets:narrow(1, 1, offsets.shape[1] - 1)
    end
    bags = offsets.shape[1]
    starts = offsets:tolist()
    for b, start in ipairs(starts) do
      if start < (b == 1 and 0 or starts[b - 1]) or start > count or (b == 1 and start ~= 0) then
        fail(("[embedding_bag] offsets must rise from 0 to at most %d; offset %d is %d"):format(count, b, start))
      end
    end
    bag = bags_of(offsets, count)
  else
    fail(("[embedding_bag] input must have 1 or 2 dims, not %d"):format(ids.ndim))
  end
  ids = ids:reshape(-1):to("int64")
  local rows = F.embedding(ids, w, { padding_idx = a.padding_idx, max_norm = a.max_norm, norm_type = a.norm_type, scale_grad_by_freq = a.scale_grad_by_freq })
  local skip = a.padding_idx and ids:eq(a.padding_idx < 0 and a.padding_idx + w.shape[1] or a.padding_idx)
  if mode == "max" then
    if bags == 0 then return tide.zeros({ 0, w.shape[2] }, { dtype = w.dtype }) end
    return largest(skip and rows:masked_fill(skip:unsqueeze(2), -math.huge) or rows, starts, count)
  end
  if factors then rows = rows * factors:reshape(-1, 1) end
  if skip then rows = rows:masked_fill(skip:unsqueeze(2), 0.0) end
  local sums = tide.zeros({ bags, w.shape[2] }, { dtype = w.dtype }):index_add(1, bag, rows)
  if mode == "sum" then return sums end
  local each = skip and skip:logical_not():to(w.dtype) or tide.ones({ count }, { dtype = w.dtype })
  local sizes = tide.zeros({ bags }, { dtype = w.dtype }):index_add(1, bag, each)
  return sums / sizes:clamp(1.0):unsqueeze(2)
end, 2)
