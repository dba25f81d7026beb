local m = tide.nn.Sequential(tide.nn.Linear(2, 2))
m.self, m.list = m, { m }
m.list.list = m.list
local _ = tostring(m), m:parameters(), m:state_dict()
while true do m:apply(function(x) x.again = m end) end
