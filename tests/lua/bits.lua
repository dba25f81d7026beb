-- Prints "sample hash" for every sample of every operation, its gradients included, and for every optimizer; on the error
-- output how many threads shared tiles: lua5.4 bits.lua [small] [compiled]
local tide = require "tide"
local samples = require "samples"
local optimizers = require "optimizers"
local small, compiled = false, false
for _, word in ipairs(arg) do
  small = small or word == "small"
  compiled = compiled or word == "compiled"
end

local function report(label, name, args)
  local fn = samples.resolve(name)
  if not fn or name == "empty_like" then return end -- memory as it was
  local values, tensors = samples.arguments { args = args }
  local grads = samples.can_follow(name)
  if grads then samples.follow(tensors) end
  local step = function() return samples.run(fn, values, tensors, grads) end
  if compiled then
    step = tide.compile(step)
    for _ = 1, 3 do step() end
  end
  tide.manual_seed(11)
  print(("%s %s"):format(label, samples.hash(step())))
end

for _, name in ipairs(tide.operations()) do
  for i, args in ipairs(samples.rows[name] or {}) do report(("%s/%d"):format(name, i), name, args) end
end
if not small then
  for i, row in ipairs(samples.large) do report(("%s/large%d"):format(row[1], i), row[1], row[2]) end
end
for _, large in ipairs(small and { false } or { false, true }) do
  for _, variant in ipairs(optimizers.variants) do
    local problem = optimizers.problem(variant[1], variant[2], large)
    local work = compiled and tide.compile(problem.work) or nil
    for i = 1, 7 do problem.step(i, work) end
    print(("%s%s %s"):format(optimizers.label(variant), large and "/large" or "", problem.hash()))
  end
end
io.stderr:write("threads ", tide.counters().threads, "\n")
