--- State as JSON with its tensors aside: tables, texts, numbers (exact, also inf and nan), booleans. Tables with other
-- than text keys or 1 .. n are lists of pairs.
local tide = require "tide.core"
local M = {}

local function fail(path, what) tide._fail(("state of %s: %s"):format(path, what)) end

local function text(s, path) return tide._json_quote(s) or fail(path, "a text that is not UTF-8") end

local function number(v)
  if math.type(v) == "integer" then return ("%d"):format(v) end
  if v ~= v then return "{\"$number\": \"nan\"}" end
  if v == math.huge or v == -math.huge then return ("{\"$number\": \"%s\"}"):format(v > 0 and "inf" or "-inf") end
  local s = ("%.17g"):format(v):gsub(",", ".")
  return s:find("[.e]") and s or s .. ".0"
end

-- "list", "object" or "pairs"
local function kind(t)
  local n, words = 0, true
  for key in pairs(t) do
    n = n + 1
    if type(key) ~= "string" or key:sub(1, 1) == "$" or not tide._json_quote(key) then words = false end
  end
  return n > 0 and n == #t and "list" or words and "object" or "pairs"
end

local function encode(value, tensors, path, depth)
  if depth > 60 then fail(path, "too deep, or a table within itself") end
  local function inner(v, key) return encode(v, tensors, path .. "." .. tostring(key), depth + 1) end
  if tide.is_tensor(value) then
    local name = path:match("^[^.]*%.(.*)$") or path
    while tensors[name] do name = name .. "'" end
    tensors[name] = value
    return ("{\"$tensor\": %s}"):format(text(name, path))
  elseif type(value) == "table" then
    local out, form = {}, kind(value)
    if form == "list" then
      for i, v in ipairs(value) do out[i] = inner(v, i) end
      return "[" .. table.concat(out, ", ") .. "]"
    end
    local keys = {}
    for key in pairs(value) do keys[#keys + 1] = key end
    table.sort(keys, function(a, b) -- the same text for the same state
      if type(a) ~= type(b) then return type(a) < type(b) end
      if type(a) == "boolean" then return a and not b end
      return a < b
    end)
    for i, key in ipairs(keys) do
      if type(key) ~= "string" and type(key) ~= "number" and type(key) ~= "boolean" then fail(path, "a key is a " .. type(key)) end
      local v = inner(value[key], key)
      out[i] = form == "object" and text(key, path) .. ": " .. v or ("[%s, %s]"):format(encode(key, tensors, path, depth), v)
    end
    if form == "object" then return "{" .. table.concat(out, ", ") .. "}" end
    return "{\"$pairs\": [" .. table.concat(out, ", ") .. "]}"
  elseif type(value) == "number" then
    return number(value)
  elseif type(value) == "string" then
    return text(value, path)
  elseif type(value) == "boolean" then
    return tostring(value)
  end
  fail(path, "a " .. type(value) .. " cannot be saved")
end

--- JSON for the value; its tensors are put into `tensors` by names made of their keys, behind the first part of `path`.
function M.encode(value, tensors, path) return encode(value, tensors, path, 1) end

--- The value again, from what the JSON reader made of it.
function M.decode(value, tensors)
  if type(value) ~= "table" then return value end
  if value["$tensor"] then return tensors[value["$tensor"]] end
  if value["$number"] then return ({ inf = math.huge, ["-inf"] = -math.huge, nan = 0 / 0 })[value["$number"]] end
  local out = {}
  for key, v in pairs(value["$pairs"] or value) do
    if value["$pairs"] then
      out[M.decode(v[1], tensors)] = M.decode(v[2], tensors)
    else
      out[key] = M.decode(v, tensors)
    end
  end
  return out
end

return M
