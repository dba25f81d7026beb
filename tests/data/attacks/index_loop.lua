local t = setmetatable({}, {})
getmetatable(t).__index = function() while true do end end
return t.x
