-- nothing that touches the world can be reached, by whatever way
local bad, seen = { "io", "os", "debug", "package", "dofile", "loadfile", "loadlib", "popen", "sethook", "getinfo", "dump" }, {}
local wrong = {}
for _, name in ipairs(bad) do wrong[name] = true end
local function walk(x, path, depth)
  if type(x) ~= "table" or seen[x] or depth > 6 then return end
  seen[x] = true
  for k, v in pairs(x) do
    if wrong[k] then error("ESCAPED: " .. path .. "." .. k) end
    if type(k) == "string" and path ~= "_G" and k:find "^_[^_]" then error("ESCAPED: private " .. path .. "." .. k) end
    walk(v, path .. "." .. tostring(k), depth + 1)
  end
  walk(getmetatable(x), path .. ":meta", depth + 1)
end
walk(_G, "_G", 0)
for name in pairs(wrong) do
  if _G[name] ~= nil then error("ESCAPED: " .. name) end
end
for _, name in ipairs { "tide", "string", "table", "math", "utf8", "coroutine" } do walk(_G[name], name, 0) end
for _, name in ipairs { "load", "save", "checkpoint", "data", "_csv", "_write", "_methods", "_load_safetensors" } do
  if tide[name] ~= nil then error("ESCAPED: tide." .. name) end
end
if pcall(require, "io") or pcall(require, "tide.core") or pcall(require, "lfs") then error "ESCAPED: require" end
