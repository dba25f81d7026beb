--- How functions and layers written in Lua take arguments, as the operations of the table do: by position, the rest by name
-- in one table at the end.
local tide = require "tide.core"

-- An empty table is one of options where an argument may be left out.
local function is_options(x, optional)
  if type(x) ~= "table" or getmetatable(x) ~= nil then return false end
  local key = next(x)
  return type(key) == "string" or (key == nil and optional)
end

-- what readers read, for help: "num_groups, num_channels, {eps = 1e-05, affine = true, dtype?}"
local signatures = setmetatable({}, { __mode = "k" })

local function shown(value)
  return type(value) == "string" and ("%q"):format(value) or math.type(value) == "float" and ("%g"):format(value) or tostring(value)
end
local function signature(order, needed, defaults)
  local given, named = {}, {}
  for i, name in ipairs(order) do
    local default = (defaults or {})[name]
    if i <= needed then given[i] = name
    elseif default == nil then named[#named + 1] = name .. "?"
    else named[#named + 1] = name .. " = " .. shown(default) end
  end
  if #named > 0 then given[#given + 1] = "{" .. table.concat(named, ", ") .. "}" end
  return table.concat(given, ", ")
end

--- arguments("group_norm", "input num_groups weight bias eps", 2, { eps = 1e-5 }) is a function that turns what it is called
-- with into one table by name. The first `needed` must be given.
local function arguments(name, names, needed, defaults)
  local order, known = {}, {}
  for word in names:gmatch "%S+" do
    order[#order + 1] = word
    known[word] = true
  end
  local function read(...)
    local given, a = table.pack(...), {}
    local n = given.n
    if is_options(given[n], n > needed) then
      for k, v in pairs(given[n]) do
        if not known[k] then tide._fail(("[%s] there is no option '%s'"):format(name, tostring(k))) end
        a[k] = v
      end
      n = n - 1
    end
    if n > #order then tide._fail(("[%s] takes at most %d arguments"):format(name, #order)) end
    for i = 1, n do
      if given[i] ~= nil then a[order[i]] = given[i] end
    end
    for i = 1, needed do
      if a[order[i]] == nil then tide._fail(("[%s] %s is missing"):format(name, order[i])) end
    end
    for k, v in pairs(defaults or {}) do
      if a[k] == nil then a[k] = v end
    end
    return a
  end
  signatures[read] = signature(order, needed, defaults)
  return read
end

return setmetatable({ signatures = signatures }, { __call = function(_, ...) return arguments(...) end })
