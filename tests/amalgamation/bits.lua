-- Prints a hash for every operation over numbers whose products are not exact, its gradients included, where it takes them:
-- a multiplication and an addition that a compiler had made one would show. tests/lua/bits.lua has numbers of 8 bits only.
local tide = require "tide"
local samples = require "samples"

-- A little less than the sample's own numbers, with all bits of the mantissa in use.
local function rough(s, dtype, seed)
  local x = samples.plain(s, dtype, seed)
  if s.spec == "I" or s.spec == "B" then return x end
  return x * (1 - tide.rand(table.unpack(s.shape)):to(dtype) / 64)
end

local function report(label, name, args, dtype)
  tide.manual_seed(#label)
  local fn = samples.resolve(name)
  local ok, hash = pcall(function()
    local values, tensors = samples.arguments({ args = args }, dtype, rough)
    local grads = samples.can_follow(name)
    if grads then samples.follow(tensors) end
    return samples.hash(samples.run(fn, values, tensors, grads))
  end)
  if ok then print(label, dtype, hash) end -- some want other dtypes
end

for _, name in ipairs(tide.operations()) do
  local dtypes = name == "empty_like" and {} or { "float32", "float64" } -- memory as it was has any bits
  for _, dtype in ipairs(dtypes) do
    for i, args in ipairs(samples.rows[name] or {}) do report(("%s/%d"):format(name, i), name, args, dtype) end
    local many = { spec = "F", shape = { 1000 } }
    report(name .. "/many", name, table.pack(many), dtype)
    report(name .. "/many2", name, table.pack(many, many), dtype)
  end
end
