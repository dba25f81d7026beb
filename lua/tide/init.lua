--- Tide: tensors, gradients, optimizers and compiled training steps.
--   local tide = require "tide"
local core = require "tide.core"

-- The library's own frames are skipped when an error names the user's line.
local here = debug.getinfo(1, "S").source:match("^@(.*)init%.lua$")
if here then core._library(here) end

require "tide.overloads"

local functional = core.nn.functional
core.nn = require "tide.nn"
core.nn.functional = functional
core.optim = require "tide.optim"
core.data = require "tide.data"
core.prune = require "tide.prune"
core.progress = require "tide.progress"

--- Frees the tensors made inside when it ends, except what fn returns: tide.scope(fn), or
-- `local s <close> = tide.scope()` and s:keep(t).
function core.scope(fn)
  local scope = core._scope()
  if not fn then return scope end
  local results = table.pack(pcall(fn, scope))
  for i = 2, results.n do
    if core.is_tensor(results[i]) then scope:keep(results[i]) end
  end
  scope:close()
  if not results[1] then error(results[2], 0) end
  return table.unpack(results, 2, results.n)
end

--- A function whose gradient is written in Lua: tide.custom{forward = function(ctx, x, ...) return y end,
-- backward = function(ctx, gy, ...) return gx, ... end}. ctx is a table for whatever backward needs.
function core.custom(definition)
  local forward, backward = definition.forward, definition.backward
  return function(...)
    local ctx, args = {}, table.pack(...)
    local outputs = core.no_grad(function() return table.pack(forward(ctx, table.unpack(args, 1, args.n))) end)
    local ins, outs = {}, {}
    for i = 1, args.n do
      if core.is_tensor(args[i]) then ins[#ins + 1] = args[i] end
    end
    for i = 1, outputs.n do outs[i] = outputs[i] end
    core._attach(function(...) return backward(...) end, ctx, ins, outs)
    return table.unpack(outputs, 1, outputs.n)
  end
end

return core
