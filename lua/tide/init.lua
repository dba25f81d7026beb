--- Tide: tensors, gradients, optimizers and compiled training steps.
--   local tide = require "tide"
local core = require "tide.core"

-- The library's own frames are skipped when an error names the user's line.
local here = debug.getinfo(1, "S").source:match("^@(.*)init%.lua$")
if here then core._library(here) end

require "tide.overloads"

local functional = core.nn.functional
core.nn = require "tide.nn"
local expect = require("tide.arguments").one
core.nn.functional = functional
require "tide.files"
require "tide.checkpoint"
for name, clip in pairs(require "tide.optim.clip") do
  core[name], core.nn.utils[name] = clip, clip
end

-- Loaded when they are first used, so that a script starts without them. Completion reads __names.
local later = {}
for name in ("optim data prune metrics progress plot image help"):gmatch "%S+" do later[name] = "tide." .. name end
setmetatable(core, {
  __names = later,
  __index = function(_, key)
    local name = later[key]
    if not name then return nil end
    core[key] = require(name)
    return core[key]
  end,
})

--- Frees the tensors made inside when it ends, except what fn returns (also in a table): tide.scope(fn), or
-- `local s <close> = tide.scope()` and s:keep(t).
function core.scope(fn)
  if fn ~= nil then expect("function", "scope", "fn", fn) end
  local scope = core._scope()
  if not fn then return scope end
  local opened <close> = scope
  local results = table.pack(fn(opened))
  for i = 1, results.n do
    local r = results[i]
    if core.is_tensor(r) then
      scope:keep(r)
    elseif type(r) == "table" then
      for _, t in pairs(r) do
        if core.is_tensor(t) then scope:keep(t) end
      end
    end
  end
  return table.unpack(results, 1, results.n)
end

--- A function whose gradient is written in Lua: tide.custom{forward = function(ctx, x, ...) return y end,
-- backward = function(ctx, gy, ...) return gx, ... end}. ctx is a table for whatever backward needs. backward gets a
-- gradient (or nil) for each tensor that forward returned and returns one (or nil) for each argument of forward.
function core.custom(definition)
  expect("table", "custom", "definition", definition)
  local forward, backward = expect("function", "custom", "forward", definition.forward), expect("function", "custom", "backward", definition.backward)
  return function(...)
    local ctx, args = {}, table.pack(...)
    local results = table.pack(core.no_grad(forward, ctx, ...))
    local ins, places, outs = {}, {}, {}
    for i = 1, args.n do
      if core.is_tensor(args[i]) then
        ins[#ins + 1] = args[i]
        places[#ins] = i
      end
    end
    for i = 1, results.n do
      if core.is_tensor(results[i]) then outs[#outs + 1] = results[i] end
    end
    if #ins == 0 or #outs == 0 then return table.unpack(results, 1, results.n) end
    local function gradients(...)
      local given, wanted = table.pack(backward(...)), {}
      for k, i in ipairs(places) do wanted[k] = given[i] end
      return table.unpack(wanted, 1, #places)
    end
    local attached, k = core._attach(gradients, ctx, ins, outs), 0
    for i = 1, results.n do
      if core.is_tensor(results[i]) then
        k = k + 1
        results[i] = attached[k]
      end
    end
    return table.unpack(results, 1, results.n)
  end
end

return core
