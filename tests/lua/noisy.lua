-- A dataset for the loader's tests: sample i is {i, i * i, a random number}; data.broken is the number of one that fails.
local tide = require "tide"
return function(data)
  return setmetatable({
    get = function(_, i)
      if i == data.broken then error("sample " .. i .. " is broken") end
      if i == data.function_at then return { print } end
      if i == data.endless then while true do i = i + 1 end end
      return { i, tide.full({ 2 }, i * i), tide.rand({}) }
    end,
  }, { __len = function() return data.n end })
end
