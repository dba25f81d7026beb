--- Parameters that are computed from others, as torch.nn.utils.parametrize: module.weight becomes what a function makes of
-- module.parametrizations.weight.original, which is trained. tide.nn.utils.parametrize.
local tide = require "tide.core"
local module = require "tide.nn.module"
local arguments = require "tide.arguments"
local M = {}

-- What belongs to one name: `original`, and the functions (or modules) in order.
local List = module.Module:extend("ParametrizationList")
function List:init(original) self.original = original end
function List:forward()
  local x = self.original
  for _, fn in ipairs(self) do x = fn(x) end
  return x
end

local Lists = module.Module:extend("Parametrizations")

-- A class like `class` whose objects compute their parametrized fields.
local function derive(class)
  local derived = {}
  for k, v in pairs(class) do derived[k] = v end
  derived.__name, derived._base = "Parametrized" .. class.__name, class
  function derived.__index(self, key)
    local lists = rawget(self, "parametrizations")
    local list = lists and rawget(lists, key)
    if list then return list:forward() end
    return class[key]
  end
  function derived.__newindex(self, key, value)
    local lists = rawget(self, "parametrizations")
    if lists and rawget(lists, key) then
      tide._fail(("%s is parametrized: change parametrizations.%s.original"):format(key, key))
    end
    class.__newindex(self, key, value)
  end
  return setmetatable(derived, getmetatable(class))
end

--- Whether a parameter, or any of the module's, is parametrized.
function M.is_parametrized(m, name)
  arguments.one("module", "is_parametrized", "module", m)
  local lists = rawget(m, "parametrizations")
  if not lists or getmetatable(lists) ~= Lists then return false end
  if name then return rawget(lists, name) ~= nil end
  for _, key in ipairs(lists._order) do
    if rawget(lists, key) then return true end
  end
  return false
end

--- From now on module[name] is fn(original): a function or a module of one tensor, which gives one of the same shape. Several are
-- applied in the order in which they came. Optimizers made before keep working: original is the parameter itself.
function M.register_parametrization(m, name, fn)
  arguments.one("module", "register_parametrization", "module", m)
  arguments.one("string", "register_parametrization", "name", name)
  arguments.one("function", "register_parametrization", "function", fn)
  if not M.is_parametrized(m, name) then
    local original = rawget(m, name)
    if not tide.is_tensor(original) then tide._fail(("register_parametrization: the module has no parameter '%s'"):format(name)) end
    if not rawget(m, "parametrizations") then
      m.parametrizations = Lists()
      setmetatable(m, derive(getmetatable(m)))
    end
    m.parametrizations[name] = List(original)
    rawset(m, name, nil)
  end
  local list = m.parametrizations[name]
  local before = list:forward()
  list[#list + 1] = fn
  local ok, after = pcall(list.forward, list)
  if ok and tide.is_tensor(after) and table.concat(after.shape, ",") == table.concat(before.shape, ",") then return m end
  list[#list] = nil
  if #list == 0 then M.remove_parametrizations(m, name) end
  if not ok then error(after, 0) end
  tide._fail "register_parametrization: the result has another shape"
end

--- Makes module[name] a plain parameter again: the same tensor as before, holding what was computed, or with
-- {leave_parametrized = false} its original values.
function M.remove_parametrizations(m, name, options)
  if not M.is_parametrized(m, name) then tide._fail(("remove_parametrizations: '%s' is not parametrized"):format(name)) end
  local lists = m.parametrizations
  local list = rawget(lists, name)
  local original = list.original
  if not options or options.leave_parametrized ~= false then
    tide.no_grad(function() original:copy_(list:forward()) end)
  end
  rawset(lists, name, nil)
  rawset(m, name, original) -- its place in the order is still its own
  if not M.is_parametrized(m) then
    rawset(m, "parametrizations", nil)
    setmetatable(m, getmetatable(m)._base)
  end
  return m
end

return M
