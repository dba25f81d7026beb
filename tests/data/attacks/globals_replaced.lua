-- what a script does to its globals is not what the library sees
local function evil() error "ESCAPED: the library called a script's global" end
for _, name in ipairs { "pairs", "ipairs", "type", "rawget", "rawset", "setmetatable", "getmetatable", "tostring", "select", "next", "assert" } do
  _G[name] = evil
end
string, table, math = nil, nil, nil
local m = tide.nn.Sequential(tide.nn.Linear(2, 2), tide.nn.ReLU())
local opt = tide.optim.Adam(m:parameters(), { lr = 0.1 })
m(tide.ones(1, 2)):sum():backward()
opt:step()
