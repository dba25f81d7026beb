--- The table of options that functions of the library's Lua part take last.
local tide = require "tide.core"

--- options("csv", given, "sep header"): `given`, or an empty table for nil; an error where it is no table, or holds a name
-- that is not in the list.
return function(name, given, known)
  if given == nil then return {} end
  if type(given) ~= "table" then tide._fail(("%s: expected a table of options, not a %s"):format(name, tide.is_tensor(given) and "tensor" or type(given))) end
  for key in next, given do
    if type(key) ~= "string" or not (" " .. known .. " "):find(" " .. key .. " ", 1, true) then
      tide._fail(("%s: no option '%s'; there are: %s"):format(name, tostring(key), (known:gsub(" ", ", "))))
    end
  end
  return given
end
