--- The table of options that functions of the library's Lua part take last.
local tide = require "tide.core"
local one = require("tide.arguments").one

--- options("csv", given, "sep header:boolean"): `given`, or an empty table for nil; an error where it is no table, holds a name
-- that is not in the list, or a value that is not of the kind behind the name (those of tide.arguments).
return function(name, given, known)
  if given == nil then return {} end
  if type(given) ~= "table" then tide._fail(("%s: expected a table of options, not a %s"):format(name, tide.is_tensor(given) and "tensor" or type(given))) end
  local kinds, names = {}, {}
  for option, kind in known:gmatch "([%w_]+):?([%w_|]*)" do
    kinds[option], names[#names + 1] = kind, option
  end
  for key, value in next, given do
    if not kinds[key] then tide._fail(("%s: no option '%s'; there are: %s"):format(name, tostring(key), table.concat(names, ", "))) end
    if kinds[key] ~= "" then one(kinds[key], name, key, value) end
  end
  return given
end
