--- The base of all layers: a table whose tensors and submodules are found because they are its fields.
-- Order is that of first assignment. A field is a parameter if it is a tensor that requires a gradient when it is
-- first assigned (or came through register_parameter), a buffer if it came through register_buffer. Submodules may lie
-- in plain tables, at any depth: self.blocks = {Block(), Block()}.
local tide = require "tide.core"
local arguments = require "tide.arguments"
local with_options = require "tide.options"

local Module = { __name = "nn.Module", __tide_module = true }
Module.__index = Module

local is_tensor, is_module, expect = tide.is_tensor, arguments.is_module, arguments.one

function Module.__newindex(self, key, value)
  local order = rawget(self, "_order")
  if order and type(key) == "string" and key:sub(1, 1) ~= "_" then
    order[#order + 1] = key
    if is_tensor(value) and value.requires_grad then rawget(self, "_kind")[key] = "parameter" end
  end
  rawset(self, key, value)
end

local function call_hooked(self, ...)
  local args = table.pack(...)
  for _, hook in ipairs(self._pre_hooks or {}) do
    local changed = table.pack(hook.fn(self, args))
    if changed.n > 0 and changed[1] ~= nil then args = type(changed[1]) == "table" and table.pack(table.unpack(changed[1])) or changed end
  end
  local results = table.pack(self:forward(table.unpack(args, 1, args.n)))
  for _, hook in ipairs(self._hooks or {}) do
    local changed = table.pack(hook.fn(self, args, table.unpack(results, 1, results.n)))
    if changed.n > 0 and changed[1] ~= nil then results = changed end
  end
  return table.unpack(results, 1, results.n)
end

function Module.__call(self, ...)
  if rawget(self, "_hooks") or rawget(self, "_pre_hooks") then return call_hooked(self, ...) end
  return self:forward(...)
end

-- Lists are copied, so that a hook may remove itself while they are walked.
local function add_hook(self, list, fn)
  expect("function", "hook", "fn", fn)
  local hook, hooks = { fn = fn }, { table.unpack(rawget(self, list) or {}) }
  hooks[#hooks + 1] = hook
  rawset(self, list, hooks)
  function hook.remove()
    local rest = {}
    for _, h in ipairs(rawget(self, list) or {}) do
      if h ~= hook then rest[#rest + 1] = h end
    end
    rawset(self, list, #rest > 0 and rest or nil)
  end
  return hook
end

--- fn(module, args) is called before each forward, args a sequence; what it returns, if anything, takes the place of the
-- arguments: one or more values, or one table of them. Returns a handle; handle:remove() takes the hook away.
function Module:register_forward_pre_hook(fn) return add_hook(self, "_pre_hooks", fn) end

--- fn(module, args, result, ...) is called after each forward; what it returns, if anything, takes the place of the results.
function Module:register_forward_hook(fn) return add_hook(self, "_hooks", fn) end

--- Makes a class: `local Block = nn.Module:extend("Block")`, then define Block:init(...) and Block:forward(x).
-- Block(...) makes an instance.
function Module:extend(name)
  local class = { __name = name, __tide_module = true, __call = self.__call, __newindex = self.__newindex, __tostring = self.__tostring }
  class.__index = class
  return setmetatable(class, {
    __index = self,
    __call = function(cls, ...)
      local object = setmetatable({ _order = {}, _kind = {}, training = true }, cls)
      cls.init(object, ...)
      return object
    end,
  })
end

--- Called by Class(...) with its arguments; makes parameters and layers. Defined by each class.
function Module.init() end
--- What model(x) calls. Defined by each class.
function Module.forward(self) tide._fail(("%s has no forward"):format(getmetatable(self).__name)) end

--- A trained tensor of this module by its name, as `self.name = tensor` does for tensors that require gradients.
function Module:register_parameter(name, tensor)
  expect("string", "register_parameter", "name", name)
  self[name] = tensor
  self._kind[name] = "parameter"
end

--- A tensor that belongs to the state but is not trained.
function Module:register_buffer(name, tensor)
  expect("string", "register_buffer", "name", name)
  self[name] = tensor
  self._kind[name] = "buffer"
end

-- Calls visit(key, value) for the fields of a module in order of assignment, or of a plain table: numbers, then names.
local function walk_fields(x, visit)
  if is_module(x) then
    for _, key in ipairs(x._order) do
      local value = rawget(x, key)
      if value ~= nil then visit(key, value) end
    end
    for i, value in ipairs(x) do visit(i, value) end
  else
    for i, value in ipairs(x) do visit(i, value) end
    local keys = {}
    for key in pairs(x) do
      if type(key) == "string" then keys[#keys + 1] = key end
    end
    table.sort(keys)
    for _, key in ipairs(keys) do visit(key, x[key]) end
  end
end

-- The name of what lies at `key`; numbers count from 0 in names, as PyTorch's do, so that saved models can be exchanged.
local function name_at(path, key)
  local name = type(key) == "number" and tostring(key - 1) or key
  return path == "" and name or path .. "." .. name
end

-- Calls visit(path, value, owner, key) for every tensor and module inside `x`, a module or a plain table, in order.
local function walk(x, path, visit, seen)
  if seen[x] then return end
  seen[x] = true
  walk_fields(x, function(key, value)
    local at = name_at(path, key)
    if is_module(value) then
      if not seen[value] then visit(at, value, x, key) end
      walk(value, at, visit, seen)
    elseif is_tensor(value) then
      visit(at, value, x, key)
    elseif type(value) == "table" and getmetatable(value) == nil then
      walk(value, at, visit, seen)
    end
  end)
end

-- A tensor that lies in several places is listed once, or as often if `all`.
local function tensors(self, kind, all)
  local list, seen = {}, {}
  walk(self, "", function(path, value, owner, key)
    if is_tensor(value) and is_module(owner) and owner._kind[key] == kind and (all or not seen[value]) then
      seen[value] = true
      list[#list + 1] = { path, value, owner, key }
    end
  end, {})
  return list
end

local function iterate(list)
  local i = 0
  return function()
    i = i + 1
    if list[i] then return list[i][1], list[i][2] end
  end
end

--- for name, tensor in model:named_parameters() do ... end
function Module:named_parameters() return iterate(tensors(self, "parameter")) end
--- for name, tensor in model:named_buffers() do ... end: state that is not trained.
function Module:named_buffers() return iterate(tensors(self, "buffer")) end

--- for name, module in model:named_modules() do ... end; the module itself first, named "".
function Module:named_modules()
  local list = { { "", self } }
  walk(self, "", function(path, value) if is_module(value) then list[#list + 1] = { path, value } end end, {})
  return iterate(list)
end

--- The parameters as a sequence, each once.
function Module:parameters()
  local list = {}
  for _, tensor in self:named_parameters() do list[#list + 1] = tensor end
  return list
end

--- The buffers as a sequence, each once.
function Module:buffers()
  local list = {}
  for _, tensor in self:named_buffers() do list[#list + 1] = tensor end
  return list
end

--- The modules inside as a sequence, the module itself first.
function Module:modules()
  local list = {}
  for _, module in self:named_modules() do list[#list + 1] = module end
  return list
end

--- Calls fn(module) for every module inside, the innermost first, then for the module itself.
function Module:apply(fn)
  expect("function", "apply", "fn", fn)
  local list = self:modules()
  for i = #list, 1, -1 do fn(list[i]) end
  return self
end

--- Training behaviour (dropout, batch statistics) for all modules inside; false: off. -> the module
function Module:train(mode)
  if mode == nil then mode = true end
  for _, module in self:named_modules() do module.training = mode end
  return self
end
--- The same as train(false). -> the module
function Module:eval() return self:train(false) end

--- Forgets the gradients of all parameters.
function Module:zero_grad()
  for _, p in ipairs(self:parameters()) do p.grad = nil end
end

--- Trains all parameters, or with false freezes them. -> the module
function Module:requires_grad_(on)
  for _, p in ipairs(self:parameters()) do p:requires_grad_(on == nil or on) end
  return self
end

--- Converts floating parameters and buffers to another dtype, in place of the old tensors: make optimizers afterwards.
function Module:to(dtype)
  local converted = {}
  for _, kind in ipairs { "parameter", "buffer" } do
    for _, entry in ipairs(tensors(self, kind, true)) do
      local _, tensor, owner, key = table.unpack(entry)
      if tensor.dtype:find("float") and tensor.dtype ~= dtype then
        converted[tensor] = converted[tensor] or tensor:detach():to(dtype):requires_grad_(tensor.requires_grad)
        rawset(owner, key, converted[tensor])
      end
    end
  end
  return self
end
--- The same as to("float32").
function Module:float() return self:to("float32") end
--- The same as to("float64").
function Module:double() return self:to("float64") end

--- A plain table from names to tensors (sharing their data): parameters and buffers, by PyTorch's names ("0.weight" is that
-- of the first layer of an nn.Sequential).
function Module:state_dict()
  local dict = {}
  for _, kind in ipairs { "parameter", "buffer" } do
    for _, entry in ipairs(tensors(self, kind, true)) do dict[entry[1]] = entry[2]:detach() end
  end
  return dict
end

--- Copies the tensors of a state_dict into this module. Strict (the default): names must agree exactly.
-- Returns {missing = {...}, unexpected = {...}}; raises on shapes that differ and, if strict, on names.
function Module:load_state_dict(dict, options)
  local strict = with_options("load_state_dict", options, "strict").strict ~= false
  local missing, unexpected, known, pairs_of = {}, {}, {}, {}
  if type(dict) ~= "table" then tide._fail(("load_state_dict: expected a table of tensors, not a %s"):format(tide.is_tensor(dict) and "tensor" or type(dict))) end
  for _, kind in ipairs { "parameter", "buffer" } do
    for _, entry in ipairs(tensors(self, kind, true)) do
      local name, tensor = entry[1], entry[2]
      known[name] = true
      local value = dict[name]
      if value == nil then
        missing[#missing + 1] = name
      elseif not tide.is_tensor(value) then
        tide._fail(("load_state_dict: %s is a %s, not a tensor"):format(name, type(value)))
      else
        local a, b = table.concat(tensor.shape, ","), table.concat(value.shape, ",")
        if a ~= b then tide._fail(("load_state_dict: %s has shape (%s), the dictionary (%s)"):format(name, a, b)) end
        pairs_of[#pairs_of + 1] = { tensor, value }
      end
    end
  end
  for name in pairs(dict) do
    if not known[name] then unexpected[#unexpected + 1] = name end
  end
  table.sort(unexpected)
  if strict and (#missing > 0 or #unexpected > 0) then
    tide._fail(("load_state_dict: missing: %s; unexpected: %s"):format(#missing > 0 and table.concat(missing, ", ") or "none",
      #unexpected > 0 and table.concat(unexpected, ", ") or "none"))
  end
  tide.no_grad(function() -- all of them or none
    for _, pair in ipairs(pairs_of) do pair[1]:copy_(pair[2]) end
  end)
  return { missing = missing, unexpected = unexpected }
end

--- A copy with parameters and buffers of its own; what was shared inside is shared inside the copy.
function Module:clone()
  local done = {}
  local function copy(x)
    if is_tensor(x) then
      done[x] = done[x] or x:detach():clone():requires_grad_(x.requires_grad)
      return done[x]
    end
    local mt = type(x) == "table" and getmetatable(x)
    if type(x) ~= "table" or (mt and not is_module(x)) then return x end
    if done[x] then return done[x] end
    local new = {}
    done[x] = new
    for k, v in next, x do new[k] = copy(v) end
    return setmetatable(new, mt)
  end
  return copy(self)
end

--- What stands between the parentheses when printed; layers override it.
function Module.extra() return "" end

local function count(self)
  local n = 0
  for _, p in ipairs(self:parameters()) do n = n + p:numel() end
  return n
end

local function thousands(n)
  local s = tostring(n):reverse():gsub("(%d%d%d)", "%1,"):reverse()
  return (s:gsub("^,", ""))
end

local function render(self, indent, lines, seen, label)
  local name = getmetatable(self).__name
  local children = {}
  local function direct(x, path)
    if seen[x] then return end -- once is enough, also where a table holds itself
    seen[x] = true
    walk_fields(x, function(key, value)
      local at = path == "" and tostring(key) or path .. "." .. tostring(key)
      if is_module(value) then
        children[#children + 1] = { at, value }
      elseif type(value) == "table" and getmetatable(value) == nil then
        direct(value, at)
      end
    end)
  end
  direct(self, "")
  local head = ("%s%s%s(%s)"):format(indent, label and label .. ": " or "", name, self:extra())
  local n = count(self)
  lines[#lines + 1] = n > 0 and ("%s  [%s]"):format(head, thousands(n)) or head
  for _, c in ipairs(children) do render(c[2], indent .. "  ", lines, seen, c[1]) end
end

function Module:__tostring()
  local lines = {}
  render(self, "", lines, {})
  return table.concat(lines, "\n")
end

-- "net.blocks[3].attn" for a chain of modules, outermost first: used by the binding to say where an operation failed.
local function path_of(chain)
  local text = getmetatable(chain[1]).__name
  for i = 2, #chain do
    local step
    walk(chain[i - 1], "", function(path, value) if value == chain[i] and not step then step = path end end, {})
    step = step or getmetatable(chain[i]).__name
    text = text .. "." .. step
  end
  return (text:gsub("%.(%d+)", function(n) return ("[%d]"):format(n + 1) end)) -- as a script reaches it
end

return { Module = Module, path_of = path_of }
