--- What Tab offers: names through tables and metatables, and files inside strings. Runs no function of the user's: only
-- tables are followed.
local tide = require "tide.core"

local words = {}
for word in ("and break do else elseif end false for function goto if in local nil not or repeat return then true until while"):gmatch "%a+" do
  words[word] = true
end
local tensor_fields = { "shape", "dtype", "ndim", "device", "requires_grad", "is_leaf", "grad", "T" }

-- The tables in which a key of `value` may lie, nearest first. A metatable may list in __names what its __index would make.
local function places(value)
  local list, seen = {}, {}
  if tide.is_tensor(value) then
    local fields = {}
    for _, name in ipairs(tensor_fields) do fields[name] = true end
    return { fields, tide._methods }
  end
  while value ~= nil and not seen[value] do
    seen[value] = true
    if type(value) == "table" then list[#list + 1] = value end
    local mt = debug.getmetatable(value)
    if type(mt) ~= "table" then break end
    local names, index = rawget(mt, "__names"), rawget(mt, "__index")
    if type(names) == "table" then list[#list + 1] = names end
    value = type(index) == "table" and index or nil
  end
  return list
end

local function get(value, key)
  if tide.is_tensor(value) then
    local ok, v = pcall(function() return value[key] end)
    return ok and v or nil
  end
  for _, place in ipairs(places(value)) do
    local v = rawget(place, key)
    if v ~= nil then return v end
  end
end

local function callable(v)
  local mt = type(v) ~= "function" and debug.getmetatable(v)
  return type(v) == "function" or (mt and rawget(mt, "__call") ~= nil) or false
end

-- "a.b[1]:par" -> {"a", "b", 1}, ":", "par"
local function read_chain(text)
  local start = #text + 1
  while true do -- back over names, dots and short indices
    local at = text:sub(1, start - 1):match "()[%w_]+$" or text:sub(1, start - 1):match "()%[%d+%]$" or text:sub(1, start - 1):match "()%[[\"'][^\"'%]]*[\"']%]$"
      or text:sub(1, start - 1):match "()[.:]$"
    if not at then break end
    start = at
  end
  local chain, mark, rest = {}, nil, text:sub(start)
  if rest:sub(1, 2) == ".." or rest:match "^[.:]" then return nil end
  while true do
    local name, sign, after = rest:match "^([%a_][%w_]*)([.:%[])()"
    if name then
      chain[#chain + 1] = name
      if sign == "[" then after = after - 1 end
    else
      local index
      index, sign, after = rest:match "^%[([^%]]+)%]([.:%[])()"
      if not index then break end
      chain[#chain + 1] = tonumber(index) or index:sub(2, -2)
      if sign == "[" then after = after - 1 end
    end
    mark = sign
    rest = rest:sub(after)
  end
  if not rest:match "^[%a_]?[%w_]*$" then return nil end
  return chain, mark, rest
end

local function names(env, text)
  local chain, mark, partial = read_chain(text)
  if not chain or (#chain == 0 and partial == "") then return {}, "" end
  local value = env
  for _, key in ipairs(chain) do
    value = get(value, key)
    if value == nil then return {}, "" end
  end
  local found, seen = {}, {}
  local function offer(name, v)
    if type(name) ~= "string" or seen[name] or name:sub(1, #partial) ~= partial or not name:match "^[%a_][%w_]*$" then return end
    if name:sub(1, 1) == "_" and partial:sub(1, 1) ~= "_" then return end
    if mark == ":" and not callable(v) then return end
    seen[name] = true
    found[#found + 1] = name
  end
  for _, place in ipairs(places(value)) do
    for name, v in next, place do offer(name, v) end
  end
  if #chain == 0 then
    for word in next, words do offer(word) end
  end
  return found, partial
end

-- The string that is open at the end of the text, or nil.
local function open_string(text)
  local i, quote, start = 1, nil, nil
  while i <= #text do
    local c = text:sub(i, i)
    if quote then
      if c == "\\" then i = i + 1 elseif c == quote then quote = nil end
    elseif c == '"' or c == "'" then
      quote, start = c, i + 1
    elseif c == "-" and text:sub(i, i + 1) == "--" then
      return nil
    end
    i = i + 1
  end
  return quote and text:sub(start)
end

local function files(term, path)
  local folder, partial = path:match "^(.*/)([^/]*)$"
  partial = partial or path
  local found = {}
  local look = (folder or "./"):gsub("^~/", (os.getenv "HOME" or "~") .. "/")
  for _, name in ipairs(term.files(look)) do
    local hidden = name:sub(1, 1) == "." and partial:sub(1, 1) ~= "."
    if name:sub(1, #partial) == partial and not hidden and name ~= "./" and name ~= "../" then found[#found + 1] = name end
  end
  return found, partial
end

--- complete(text before the cursor): what to insert ("" for nothing), and what to show if nothing can be inserted.
return function(term, env)
  return function(text)
    if not text:find "%S" then return "  " end
    local path = open_string(text)
    local found, partial
    if path then found, partial = files(term, path) else found, partial = names(env, text) end
    if #found == 0 then return "" end
    table.sort(found)
    local common = found[1]
    for _, name in ipairs(found) do
      while name:sub(1, #common) ~= common do common = common:sub(1, -2) end
    end
    if #common > #partial then return common:sub(#partial + 1) end
    return "", #found > 1 and found or nil
  end
end
