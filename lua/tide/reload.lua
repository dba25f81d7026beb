--- What a script that is run again takes over from the run before (bindings/engine.h): function(before, after), two
-- tables of globals. Tensors, modules and optimizers reached through the same names, also inside plain tables.
local tide = require "tide.core"
require "tide"
local is_module = require("tide.arguments").is_module
local is_tensor = tide.is_tensor
local Optimizer = tide.optim.Optimizer

local function plain(x) return type(x) == "table" and getmetatable(x) == nil end
local function is_optimizer(x) return type(x) == "table" and getmetatable(x) == Optimizer end

local function alike(a, b) return a.dtype == b.dtype and table.concat(a.shape, ",") == table.concat(b.shape, ",") end

local function adopt(old, new, seen)
  if rawequal(old, new) or old == nil then return end
  if is_tensor(new) then
    if is_tensor(old) and alike(old, new) then new:copy_(old) end
  elseif type(new) == "table" and not seen[new] then
    seen[new] = true
    if is_module(new) and is_module(old) then
      local values = old:state_dict()
      for name, tensor in pairs(new:state_dict()) do adopt(values[name], tensor, seen) end
    elseif is_optimizer(new) and is_optimizer(old) then
      local state = { groups = new:state_dict().groups, state = old:state_dict().state } -- options are the new script's
      pcall(new.load_state_dict, new, state) -- of other shapes: begins anew
    elseif plain(new) and plain(old) then
      for key, value in pairs(new) do adopt(rawget(old, key), value, seen) end
    end
  end
end

return function(before, after)
  tide.no_grad(function()
    local seen = { [after] = true }
    for key, value in pairs(after) do adopt(rawget(before, key), value, seen) end
  end)
end
