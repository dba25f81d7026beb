--- What a state_dict must agree in with the object that loads it.
local tide = require "tide.core"
local expect = require("tide.arguments").one

--- same_state("KFold", dict, {k = 3, ...}): an error where dict is no table, or has another value under one of these names.
return function(name, dict, mine)
  expect("table", name, "state", dict)
  for key, value in pairs(mine) do
    if dict[key] ~= value then tide._fail(("%s: the state has %s %s, not %s"):format(name, key, tostring(dict[key]), tostring(value))) end
  end
end
