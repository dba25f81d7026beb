-- Writes the core as two files, tide.h and tide.c:
--   lua5.4 amalgamate.lua CC GEN OUT SOURCE... [--isa NAME FLAGS SOURCE...]...
-- Headers come first, each once, then the sources, then what --isa names, for each instruction set. A source's own names
-- (statics, types, enumerators) that occur elsewhere get a suffix from a #define before it, taken back with its macros
-- after it. That all this changes nothing is not believed but checked: CC -E makes the same tokens of every source alone
-- and of its part in tide.c, but for the suffixes.
local cc, gen, out = table.unpack(arg, 1, 3)
local ISA_MACROS = { avx2 = { "AVX" }, avx512f = { "AVX", "AVX2" } } -- what a flag implies beside its own macro
-- What tide.c defines before everything. Math is always inlined: gcc would not in so long a file.
local GIVEN = { "TIDE_BUILD=1", "TIDE_AMALGAMATION=1", "TIDE_FN=static inline __attribute__((always_inline))" }
local MACHINES = { { "x86_64", "-D__x86_64__=1" }, { "aarch64", "-D__aarch64__=1" } }

local function fail(...) error("amalgamate: " .. string.format(...), 0) end

local function slurp(path)
  local f <close> = io.open(path)
  return f and f:read("a")
end

local function write(path, text)
  local f <close> = assert(io.open(path, "w"))
  assert(f:write(text))
end

-- ---- files ----

local files, headers = {}, {} -- by name; headers in the order of their first inclusion
local system, system_seen = {}, {}

-- Takes out what is for libraries that tide.c is without, and _GNU_SOURCE, which tide.c has on top.
local function without_parts(name, text)
  local keep, depth, inside, part = {}, 0, nil, 0 -- inside: depth of the #ifdef; part: 1 dropped, 2 its #else
  for line in text:gmatch("([^\n]*)\n") do
    local word = line:match("^%s*#%s*(%a+)")
    if word and word:find("^if") then depth = depth + 1 end
    local drop = part == 1 or line:find("^#define _GNU_SOURCE")
    if line:find("^#ifdef TIDE_HAVE_") then
      inside, part, drop = depth, 1, true
    elseif depth == inside and (word == "else" or word == "endif") then
      part, drop = word == "else" and 2 or 0, true
      if word == "endif" then inside = nil end
    end
    if word == "endif" then depth = depth - 1 end
    if not drop then keep[#keep + 1] = line end
  end
  text = table.concat(keep, "\n") .. "\n"
  if depth ~= 0 or text:find("TIDE_HAVE_") then fail("%s: an optional part is not one #ifdef TIDE_HAVE_X", name) end
  return text
end

-- #include <...>, under the conditions that it stands in, goes to the top of tide.c.
local function hoist(file, line, conditions)
  local first, last = {}, {}
  for _, c in ipairs(conditions) do
    if c ~= "#ifndef " .. (file.guard or "") and c ~= "#ifndef __CUDACC_RTC__" then
      if c == "#else" then fail("%s: %s lies in an #else", file.name, line) end
      first[#first + 1] = c .. "\n"
      last[#last + 1] = "#endif\n"
    end
  end
  local entry = table.concat(first) .. line .. "\n" .. table.concat(last)
  if not system_seen[entry] then system[#system + 1] = entry end
  system_seen[entry] = true
end

local function load(name)
  if files[name] then return files[name] end
  local text = slurp("core/" .. name) or slurp("core/include/" .. name) or slurp(gen .. "/" .. name) or slurp(name)
  if not text then fail("no file %s", name) end
  local file = { name = name, text = without_parts(name, text), reach = {}, macros = {} }
  file.guard = text:match("#ifndef (TIDE_[%w_]*H)\n#define %1\n")
  files[name] = file
  local body, conditions = {}, {}
  for line in file.text:gmatch("([^\n]*)\n") do
    local word, rest = line:match("^%s*#%s*(%a+)%s*(.*)")
    local included = word == "include" and rest:match('^"(.-)"')
    if word == "include" and not included then
      hoist(file, line, conditions)
    elseif included then
      local other = load(included)
      if other.guard then
        file.reach[other] = true
      else -- a text with parameters: part of this file
        body[#body + 1] = other.body
        for macro in pairs(other.macros) do file.macros[macro] = true end
      end
      for h in pairs(other.reach) do file.reach[h] = true end
    else
      body[#body + 1] = line .. "\n"
    end
    if word == "define" then file.macros[rest:match("^[%w_]+")] = true end
    if word and word:find("^if") then conditions[#conditions + 1] = line end
    if word == "else" or word == "elif" then conditions[#conditions] = "#else" end
    if word == "endif" then conditions[#conditions] = nil end
  end
  file.body = table.concat(body):gsub("#if[^\n]*\n#endif[^\n]*\n", ""):gsub("\n\n\n+", "\n\n")
  if file.guard then headers[#headers + 1] = file end
  return file
end

-- ---- tokens ----

local function cpp(text, flags)
  local path = os.tmpname()
  write(path, text)
  for _, macro in ipairs(GIVEN) do flags = ("%s '-D%s'"):format(flags, macro) end
  local p = assert(io.popen(("%s -E -P -undef -w -D__GNUC__=12 -D__linux__=1 %s -x c %s"):format(cc, flags, path)))
  local made = p:read("a")
  local well = p:close()
  os.remove(path)
  if not well then fail("%s -E failed", cc) end
  return made
end

local function mark(id) return ("\n#pragma TIDE_PART %d\n"):format(id) end

-- What was made of each part, by its number: one line of tokens with a space between.
local function parts_of(made)
  local parts, id = {}, 0
  for line in (made .. "\n"):gmatch("([^\n]*)\n") do
    local n = line:match("^%s*#pragma TIDE_PART (%d+)")
    if n then
      id = tonumber(n)
    elseif line:find("%S") then
      parts[id] = parts[id] or {}
      table.insert(parts[id], line)
    end
  end
  for i, lines in pairs(parts) do parts[i] = table.concat(lines, "\n") end
  return parts
end

-- Words, numbers, texts and signs of `text`, in order, and their places.
local function tokens(text)
  local list, places, at = {}, {}, 1
  while true do
    at = text:find("%S", at)
    if not at then return list, places end
    local c, two, to = text:sub(at, at), text:sub(at, at + 1), at
    if two == "/*" or two == "//" then
      at = select(2, text:find(two == "/*" and "%*/" or "\n", at + 2)) + 1
    else
      if c:find("[%a_]") then
        to = select(2, text:find("^[%w_]+", at))
      elseif c:find("%d") or two:find("^%.%d") then
        while text:find("^[%w_.]", to + 1) or text:find("^[eEpP][+-]", to) do to = to + 1 end
      elseif c == '"' or c == "'" then
        repeat to = to + (text:sub(to, to) == "\\" and 2 or 1) until text:sub(to, to) == c
      elseif two == "->" then
        to = at + 1
      end
      list[#list + 1], places[#places + 1] = text:sub(at, to), at
      at = to + 1
    end
  end
end

-- ---- the names that a text declares for the whole file ----

local AROUND = { ["("] = ")", ["["] = "]", ["{"] = "}" }

-- The place of what closes the bracket at i.
local function closing(t, i)
  local open, close, depth = t[i], AROUND[t[i]], 0
  for j = i, #t do
    if t[j] == open then depth = depth + 1 end
    if t[j] == close then depth = depth - 1 end
    if depth == 0 then return j end
  end
  fail("a %s is not closed", open)
end

-- The names of one declaration, given without the insides of { }. In a declarator the name is the first word before one of
-- ( [ = , ; or the word after "(*".
local function declarators(d, found)
  local i, stop = 1, { ["["] = true, ["="] = true, [","] = true, [";"] = true }
  while i <= #d do
    local name
    while i <= #d and not name do
      if d[i] == "(" and d[i + 1] == "*" then
        i = i + 2
        while d[i] == "const" do i = i + 1 end
        name = d[i]
      elseif d[i]:find("^[%a_]") and (stop[d[i + 1]] or d[i + 1] == "(" and d[i + 2] ~= "*") then
        name = d[i]
      end
      i = i + 1
    end
    if name then found(name) end
    while i <= #d and d[i] ~= "," do -- the rest of this declarator
      if AROUND[d[i]] then i = closing(d, i) end
      i = i + 1
    end
  end
end

local TAGGED = { struct = true, union = true, enum = true }

-- found(name, kind, text): kind is "static", "extern" or "type" (also enumerators and tags).
local function declared(text, found, where)
  local t, i = tokens(text:gsub("\n%s*#[^\n]*", "\n")), 1
  while i <= #t do
    local d, kind, body, named, from = {}, "extern", false, false, i
    while i <= #t and t[i] ~= ";" and not body do
      local word = t[i]
      if word == "__attribute__" or word == "_Alignas" or word == "_Atomic" or word == "_Static_assert" then
        named = named or word == "_Static_assert"
        i = closing(t, i + 1)
      elseif word == "{" then
        local last = closing(t, i)
        body = d[#d] == ")"
        if TAGGED[d[#d - 1]] then
          found(d[#d], "type", "")
          named = true
        end
        for j = i, body and i or last do -- enumerators, also of an enum in a struct
          if t[j] == "{" and (t[j - 1] == "enum" or t[j - 2] == "enum") then
            named = true
            for k = j + 1, closing(t, j) - 1 do
              if (t[k - 1] == "{" or t[k - 1] == ",") and t[k]:find("^[%a_]") and t[k + 1]:find("^[=,}]") then found(t[k], "type", "") end
            end
          end
        end
        d[#d + 1], d[#d + 2] = "{", "}"
        i = last
      elseif word == "[" then
        d[#d + 1] = "["
        i = closing(t, i)
        d[#d + 1] = "]"
      else
        if word == "static" then kind = "static" elseif word == "typedef" then kind = "type" end
        d[#d + 1] = word
      end
      i = i + 1
    end
    local whole = table.concat(t, " ", from, i - 1)
    if not body then i = i + 1 end
    if #d == 2 and d[1] == "struct" then named = true end -- a tag alone
    d[#d + 1] = ";"
    declarators(#d > 3 and d or {}, function(name)
      if name:find("^__") then fail("%s: what is declared by '%s'?", where, whole:sub(1, 200)) end
      found(name, kind, whole)
      named = true
    end)
    if #d > 1 and not named then fail("%s: nothing is declared by '%s'", where, whole:sub(1, 200)) end
  end
end

-- ---- what each source is made of, alone ----

local groups = { { sources = {} } } -- the common sources, then those of each instruction set
do
  local i = 4
  while arg[i] do
    local group = groups[#groups]
    if arg[i] == "--isa" then
      group = { isa = arg[i + 1], flags = {}, macros = {}, sources = {} }
      for flag in arg[i + 2]:gmatch("%-(%S+)") do
        group.flags[#group.flags + 1] = flag
        local machine = flag:match("^m([%w]+)$")
        for _, implied in ipairs(ISA_MACROS[machine] or {}) do table.insert(group.macros, "__" .. implied .. "__") end
        if machine then table.insert(group.macros, "__" .. machine:upper() .. "__") end
      end
      groups[#groups + 1] = group
      i = i + 3
    else
      table.insert(group.sources, load((arg[i]:gsub("^.*/core/", ""):gsub("^.*/gen/", ""))))
      i = i + 1
    end
  end
end

local numbered, number = {}, {}
local function id_of(file)
  if not number[file] then
    numbered[#numbered + 1] = file
    number[file] = #numbered
  end
  return number[file]
end

-- The text as a compiler would put it together, without the system's headers.
local function alone(file, within)
  local guarded = not within or file.guard
  local text = file.text:gsub('#include ([<"])([^>"\n]*)[>"][^\n]*\n', function(open, name)
    return open == '"' and alone(files[name], file) or ""
  end)
  if not guarded then return text end
  return mark(id_of(file)) .. text .. (within and mark(id_of(within)) or "")
end

local made = {} -- [machine][group][file]: its tokens; of a header they are the same in all sources
local names = {} -- [group][file][name] = { kind, text }
for _, machine in ipairs(MACHINES) do
  made[machine] = {}
  for _, group in ipairs(groups) do
    local flags = { machine[2] }
    for _, macro in ipairs(group.macros or {}) do flags[#flags + 1] = ("-D%s=1"):format(macro) end
    if group.isa then flags[#flags + 1] = ("-DTIDE_VM_ISA=%s -DTIDE_ISA_NAME=%s"):format(group.isa, group.isa) end
    local here = {}
    made[machine][group] = here
    names[group] = names[group] or {}
    for _, source in ipairs(group.sources) do
      for id, text in pairs(parts_of(cpp(alone(source), table.concat(flags, " ")))) do
        local file = numbered[id]
        if here[file] and here[file] ~= text then fail("%s reads differently in %s", file.name, source.name) end
        if not here[file] then
          here[file] = text
          names[group][file] = names[group][file] or {}
          declared(text, function(name, kind, whole) names[group][file][name] = { kind, whole } end, file.name)
        end
      end
    end
  end
end

-- Headers that an instruction set makes something else of, and those which include them, are put in for each set.
local varies = {}
for _, machine in ipairs(MACHINES) do
  for _, file in ipairs(headers) do
    local first
    for _, group in ipairs(groups) do
      local text = made[machine][group][file]
      first = first or text
      if text and text ~= first then varies[file] = true end
    end
  end
end
for _, file in ipairs(headers) do
  for h in pairs(file.reach) do varies[file] = varies[file] or varies[h] end
end

-- ---- names that get a suffix ----

local where = {} -- [name]: list of { group, file, kind, text }
for _, group in ipairs(groups) do
  for file, list in pairs(names[group]) do
    if group == groups[1] or not file.guard or varies[file] then
      for name, d in pairs(list) do
        where[name] = where[name] or {}
        table.insert(where[name], { group = group, file = file, kind = d[1], text = d[2] })
      end
    end
  end
end

local global, own = {}, {} -- [name] = new name; [group][file][name] = new name
local function plain_typedef(d) -- of the compiler's types alone, so it may be said twice
  if not d.text:find("^typedef ") or d.text:find("{", 1, true) then return false end
  for word in d.text:gmatch("[%w_]+") do
    if where[word] and word ~= d.text:match("[%w_]+$") then return false end
  end
  return true
end
for name, list in pairs(where) do
  for _, d in ipairs(list) do
    local isa = d.group.isa
    if d.kind == "extern" then
      if not name:find("^tide_") then global[name] = "tide_core_" .. name end
    elseif isa or not d.file.guard then
      for _, e in ipairs(list) do
        local same = e == d or e.file.guard and d.file.reach[e.file] and (e.group == d.group or not varies[e.file])
        if not same and not (plain_typedef(d) and d.text == e.text) then
          own[d.group] = own[d.group] or {}
          own[d.group][d.file] = own[d.group][d.file] or {}
          own[d.group][d.file][name] = ("%s__%s%s"):format(name, d.file.name:gsub("%.[ch]$", ""):gsub("/", "_"), isa and "_" .. isa or "")
        end
      end
    end
  end
end

-- ---- tide.c ----

local chunks = {} -- { text, file, group, and new names: by macros and in the text }
local function put(text, file, group, macros, texts)
  chunks[#chunks + 1] = { text = text, file = file, group = group, macros = macros or {}, texts = texts or {} }
end

local function sorted(set)
  local list = {}
  for key in pairs(set or {}) do list[#list + 1] = key end
  table.sort(list)
  return list
end
local function defines(map)
  local lines = {}
  for _, name in ipairs(sorted(map)) do lines[#lines + 1] = ("#define %s %s\n"):format(name, map[name]) end
  return table.concat(lines)
end
local function undefs(map)
  local lines = {}
  for _, name in ipairs(sorted(map)) do lines[#lines + 1] = ("#undef %s\n"):format(name) end
  return table.concat(lines)
end
local function title(file) return ("\n/* ==== %s ==== */\n"):format(file.name) end

local function put_header(file, group)
  put(title(file))
  if group.isa then put(("#undef %s\n"):format(file.guard)) end
  put(file.body, file, group)
end
-- What may be a member of a struct in a header: words that end a declarator outside of parentheses, and pointers to functions.
local function members_of(header)
  if header.members then return header.members end
  header.members = {}
  local t, depth = tokens(header.body), 0
  for i, word in ipairs(t) do
    if word == "(" then depth = depth + 1 elseif word == ")" then depth = depth - 1 end
    local field = depth == 0 and t[i + 1] and t[i + 1]:find("^[;,:[]") or t[i - 1] == "*" and t[i - 2] == "("
    if field and word:find("^[%a_]") then header.members[word] = true end
  end
  return header.members
end
local function put_source(file, group)
  local mine = own[group] and own[group][file]
  for name in pairs(mine or {}) do
    if global[name] or file.macros[name] then fail("%s: %s has two meanings", file.name, name) end
  end
  for _, h in ipairs(headers) do
    for macro in pairs(file.macros) do
      if h.macros[macro] and not h.text:find("#undef " .. macro .. "\n", 1, true) then
        fail("%s: %s is a macro of %s, too", file.name, macro, h.name)
      end
    end
  end
  local macros, texts, body = {}, {}, file.body -- members that a header declares keep their names
  for name, new in pairs(mine or {}) do macros[name] = new end
  for h in pairs(file.reach) do
    for word in pairs(members_of(h)) do macros[word], texts[word] = nil, texts[word] or macros[word] end
  end
  local list, places = tokens(body)
  for i = #list, 2, -1 do
    if texts[list[i] ] and list[i - 1] ~= "." and list[i - 1] ~= "->" then
      body = body:sub(1, places[i] - 1) .. texts[list[i] ] .. body:sub(places[i] + #list[i])
    end
  end
  put(title(file) .. defines(macros))
  put(body, file, group, macros, texts)
  put(undefs(macros) .. undefs(file.macros))
end

local public = { load("tide.h"), load("tide_ops.h") }
local is_public = { [public[1] ] = true, [public[2] ] = true }
local header_text = {}
for i, file in ipairs(public) do header_text[i] = file.text:gsub('#include "[^\n]*\n', "") end

local given = {}
for i, macro in ipairs(GIVEN) do given[i] = "#define " .. macro:gsub("=", " ", 1) .. "\n" end
put((slurp("core/amalgamation.h"):gsub("@(%u+)@\n", { GIVEN = table.concat(given), SYSTEM = table.concat(system) })))
put("\n/* Names that files of the core see of each other. */\n" .. defines(global))
for _, file in ipairs(headers) do
  if not is_public[file] then put_header(file, groups[1]) end
end
for _, file in ipairs(groups[1].sources) do put_source(file, groups[1]) end
for g = 2, #groups do
  local group, targets, level = groups[g], {}, "O3"
  for _, flag in ipairs(group.flags) do
    if flag:find("^m") then targets[#targets + 1] = flag:sub(2) else level = flag end
  end
  put(("\n/* ======== kernels for %s ======== */\n"):format(group.isa))
  if #targets > 0 then
    local target = table.concat(targets, ",")
    put("#if defined(__x86_64__)\n#if defined(__clang__)\n")
    put(('#pragma clang attribute push(__attribute__((target("%s"))), apply_to = function)\n'):format(target))
    put(('#else\n#pragma GCC push_options\n#pragma GCC target("%s")\n#pragma GCC optimize("%s")\n#endif\n'):format(target, level))
    for _, macro in ipairs(group.macros) do put(("#ifndef %s\n#define %s 1\n#endif\n"):format(macro, macro)) end
  else
    put(('#if !defined(__clang__)\n#pragma GCC push_options\n#pragma GCC optimize("%s")\n#endif\n'):format(level))
  end
  put(("#define TIDE_VM_ISA %s\n#define TIDE_ISA_NAME %s\n"):format(group.isa, group.isa))
  local shared = {}
  for _, file in ipairs(headers) do
    if varies[file] and names[group][file] then
      for name, new in pairs(own[group][file] or {}) do shared[name] = new end
    end
  end
  group.shared = shared
  put(defines(shared))
  for _, file in ipairs(headers) do
    if varies[file] and names[group][file] then put_header(file, group) end
  end
  for _, file in ipairs(group.sources) do put_source(file, group) end
  put(undefs(shared) .. "#undef TIDE_VM_ISA\n#undef TIDE_ISA_NAME\n")
  if #targets > 0 then
    put("#if defined(__clang__)\n#pragma clang attribute pop\n#else\n#pragma GCC pop_options\n#endif\n#endif\n")
  else
    put("#if !defined(__clang__)\n#pragma GCC pop_options\n#endif\n")
  end
end
put("\n#pragma GCC visibility pop\n")

-- ---- the proof ----

local function renamed(text, macros, texts)
  local list, last = tokens(text), nil
  for i, word in ipairs(list) do
    local member = last == "." or last == "->"
    last = word
    for _, map in ipairs(macros) do list[i] = map[word] or list[i] end
    if not member then list[i] = texts[word] or list[i] end
  end
  return list
end

local whole, all = {}, {}
for i, chunk in ipairs(chunks) do
  all[i] = chunk.text
  whole[i] = chunk.file and mark(i) .. chunk.text .. mark(0) or chunk.text
end
local checked = (mark(0) .. table.concat(whole)):gsub('#include "tide.h"\n', function() return table.concat(header_text) end):gsub("#include <[^\n]*\n", "")
for _, machine in ipairs(MACHINES) do
  local now = parts_of(cpp(checked, machine[2]))
  for i, chunk in ipairs(chunks) do
    local file, group = chunk.file, chunk.group
    for _, g in ipairs(file and groups or {}) do
      local was = made[machine][g][file]
      local here = g == group or group == groups[1] and file.guard and not varies[file]
      if was and here and now[i] then
        local a, b = renamed(was, { global, group.shared or {}, chunk.macros }, chunk.texts), tokens(now[i])
        for k = 1, math.max(#a, #b) do
          if a[k] ~= b[k] then
            fail("%s on %s %s: token %d is '%s', and in tide.c '%s'\n  ... %s\n  ... %s", file.name, machine[1], group.isa or "", k, a[k], b[k],
              table.concat(a, " ", math.max(k - 12, 1), math.min(k + 5, #a)), table.concat(b, " ", math.max(k - 12, 1), math.min(k + 5, #b)))
          end
        end
      elseif was and here and machine[1] == "x86_64" then
        fail("%s is not in tide.c", file.name)
      end
    end
  end
end

write(out .. "/tide.h", table.concat(header_text, "\n"))
write(out .. "/tide.c", table.concat(all))
