--- The live tensors, the largest first, with the line that made them: who() at the prompt.
local tide = require "tide.core"

local function size(bytes)
  for _, unit in ipairs { { 1 << 30, "GiB" }, { 1 << 20, "MiB" }, { 1 << 10, "KiB" } } do
    if bytes >= unit[1] then return ("%.1f %s"):format(bytes / unit[1], unit[2]) end
  end
  return ("%d B"):format(bytes)
end

-- Which storage has which names: globals and what lies in global tables of the user's.
local function names(env)
  local found = {}
  local function note(t, name)
    local id = tide._storage(t)
    if id then
      found[id] = found[id] or {}
      table.insert(found[id], ("%s (%s)"):format(name, table.concat(t.shape, ",")))
    end
  end
  for key, value in next, env do
    if tide.is_tensor(value) then
      note(value, tostring(key))
    elseif type(value) == "table" and not package.loaded[key] and value ~= env then
      for k, v in next, value do
        if tide.is_tensor(v) then note(v, ("%s.%s"):format(key, k)) end
      end
    end
  end
  return found
end

--- Text: one line for each line of the program that made tensors; `source(n)` gives line n of the prompt's input.
return function(env, source)
  local named, groups, list, total, count = names(env), {}, {}, 0, 0
  for _, s in ipairs(tide._storages()) do
    local g = groups[s.line]
    if not g then
      g = { line = s.line, bytes = 0, count = 0, names = {} }
      groups[s.line] = g
      list[#list + 1] = g
    end
    g.bytes, g.count, total, count = g.bytes + s.bytes, g.count + 1, total + s.bytes, count + 1
    for _, name in ipairs(named[s.id] or {}) do table.insert(g.names, name) end
  end
  if count == 0 then return "no tensors" end
  table.sort(list, function(a, b) return a.bytes > b.bytes or (a.bytes == b.bytes and a.line < b.line) end)
  local lines = { ("%10s  %7s  %-18s %s"):format("size", "tensors", "line", "") }
  for _, g in ipairs(list) do
    table.sort(g.names)
    local what = table.concat(g.names, ", ")
    if what == "" then what = source(tonumber(g.line:match "^stdin:(%d+)$")) or "" end
    lines[#lines + 1] = ("%10s  %7d  %-18s %s"):format(size(g.bytes), g.count, g.line ~= "" and g.line or "made from C", what)
  end
  lines[#lines + 1] = ("%10s  %7d"):format(size(total), count)
  return table.concat(lines, "\n")
end
