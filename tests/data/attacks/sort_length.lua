table.sort(setmetatable({}, { __len = function() return 0x7ffffffe end, __index = function() return 1 end }))
