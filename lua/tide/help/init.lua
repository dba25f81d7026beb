--- help(x): what a function, an operation, a layer or a tensor is, how it is called, which shapes go in and come out, an
-- example with its result, and the errors it gives, as it gives them. Operations are described by their rows in the
-- table, Lua functions by the comment above them, and the functions written in C by tide.help.native.
local tide = require "tide.core"

local M = {}

M.start = [[
x = tide.randn(3, 4)        a value is shown; _ is the last one; a final ; shows nothing
?x.sum   help(tide.sum)     how something is called      Tab completes names and files
:time x:matmul(x.T)         how long it takes            who() lists the live tensors
nn = tide.nn                layers                       tide.optim, tide.data, tide.plot, tide.image
Ctrl-C stops what runs, Ctrl-D leaves. A file ~/.config/tide/init.lua is run at the start.]]

local function indent(text) return "  " .. text:gsub("\n", "\n  ") end

-- ---- names of things ----

local function is_class(x)
  local mt = type(x) == "table" and getmetatable(x)
  return mt and rawget(mt, "__call") ~= nil or false
end

-- The public fields of a table, in the order of their names.
local function public(t)
  local names = {}
  for name in next, t do
    if type(name) == "string" and name:sub(1, 1) ~= "_" then names[#names + 1] = name end
  end
  table.sort(names)
  local i = 0
  return function()
    i = i + 1
    return names[i], t[names[i]]
  end
end

-- The names of what a table holds, in lines; nil: nothing.
local function plain(x)
  if type(x) ~= "table" then return nil end
  local names = {}
  for name, v in public(x) do names[#names + 1] = name .. (type(v) == "table" and not is_class(v) and "." or "") end
  if #names == 0 then return nil end
  local lines, now = {}, " "
  for _, name in ipairs(names) do
    if #now + #name > 78 then
      lines[#lines + 1] = now
      now = " "
    end
    now = now .. " " .. name
  end
  lines[#lines + 1] = now
  return table.concat(lines, "\n")
end

-- What a class is described by: its public functions, of a layer those that not every layer has (init, forward).
local function members(class)
  local list, common = {}, rawget(class, "__tide_module") and class ~= tide.nn.Module and tide.nn.Module or {}
  for name, fn in public(class) do
    if type(fn) == "function" and not common[name] then list[name] = fn end
  end
  return list
end

local function is_method(fn) return debug.getlocal(fn, 1) == "self" end

-- The classes that are described method by method: "prune.Pruner" -> class; and the other way.
M.classes = {}
local class_paths = {}

-- Every function, class and method of the library with its path: value -> "nn.Linear", "prune.Pruner:step".
local function paths()
  local found = {}
  local function note(v, at)
    if not found[v] or #at < #found[v] then found[v] = at end
  end
  local function methods(class, path)
    M.classes[path], class_paths[class] = class, path
    for name, fn in next, members(class) do note(fn, path .. (is_method(fn) and ":" or ".") .. name) end
  end
  local function visit(t, path, depth)
    for name, v in public(t) do
      local at = path .. name
      if type(v) == "function" or is_class(v) then note(v, at) end
      if type(v) == "table" and rawget(v, "__index") == v then
        methods(v, at)
      elseif type(v) == "table" and depth < 3 and v ~= M then
        visit(v, at .. ".", depth + 1)
      end
    end
  end
  for name in next, getmetatable(tide) and getmetatable(tide).__names or {} do
    if name ~= "help" then pcall(function() return tide[name] end) end
  end
  visit(tide, "", 1)
  local seed, calls = tide._random()
  tide.scope(function()
    for _, row in ipairs(require "tide.help.classes") do
      local there, class = pcall(row[3]) -- not where a part of the library is closed off
      if there then methods(class, row[1]) end
    end
  end)
  tide._random(seed, calls)
  for name, v in next, tide._methods do
    if not found[v] then found[v] = "x:" .. name end
  end
  return found
end

local function walk(root, path)
  for name in path:gmatch "[^.]+" do
    if type(root) ~= "table" then return nil end
    root = root[name]
  end
  return root
end

-- ---- running examples ----

local function run(code)
  local written = {} -- what it prints, then what it gives
  local function print(...)
    local parts = table.pack(...)
    for i = 1, parts.n do parts[i] = tostring(parts[i]) end
    written[#written + 1] = table.concat(parts, "\t")
  end
  local env = setmetatable({ tide = tide, print = print }, { __index = _G })
  local chunk = load("return " .. code, "=example", "t", env)
  if not chunk then chunk = assert(load(code, "=example", "t", env)) end
  local seed, calls = tide._random() -- the person's random numbers stay theirs
  local results = table.pack(pcall(chunk))
  tide._random(seed, calls)
  if results[1] then
    for i = 2, results.n do written[#written + 1] = tostring(results[i]) end
    return true, table.concat(written, "\n")
  end
  return false, (tostring(results[2]):gsub("^[^\n]-:%d+: ", ""))
end

local function example(code)
  local _, result = run(code)
  return indent("> " .. code .. (result ~= "" and "\n" .. result or ""))
end

-- ---- operations ----

local meaning = { tensor = "tensor", operand = "tensor or number", tensors = "list of tensors", number = "number", float = "number", int = "integer",
  bool = "boolean", dim = "dim, from 1; negative from the end", dims = "dim or list of dims", shape = "sizes", pair = "integer or two", position = "position, from 1",
  dtype = "dtype", enum = "string" }

local function signature(op, path)
  local parts, open = {}, false
  for _, a in ipairs(op.args) do
    local text = a.name .. (a.optional and "?" or "")
    if a.keyword and not open then
      text, open = "{" .. text, true
    end
    parts[#parts + 1] = text
  end
  return ("tide.%s(%s%s)"):format(path, table.concat(parts, ", "), open and "}" or "")
end

local function shapes(op)
  local known = require("tide.help.shapes")[op.name]
  if known then return known end
  local tensors = 0
  for _, a in ipairs(op.args) do
    if a.type == "tensor" or a.type == "operand" then tensors = tensors + 1 end
  end
  if op.pointwise then return tensors > 1 and "those of the arguments, broadcast together" or "that of the argument" end
  if op.reduces then return "the argument's without the dims given (size 1 with keepdim = true); none given: all" end
  if op.view then return "a view: shares the argument's memory" end
  return nil
end

local function dtypes(op)
  if op.boolean then return "bool" end
  if op.floating then return "floating; integers become float32" end
  if op.promotes then return op.args[2] and "the common one of the arguments" or "that of the argument" end
  return nil
end

-- Values to try for an argument, as code.
local candidates = {
  tensor = { "tide.tensor{{1, 2}, {3, 4}}", "tide.tensor({1, 2}, {dtype = 'int64'})", "tide.tensor{true, false}", "tide.ones(2)" },
  operand = { "tide.tensor{{1, 2}, {3, 4}}", "2" },
  tensors = { "{tide.ones(2), tide.zeros(2)}" },
  number = { "2" }, float = { "0.5" }, int = { "2" }, bool = { "true" }, dim = { "1" }, dims = { "1" }, shape = { "{2, 2}" }, pair = { "2" }, position = { "1" },
  dtype = { "'float64'" },
}

-- Code of a call that works, found by trying; nil: none.
local function find_call(op, path)
  local needed = {}
  for _, a in ipairs(op.args) do
    if not a.optional and not a.keyword then needed[#needed + 1] = a end
  end
  local function try(k, so_far)
    if k > #needed then
      local code = ("tide.%s(%s)"):format(path, table.concat(so_far, ", "))
      return run(code) and code or nil
    end
    local list = needed[k].type == "enum" and { ("'%s'"):format(needed[k].choices:match "^[^|]+") } or candidates[needed[k].type]
    for _, c in ipairs(list) do
      local code = try(k + 1, table.move({ c }, 1, 1, k, table.move(so_far, 1, k - 1, 1, {})))
      if code then return code end
    end
  end
  return try(1, {})
end

local function without_result(code)
  local ok, message = run(code)
  return not ok and indent("> " .. code .. "\n" .. message) or nil
end

-- Calls that fail, each with what it says.
local function errors(op, path, good)
  local list = {}
  local function add(code)
    local text = without_result(code)
    if text then list[#list + 1] = text end
  end
  if good and good:find "^tide%.[%w_.]+%(.+%)$" then
    local head = good:match "^(tide%.[%w_.]+)%("
    if op.args[1] and not op.args[1].optional then add(head .. "()") end
    if op.pointwise and op.args[2] and (op.args[2].type == "operand" or op.args[2].type == "tensor") and not op.args[2].optional and not op.args[3] then
      add(head .. "(tide.ones(2, 3), tide.ones(4))")
    end
    for k, a in ipairs(op.args) do
      if (a.type == "dim" or a.type == "dims") and k == 2 and op.args[1].type == "tensor" then add(head .. "(tide.ones(2, 3), 5)") end
      if a.type == "enum" and a.keyword then add(good:gsub("%)$", (", {%s = 'wrong'})"):format(a.name))) end
    end
    add(good:gsub("%)$", ", {wrong = 1})"))
  end
  if #list == 0 then add(("tide.%s('text')"):format(path)) end
  return table.concat(list, "\n")
end

local function operation(op)
  local path = op.lua or op.name
  if op.called_inplace then path = path .. "_" end
  local lines = { signature(op, path) }
  if op.method then lines[1] = lines[1] .. ("   x:%s"):format(path:match "[%w_]+$") end
  if op.inplace and not op.called_inplace then lines[1] = lines[1] .. ("   in place: x:%s_"):format(path:match "[%w_]+$") end
  lines[#lines + 1] = indent((op.doc or ""):gsub("%s+$", ""))
  lines[#lines + 1] = ""
  for _, a in ipairs(op.args) do
    local text = ("  %-12s %s"):format(a.name, meaning[a.type])
    if a.choices then text = text .. ", one of " .. a.choices end
    if a.default then text = text .. ", default " .. a.default elseif a.optional then text = text .. ", may be left out" end
    lines[#lines + 1] = text
  end
  local function fact(name, text)
    if text then lines[#lines + 1] = ("  %-12s %s"):format(name, text) end
  end
  fact("-> shape", shapes(op))
  fact("-> dtype", dtypes(op))
  if op.results > 1 then fact("-> results", ("%d tensors"):format(op.results)) end
  if op.nograd then lines[#lines + 1] = "  no gradient: " .. op.nograd end
  local known = require("tide.help.examples")[op.lua or op.name]
  local code = known and known[1] or find_call(op, op.lua or op.name)
  if code then lines[#lines + 1] = "example\n" .. example(code) end
  lines[#lines + 1] = "errors\n" .. (known and known[2] and without_result(known[2]) or errors(op, op.lua or op.name, code))
  return table.concat(lines, "\n")
end

-- ---- Lua functions: the comment above the definition ----

local defined = require "tide.defined"

local function comment_above(fn)
  local info = defined[fn] or debug.getinfo(fn, "S")
  if info.text then return info.text end
  local path = info.source:match "^@(.*)$"
  local f = path and io.open(path)
  if not f then return nil end
  local block, head, n = {}, nil, 0
  for line in f:lines() do
    n = n + 1
    if n == info.linedefined then
      head = line
      break
    end
    local text = line:match "^%s*%-%-%-?%s?(.*)$"
    if text then block[#block + 1] = text elseif not line:find "^%s*define%(" then block = {} end
  end
  f:close()
  if #block == 0 or not head then return nil end
  return table.concat(block, "\n")
end

-- What a function reads its arguments with (tide.arguments), and what it calls with them.
local function reader(fn)
  local signatures, text, inner = require("tide.arguments").signatures, nil, nil
  for i = 1, math.huge do
    local name, value = debug.getupvalue(fn, i)
    if not name then return text, inner end
    if type(value) == "function" then
      if signatures[value] and not text then text = signatures[value] elseif name == "fn" then inner = value end
    end
  end
end

local function parameters(fn)
  local read = reader(fn)
  if read then return { read } end
  local info, list = debug.getinfo(fn, "u"), {}
  for i = 1, info.nparams do list[i] = debug.getlocal(fn, i) end
  if info.isvararg then list[#list + 1] = "..." end
  return list
end

-- What the objects that `path` makes can do: the names of their methods, also of what their class extends.
local function with_methods(lines, class)
  local names = {}
  while class and rawget(class, "__index") == class do
    for name, fn in next, members(class) do names[name] = names[name] or is_method(fn) or nil end
    class = getmetatable(class)
  end
  lines[#lines + 1] = next(names) and "methods, as x:name()\n" .. plain(names) or nil
end

local function with_example(lines, path)
  local examples = require "tide.help.examples"
  local known = path and (examples[path] or examples[path:gsub(":", ".")])
  if not known then return table.concat(lines, "\n") end
  lines[#lines + 1] = "example\n" .. (known.unrun and indent("> " .. known[1]) or example(known[1]))
  if known[2] then lines[#lines + 1] = "errors\n" .. without_result(known[2]) end
  return table.concat(lines, "\n")
end

local function lua_function(fn, path)
  local _, inner = reader(fn)
  local doc = comment_above(inner or fn)
  local name = path and (path:find ":" and path or "tide." .. path) or "function"
  local list = parameters(fn)
  if inner and list[1] == "..." then list = parameters(inner) end
  if path and path:find ":" and list[1] == "self" then table.remove(list, 1) end
  local arguments = defined[fn] and defined[fn].signature or table.concat(list, ", ")
  local lines = { ("%s(%s)"):format(name, arguments) }
  if doc then lines[2] = indent(doc) end
  local class = path and M.made_by(path)
  if class then with_methods(lines, class) end
  return with_example(lines, path)
end

-- The lines before `local NAME = ...` in the file of a class's init.
local function class_comment(class)
  local fn = rawget(class, "init") or rawget(class, "forward") or getmetatable(class).__call
  local name = class.__name:match "[%w_]+$"
  local source = fn and debug.getinfo(fn, "S").source:match "^@(.*)$"
  local f = source and io.open(source)
  if not f then return nil end
  local block, found = {}, false
  for line in f:lines() do
    local text = line:match "^%-%-%-?%s?(.*)$"
    if text then
      block[#block + 1] = text
    elseif line:find("^local [%w_]+ = .*[\"']" .. name .. "[\"']") or line:find("class%([\"']" .. name .. "[\"']") then
      found = true
      break
    else
      block = {}
    end
  end
  f:close()
  return found and #block > 0 and table.concat(block, "\n") or nil
end

-- The comment at the top of the file of a function: what it says of a family of classes.
local function first_comment(fn)
  local source = debug.getinfo(fn, "S").source:match "^@(.*)$"
  local f, block = source and io.open(source), {}
  if not f then return nil end
  for line in f:lines() do
    local text = line:match "^%-%-%-?%s?(.*)$"
    if not text then break end
    block[#block + 1] = text
  end
  f:close()
  return #block > 0 and table.concat(block, "\n") or nil
end

local function class_text(class, path)
  local init = class.init
  local list = type(init) == "function" and parameters(init) or {}
  if list[1] == "self" then table.remove(list, 1) end
  local lines = { ("tide.%s(%s)"):format(path or class.__name, table.concat(list, ", ")) }
  local make = type(init) == "function" and init or getmetatable(class).__call
  local doc = class_comment(class) or (make == init and comment_above(init)) or first_comment(make)
  local arguments, rest = (doc or ""):match("^" .. class.__name:match "[%w_]+$" .. "(%b())%s*:?%s*(.*)$") -- "Name(x, y): what it is"
  if not arguments then arguments, rest = (doc or ""):match("^" .. class.__name:match "[%w_]+$" .. "(%b{})%s*:?%s*(.*)$") end
  if arguments then
    lines[1], doc = ("tide.%s%s"):format(path or class.__name, arguments), rest
  end
  if doc then lines[2] = indent(doc) end
  if class_paths[class] then with_methods(lines, class) end
  return with_example(lines, path)
end

-- ---- the doors ----

local known_paths

local function of_value(x)
  local op = type(x) == "function" and tide._describe(x)
  known_paths = known_paths or paths()
  local path = (type(x) == "function" or type(x) == "table") and known_paths[x] or nil
  local native = path and (require("tide.help.native")[path] or require("tide.help.native")[path:match "^x:(.*)"])
  if native then return with_example({ native[1], indent(native[2]) }, path) end
  if op then return operation(op) end
  if type(x) == "function" then
    op = path and not comment_above(x) and tide._describe(path) -- an operation behind a few lines of Lua
    if op and op.lua then return operation(op) end
    if debug.getinfo(x, "S").what == "C" then return "a function written in C, of which Tide knows nothing" end
    return lua_function(x, path)
  end
  if is_class(x) and rawget(x, "__name") then return class_text(x, path) end
  if tide.is_tensor(x) then
    return require("tide.prompt.show").line(x) .. "\nfields\n  T device dtype grad is_leaf ndim requires_grad shape\nmethods, as x:name()\n" .. plain(tide._methods)
  end
  local mt = type(x) == "table" and getmetatable(x)
  if mt and mt.__tide_module then return ("%s\nis an instance of\n%s"):format(tostring(x), class_text(mt, known_paths[mt])) end
  local class = mt
  while type(class) == "table" and not class_paths[class] do class = getmetatable(class) end
  if class_paths[class] and rawget(x, "__index") ~= x then
    local lines = { ("an object of tide.%s"):format(class_paths[class]) }
    with_methods(lines, getmetatable(x))
    return table.concat(lines, "\n")
  end
  local list = plain(x)
  if list then return list end
  return ("no help for that: it is a %s"):format(type(x))
end

-- A name: of an operation ("sum", "sum_"), or a path below tide or among the tensor's methods.
local function of_name(name)
  local short = name:gsub("^tide%.", ""):gsub("^x[:.]", "")
  local value = walk(tide, short)
  if value == nil then value = rawget(tide._methods, short) end
  if value ~= nil and type(value) ~= "string" then return of_value(value) end
  known_paths = known_paths or paths()
  local class, method = short:match "^(.+)[:.]([%w_]+)$"
  value = M.classes[class] and M.classes[class][method]
  if value then return of_value(value) end
  local op = tide._describe(short)
  if op and op.lua then return operation(op) end
  return nil
end

--- The short paths of the library's functions, classes and their methods: value -> "nn.Linear", "optim.EMA:update"; methods of
-- tensors: "x:size".
function M.paths() return paths() end

--- The class, and its path, of the objects that what lies at `path` makes; nil: none that is described method by method.
function M.made_by(path)
  for _, row in ipairs(require "tide.help.classes") do
    if path:find(row[2]) then return M.classes[row[1]], row[1] end
  end
end

--- Help on what a person wrote behind `?`: a name of the library, or an expression of `env`.
function M.about(text, env)
  if text == "" then return M.start end
  local name = text:gsub(":([%a_][%w_]*)$", ".%1")
  local chunk = load("return " .. name, "=help", "t", env)
  local ok, value = pcall(chunk or error)
  if ok and value ~= nil and type(value) ~= "string" then return of_value(value) end
  return of_name(text) or ("no help for '%s'"):format(text)
end

return setmetatable(M, {
  __call = function(_, x)
    if type(x) == "string" then return of_name(x) or ("no help for '%s'"):format(x) end
    return of_value(x)
  end,
})
