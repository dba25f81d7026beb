--- What scripts see in a sandbox (bindings/engine.h): function(stoppable) -> their globals, a new table over base
-- functions and views of the libraries. A view shows a copy of a table's fields, so that nothing a script does changes
-- what the library itself, or the next script, works with. `stoppable` has the functions written in C for sandboxes.
local tide = require "tide"

local names = [[batch_norm layer_norm rms_norm conv2d clip_grad_norm_ compile counters custom ellipsis newaxis
  float16 float32 float64 bfloat16 int8 int32 int64 uint8 bool enable_grad no_grad set_grad_enabled is_grad_enabled grad
  is_tensor manual_seed memory operations scope tensor version why nn optim prune report]]

-- Every table that the library's functions can reach, through fields, metatables and upvalues.
local function gather(into, first)
  local waiting = {}
  local function add(x)
    local kind = type(x)
    if (kind == "table" or kind == "function") and not into[x] and x ~= _G then
      into[x] = true
      waiting[#waiting + 1] = x
    end
  end
  add(first)
  while #waiting > 0 do
    local x = table.remove(waiting)
    if type(x) == "function" then
      for i = 1, math.huge do
        local name, value = debug.getupvalue(x, i)
        if not name then break end
        add(value)
      end
    else
      for _, value in next, x do add(value) end
      add(debug.getmetatable(x))
    end
  end
  return into
end

return function(stoppable)
  local library, views = {}, {}
  for name in names:gmatch "%S+" do local _ = tide[name] end -- loaded now, where they are loaded at their first use
  for name, module in pairs(package.loaded) do
    if name:find "^tide" then gather(library, module) end
  end
  local getmetatable, setmetatable, next, type, rawget = getmetatable, setmetatable, next, type, rawget

  local view
  local function show(x)
    if type(x) == "table" and library[x] then return view(x) end
    return x
  end

  -- The view of a library's table; names that begin with one underscore are the library's own.
  function view(real)
    local v = views[real]
    if v then return v end
    v = {}
    views[real] = v
    local fields, meta = {}, getmetatable(real)
    for key, x in next, real do
      if type(key) ~= "string" or not key:find "^_[^_]" then fields[key] = show(x) end
    end
    local parent = type(meta) == "table" and rawget(meta, "__index")
    if type(parent) == "table" then setmetatable(fields, { __index = show(parent) }) end
    setmetatable(v, {
      __index = fields,
      __newindex = function(_, key) tide._fail(("the library is frozen: '%s' cannot be set"):format(tostring(key))) end,
      __pairs = function() return next, fields, nil end,
      __call = type(meta) == "table" and rawget(meta, "__call") and function(_, ...) return real(...) end or nil,
      __metatable = false,
    })
    return v
  end

  -- Objects find their methods in copies that hold no metamethods: x.__index would hand out the class itself.
  local shadows = {}
  local function shadow(class)
    if shadows[class] then return shadows[class] end
    local copy, meta = {}, getmetatable(class)
    shadows[class] = copy
    for key, x in next, class do
      if type(key) ~= "string" or not key:find "^__" then copy[key] = x end
    end
    local parent = type(meta) == "table" and rawget(meta, "__index")
    if type(parent) == "table" then setmetatable(copy, { __index = shadow(parent) }) end
    copy.__tide_module = rawget(class, "__tide_module")
    return copy
  end

  local public = {}
  for key, x in pairs(tide) do
    if tide._describe(x) or tide._methods[key] ~= nil then public[key] = x end
  end
  for name in names:gmatch "%S+" do public[name] = tide[name] end
  library[public] = true
  local libraries = { tide = view(public) }
  for _, name in ipairs { "string", "table", "math", "utf8", "coroutine" } do
    library[_G[name]] = true
    libraries[name] = view(_G[name])
  end

  local classes = {}
  for t in pairs(library) do
    local index = type(t) == "table" and rawget(t, "__index")
    if type(index) == "table" and library[index] then classes[t] = index end
  end
  for t, index in pairs(classes) do t.__index = shadow(index) end
  for class, copy in pairs(shadows) do
    library[copy] = true
    views[copy] = view(class)
  end
  getmetatable("").__metatable = false

  local base = {}
  for _, name in ipairs { "_VERSION", "assert", "error", "ipairs", "next", "pairs", "pcall", "print", "rawequal", "rawget", "rawlen", "select",
    "tonumber", "tostring", "type" } do base[name] = _G[name] end
  for name, f in pairs(stoppable) do base[name] = f end
  for name, v in pairs(libraries) do base[name] = v end
  function base.getmetatable(x)
    if type(x) == "userdata" then return false end
    return show(getmetatable(x))
  end
  function base.require(name)
    if name ~= "tide" then tide._fail(("there is no module '%s' in a sandbox"):format(tostring(name))) end
    return libraries.tide
  end
  local globals = setmetatable({}, { __index = base, __metatable = false })
  base._G = globals
  for _, name in ipairs { "io", "os", "debug", "package", "require", "dofile", "loadfile", "load" } do _G[name] = nil end
  return globals
end
