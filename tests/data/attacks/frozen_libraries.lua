local function refused(what, f, ...)
  if pcall(f, ...) then error("ESCAPED: " .. what) end
end
for _, name in ipairs { "string", "table", "math", "utf8", "coroutine", "tide" } do
  local t = _G[name]
  refused("set " .. name, function() t.evil = 1 end)
  refused("rawset " .. name, rawset, t, "evil", 1)
  refused("setmetatable " .. name, setmetatable, t, {})
  refused("insert " .. name, table.insert, t, 1)
  local mt = getmetatable(t)
  if type(mt) == "table" then error("ESCAPED: metatable of " .. name) end
end
refused("string.rep", function() string.rep = nil end)
refused("tide.nn", function() tide.nn.Linear = nil end)
refused("tide.nn.Linear", function() tide.nn.Linear.forward = print end)
refused("tide.nn.functional", rawset, tide.nn.functional, "relu", print)
if type(getmetatable "") == "table" then error "ESCAPED: the metatable of strings" end
