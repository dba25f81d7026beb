-- Writes types/tide.lua (LuaCATS) and docs/reference/*.md from the operation table, tide.help and the docstrings:
--   lua5.4 tests/docs/generate.lua ROOT OUT_DIR
-- Fails on a function that is documented nowhere, has no example or is named by no test, and on a row of the table that no
-- function calls.
local root, out = arg[1], arg[2]
local tide = require "tide"
local help = tide.help
for _, name in ipairs { "optim", "data", "prune", "plot", "image", "metrics", "progress" } do assert(tide[name]) end -- loaded when first used

local function sorted(t)
  local keys = {}
  for k in next, t do if type(k) == "string" then keys[#keys + 1] = k end end
  table.sort(keys)
  return keys
end

local problems = {}
local function problem(...) problems[#problems + 1] = string.format(...) end

-- What depends on the machine or on addresses does not belong in a text that is compared.
local function settled(text)
  text = text:gsub("0x%x+", "0x..."):gsub(root:gsub("%p", "%%%0") .. "/", "")
  return (text:gsub("[ \t]+\n", "\n"):gsub("%s+$", ""))
end

local of_class = {} -- path -> what a class holds

-- The example of a method is that of its class.
local function described(value, path)
  tide.manual_seed(1)
  local text = settled(help(value))
  if not text:find "\nexample\n" and not of_class[path] then problem("no example (lua/tide/help/examples.lua): %s", path) end
  if not text:find "^[^\n]*\n  " then problem("undocumented: %s", path) end
  return text
end

-- ---- what there is ----

local pages, order = {}, {}
local function page(name, title)
  if not pages[name] then
    pages[name] = { title = title, entries = {} }
    order[#order + 1] = name
  end
  return pages[name].entries
end

local family, titles = {}, { create = "Creating tensors", pointwise = "Pointwise", activation = "Activations", compare = "Comparing",
  reduce = "Reductions", norm = "Norms", loss = "Losses", view = "Views and shapes", index = "Indexing", join = "Joining", scan = "Scans and sorting",
  linear = "Products of matrices", conv = "Convolutions and pools", recurrent = "Recurrent cells", update = "Optimizer steps", gradient = "Gradients" }
local bound = {} -- rows of the table that a function of the library calls
for name in pairs(titles) do
  for _, row in ipairs(dofile(("%s/core/op/%s.lua"):format(root, name))) do
    family[row[1]] = name
    if not (row.internal or row.method == false or row.lua == false) then bound[row[1]] = false end
    if not row.internal and not (row.doc or ""):find "%S" then problem("undocumented row: %s", row[1]) end
  end
end

local modules = { data = "Data", image = "Images", metrics = "Metrics", nn = "Layers", ["nn.functional"] = "Functions of layers", ["nn.init"] = "Initial values",
  ["nn.utils"] = "Tools for layers", optim = "Optimizers", ["optim.lr_scheduler"] = "Schedules", plot = "Plots", prune = "Pruning", tide = "The rest of tide" }

local paths, listed = {}, {}
local function add(path, value)
  local op = type(value) == "function" and tide._describe(value)
  if op then bound[op.name] = true end
  local home = op and family[op.name]
  local where, title
  if home then
    where, title = "op-" .. home, titles[home]
  elseif path:find "^x:" then
    where, title = "tensor", "Methods of tensors that are no function of tide"
  else
    where = path:match "^(.*)%.[^.]+$" or "tide"
    while not modules[where] do where = where:match "^(.*)%." or "tide" end
    title = modules[where]
  end
  paths[#paths + 1] = { path = path, value = value, op = op }
  if listed[value] then return end
  listed[value] = true
  local entries = page(where, title)
  entries[#entries + 1] = { path = path, text = described(value, path) }
end

local function is_class(x)
  local meta = type(x) == "table" and getmetatable(x)
  return meta and rawget(meta, "__call") ~= nil
end
local function visit(t, prefix)
  for _, name in ipairs(sorted(t)) do
    local v = t[name]
    if name:sub(1, 1) ~= "_" and v ~= help then
      if type(v) == "function" or is_class(v) then add(prefix .. name, v)
      elseif type(v) == "table" and rawget(v, "__index") ~= v and (prefix .. name):gsub("[^.]", ""):len() < 2 then visit(v, prefix .. name .. ".") end
    end
  end
end
visit(tide, "")

-- What the classes hold, as help calls it; and every class of the sources is one that help knows.
for value, path in next, help.paths() do
  local class = path:match "^([^:]+)[:.][%w_]+$"
  if help.classes[class] then of_class[path] = value end
end
for _, path in ipairs(sorted(of_class)) do add(path, of_class[path]) end
local known_classes = {}
for _, class in next, help.classes do known_classes[class.__name] = true end
local sources <close> = assert(io.popen(("cat '%s'/lua/tide/*.lua '%s'/lua/tide/*/*.lua"):format(root, root)))
for name in sources:read("a"):gmatch '__name = "(tide%.[%w_.]*%w)"' do
  if not known_classes[name] then problem("a class without help (lua/tide/help/classes.lua): %s", name) end
end
local by_path = {}
for _, e in ipairs(paths) do by_path[e.path] = true end
for _, name in ipairs(sorted(tide._methods)) do
  local v = tide._methods[name]
  local op = tide._describe(v)
  if op then bound[op.name] = true end
  if name:sub(1, 1) ~= "_" and not op and not by_path[name] then add("x:" .. name, v) end
end
for _, name in ipairs(sorted(bound)) do
  local op = tide._describe(name)
  if not bound[name] and not (op and op.lua) then problem("unbound row: %s", name) end
end

-- Untested: no test names it. Weak, but finds what was forgotten; misuse.lua calls the rest at random besides.
local named = {}
local listing <close> = assert(io.popen(("cd '%s' && cat $(" ..
  "find tests -name '*.lua' ! -path 'tests/docs/*' -o -name '*.c' -o -name '*.json' -o -name '*.txt') examples/*.lua"):format(root)))
for word in listing:read("a"):gmatch "[%a_][%w_]*" do named[word] = true end
for _, e in ipairs(paths) do
  if not named[e.path:match "[%w_]+$"] and not (e.op and named[e.op.name]) then problem("untested: %s", e.path) end
end

if #problems > 0 then
  io.stderr:write(table.concat(problems, "\n"), "\n")
  os.exit(1)
end

local function write(path, text)
  local f <close> = assert(io.open(out .. "/" .. path, "w"))
  f:write(text)
end

-- ---- docs/reference ----

table.sort(order)
for _, p in next, pages do table.sort(p.entries, function(a, b) return a.path < b.path end) end
local index = { "# Reference\n\nGenerated by `tests/docs/generate.lua`; the same texts are shown by `help(x)` at the prompt.\n" }
for _, name in ipairs(order) do
  local p = pages[name]
  index[#index + 1] = ("- [%s](%s.md): %d"):format(p.title, name, #p.entries)
  local lines = { ("# %s\n\nGenerated by `tests/docs/generate.lua`.\n"):format(p.title) }
  for _, e in ipairs(p.entries) do
    lines[#lines + 1] = ("## %s\n\n```text\n%s\n```\n"):format(e.path, e.text)
  end
  write("docs/reference/" .. name .. ".md", table.concat(lines, "\n"))
end
write("docs/reference/README.md", table.concat(index, "\n") .. "\n")

-- ---- types/tide.lua ----

local kinds = { tensor = "tide.Tensor", operand = "tide.Tensor|number", tensors = "tide.Tensor[]", number = "number", float = "number", int = "integer",
  bool = "boolean", dim = "integer", dims = "integer|integer[]", shape = "integer|integer[]", pair = "integer|integer[]", position = "integer",
  dtype = "string" }
local keyword = { ["end"] = "end_", ["repeat"] = "repeat_" }
local function kind(a)
  if a.type == "enum" then return "'" .. a.choices:gsub("|", "'|'") .. "'" end
  return kinds[a.type]
end

local types = { [[
---@meta
-- Generated by tests/docs/generate.lua: what language servers know of Tide.

---@class tide.Tensor
---@field shape integer[]
---@field dtype string
---@field device string
---@field ndim integer
---@field requires_grad boolean
---@field is_leaf boolean
---@field grad tide.Tensor?
---@field T tide.Tensor
---@operator add(tide.Tensor|number): tide.Tensor
---@operator sub(tide.Tensor|number): tide.Tensor
---@operator mul(tide.Tensor|number): tide.Tensor
---@operator div(tide.Tensor|number): tide.Tensor
---@operator idiv(tide.Tensor|number): tide.Tensor
---@operator mod(tide.Tensor|number): tide.Tensor
---@operator pow(tide.Tensor|number): tide.Tensor
---@operator unm: tide.Tensor
local Tensor = {}

local tide = {}
]] }
local function emit(...) types[#types + 1] = string.format(...) end

local function comment(text)
  text = text:match "^[^\n]*\n(.-)\n  %-> " or text:match "^[^\n]*\n(.*)$" or text
  text = (text .. "\nexample\n"):match "^(.-)\n?example\n":gsub("methods, as x:name.*", "")
  for line in (text .. "\n"):gmatch "(.-)\n" do
    if line:find "%S" then emit("---%s", line) end
  end
end

-- A function of the table, `skip`: as a method, without its first argument.
local function operation(name, op, skip)
  emit("---%s", (op.doc:gsub("%s+$", ""):gsub("\n%s*", "\n---")))
  local parts, options = {}, {}
  for i, a in ipairs(op.args) do
    if a.keyword then
      options[#options + 1] = ("%s?: %s"):format(a.name, kind(a))
    elseif not (skip and i == 1) then
      local param = keyword[a.name] or a.name
      parts[#parts + 1] = param
      emit("---@param %s%s %s", param, a.optional and "?" or "", kind(a))
    end
  end
  if #options > 0 then
    parts[#parts + 1] = "options"
    emit("---@param options? { %s }", table.concat(options, ", "))
  end
  emit("---@return %s", ("tide.Tensor, "):rep(op.results):sub(1, -3))
  emit("function %s(%s) end\n", name, table.concat(parts, ", "))
end

local opened = {}
local function open(path) -- the tables on the way to a name
  local at = "tide"
  for part in path:gmatch "([^.]+)%." do
    at = at .. "." .. part
    if not opened[at] then
      opened[at] = true
      emit("%s = %s or {}\n", at, at)
    end
  end
end
-- How the stubs call a class: one that no table holds has a name of its own.
local function class_name(path)
  local at = tide
  for part in path:gmatch "[^.]+" do at = type(at) == "table" and at[part] end
  return at == help.classes[path] and "tide." .. path or path:match "[%w_]+$"
end
local declared = {}
local function declare(path)
  if declared[path] then return end
  declared[path] = true
  local parent = rawget(help.classes[path], "__tide_module") and path ~= "nn.Module" and " : tide.nn.Module" or ""
  for other, class in next, help.classes do
    if getmetatable(help.classes[path]) == class then parent = " : tide." .. other end
  end
  emit("---@class tide.%s%s", path, parent)
  if rawget(help.classes[path], "__call") and not is_class(help.classes[path]) then emit "---@overload fun(...): any" end -- its objects can be called
end
local function class_function(path, mark, name)
  if not declared[path] then
    declare(path)
    local own = class_name(path)
    emit("%s%s = {}\n", own:find "%." and "" or "local ", own)
  end
  local text = described(of_class[path .. mark .. name], path .. mark .. name)
  local given = text:match "^[^\n]*%(([%w_, .]*)%)\n" or "..."
  comment(text)
  emit("function %s%s%s(%s) end\n", class_name(path), mark, name, given)
end
for _, e in ipairs(paths) do
  local method = e.path:match "^x:(.*)"
  local class, mark, name = e.path:match "^([^:]+)([:.])([%w_]+)$"
  if not method then open(e.path) end
  if e.op then
    operation(method and "Tensor:" .. method or "tide." .. e.path, e.op, method)
  elseif help.classes[class] then
    class_function(class, mark, name)
  elseif is_class(e.value) then
    opened["tide." .. e.path] = true
    comment(described(e.value, e.path))
    if help.classes[e.path] then declare(e.path) end
    emit("---@overload fun(...): tide.%s\ntide.%s = {}\n", help.classes[e.path] and e.path or "nn.Module", e.path)
  else
    comment(described(e.value, e.path))
    local _, made = help.made_by(e.path)
    if made then emit("---@return tide.%s", made) end
    emit("function %s(...) end\n", method and "Tensor:" .. method or "tide." .. e.path)
  end
end
for _, name in ipairs(sorted(tide._methods)) do
  local op = tide._describe(tide._methods[name])
  if op and name:sub(1, 1) ~= "_" then
    operation("Tensor:" .. name, op, true)
  elseif by_path[name] then
    emit("---The same as tide.%s(x, ...).\nfunction Tensor:%s(...) end\n", name, name)
  end
end
emit("return tide\n")
write("types/tide.lua", table.concat(types, "\n"))
