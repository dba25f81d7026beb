--- The table of options that functions of the library's Lua part take last.
local tide = require "tide.core"
local expect = require("tide.arguments").one

-- "sep:string columns" as {sep = "string", columns = "any"}
local kinds_of = setmetatable({}, { __index = function(t, known)
  local kinds = {}
  for name, kind in known:gmatch "([%w_]+):?(%S*)" do kinds[name] = kind ~= "" and kind or "any" end
  t[known] = kinds
  return kinds
end })

--- options("csv", given, "sep:string columns:string|strings"): `given`, or an empty table for nil; an error where it is no table,
-- or holds a name that is not in the list or a value not of its kind (tide.arguments; without one it may be anything).
return function(name, given, known)
  if given == nil then return {} end
  if type(given) ~= "table" then tide._fail(("%s: expected a table of options, not a %s"):format(name, tide.is_tensor(given) and "tensor" or type(given))) end
  local kinds = kinds_of[known]
  for key, value in next, given do
    if not kinds[key] then
      tide._fail(("%s: no option '%s'; there are: %s"):format(name, tostring(key), (known:gsub(":%S+", ""):gsub(" ", ", "))))
    end
    expect(kinds[key], name, key, value)
  end
  return given
end
