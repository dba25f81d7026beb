--- Functions written in Lua that take arguments as those of the operation table do: by position, the rest by name in one
-- table at the end.
local tide = require "tide.core"
local F = tide.nn.functional

local function is_options(x) return type(x) == "table" and getmetatable(x) == nil and type((next(x))) == "string" end

--- define("group_norm", "input num_groups weight bias eps", {eps = 1e-5}, fn): fn gets one table with the arguments.
-- The first `needed` (1) arguments must be there.
return function(name, names, defaults, fn, needed)
  local order, known = {}, {}
  for word in names:gmatch "%S+" do
    order[#order + 1] = word
    known[word] = true
  end
  F[name] = function(...)
    local given, a = table.pack(...), {}
    local n = given.n
    if is_options(given[n]) then
      for k, v in pairs(given[n]) do
        if not known[k] then error(("[%s] there is no option '%s'"):format(name, k), 2) end
        a[k] = v
      end
      n = n - 1
    end
    if n > #order then error(("[%s] takes at most %d arguments"):format(name, #order), 2) end
    for i = 1, n do
      if given[i] ~= nil then a[order[i]] = given[i] end
    end
    for i = 1, needed or 1 do
      if a[order[i]] == nil then error(("[%s] %s is missing"):format(name, order[i]), 2) end
    end
    for k, v in pairs(defaults) do
      if a[k] == nil then a[k] = v end
    end
    return fn(a)
  end
  return F[name]
end
