--- Checkpoints: everything that a training run needs to go on as if it had never stopped.
--   local ck = tide.checkpoint("runs/a", {model = model, optimizer = opt, schedule = sched, loader = loader},
--     {every = 100, keep = 2, best = "loss"})
--   local first = assert(ck:load()) + 1                       -- 0 if there is none yet
--   for i = first, n do local loss = step(...); if ck:step(i, {loss = loss:item()}) == "stop" then break end end
--
-- A checkpoint is a folder step-N: a safetensors file for each object, and manifest.json with what is no tensor, the
-- random state, and size and CRC-32C of every file. It is written as step-N.tmp, synced and renamed; then LATEST names
-- it. Whatever stops the process or fails, what was acknowledged before stays. One process at a time writes to a folder.
local tide = require "tide.core"
local expect = require("tide.arguments").one
local with_options = require "tide.options"
local plain = require "tide.plain"
local read_text = require("tide.files").read_text

local Checkpoint = { __name = "tide.Checkpoint" }
Checkpoint.__index = Checkpoint

local function lfs()
  local found, library = pcall(require, "lfs")
  if not found then tide._fail("checkpoint: needs LuaFileSystem (Debian: lua-filesystem; LuaRocks: luafilesystem)") end
  return library
end

-- ---- the folder ----

-- Deletes a checkpoint, the manifest first: half a deletion does not look like a checkpoint.
local function remove(path)
  os.remove(path .. "/manifest.json")
  for name in lfs().dir(path) do
    if name ~= "." and name ~= ".." then os.remove(path .. "/" .. name) end
  end
  return os.remove(path)
end

local function is_folder(path) return lfs().attributes(path, "mode") == "directory" end

-- The manifest of a checkpoint, or nil, message, code. Its sum is over the text behind it.
local function manifest(path)
  local text, message, code = read_text(path .. "/manifest.json")
  if not text then return nil, message, code end
  local sum, rest = text:match("^{\"crc32c\": (%d+),(.*)$")
  if not sum or select(2, tide._crc32c_text(rest)) ~= math.tointeger(sum) then
    return nil, path .. "/manifest.json: its sum is wrong: it is damaged", "EFORMAT"
  end
  local m = tide._json(text)
  if not m or m.format ~= "tide checkpoint 1" then return nil, path .. "/manifest.json: of another format", "EFORMAT" end
  return m
end

-- Checkpoints with a readable manifest, the newest first: {{path, name, manifest}, ...}; and the reasons against others.
local function survey(folder)
  local list, against = {}, {}
  if not is_folder(folder) then return list, against end
  for name in lfs().dir(folder) do
    if name:find("^step%-%d+%.?%d*$") and is_folder(folder .. "/" .. name) then
      local m, message = manifest(folder .. "/" .. name)
      if m then
        list[#list + 1] = { path = folder .. "/" .. name, name = name, manifest = m }
      else
        against[#against + 1] = message
      end
    end
  end
  table.sort(list, function(a, b) return a.manifest.generation > b.manifest.generation end)
  return list, against
end

-- Leftovers of saves and deletions that were stopped.
local function sweep(folder)
  for name in lfs().dir(folder) do
    local path = folder .. "/" .. name
    if name:find("^step%-") and is_folder(path) and (name:find("%.tmp$") or not lfs().attributes(path .. "/manifest.json")) then
      remove(path)
    elseif name:find("^LATEST%.tmp%-") then
      os.remove(path)
    end
  end
end

local function make_folder(path)
  if is_folder(path) then return true end
  local parent = path:match("^(.+)/[^/]+/*$")
  if parent and not is_folder(parent) then
    local ok, message, code = make_folder(parent)
    if not ok then return nil, message, code end
  end
  local ok, message = lfs().mkdir(path)
  if not ok and not is_folder(path) then return nil, path .. ": " .. message, "EIO" end
  return tide._sync_folder(parent or (path:find("^/") and "/" or "."))
end

-- ---- saving ----

-- The entry of the list with the best metric.
local function best_of(self, list)
  local best, value
  for _, entry in ipairs(list) do
    local v = self.best and entry.manifest.metrics[self.best]
    if type(v) == "table" then v = plain.decode(v, {}) end
    if v and v == v and (not value or (self.mode == "max" and v > value) or (self.mode == "min" and v < value)) then
      best, value = entry, v
    end
  end
  return best
end

-- Keeps the newest and the best.
local function rotate(self)
  local list = survey(self.folder)
  local best = best_of(self, list)
  for i, entry in ipairs(list) do
    if i > self.keep and entry ~= best then remove(entry.path) end
  end
end

-- Writes the files of a checkpoint into `path`.
local function write(self, path, step, metrics, generation)
  local files, states = {}, {}
  local seed, calls = tide._random_state()
  for _, name in ipairs(self.names) do
    local tensors = {}
    states[#states + 1] = ("    \"%s\": %s"):format(name, plain.encode(self.objects[name]:state_dict(), tensors, name))
    if next(tensors) then
      local file = name .. ".safetensors"
      local size, sum, code = tide._save_safetensors(path .. "/" .. file, tensors)
      if not size then return nil, sum, code end
      files[#files + 1] = ("    \"%s\": {\"size\": %d, \"crc32c\": %d}"):format(file, size, sum)
    end
  end
  local text = ("\n  \"format\": \"tide checkpoint 1\",\n  \"step\": %d,\n  \"generation\": %d,\n  \"random\": [%d, %d],\n" ..
    "  \"metrics\": %s,\n  \"files\": {\n%s\n  },\n  \"state\": {\n%s\n  }\n}\n"):format(step, generation, seed, calls,
    plain.encode(metrics, {}, "metrics"), table.concat(files, ",\n"), table.concat(states, ",\n"))
  local _, sum = tide._crc32c_text(text)
  return tide._write(path .. "/manifest.json", ("{\"crc32c\": %d,%s"):format(sum, text))
end

local function check_step(step)
  if math.type(step) ~= "integer" or step < 0 then tide._fail("checkpoint: the step must be a whole number, not " .. tostring(step)) end
end

-- The metrics as numbers.
local function measured(metrics)
  local out = {}
  for name, value in pairs(expect("table", "checkpoint", "metrics", metrics or {})) do
    if tide.is_tensor(value) and value:numel() == 1 then value = value:item() end
    out[name] = expect("number", "checkpoint", tostring(name), value)
  end
  return out
end

--- Saves now. metrics: {name = number, or a tensor of one}, for `best` (which NaN never is) and for whoever reads the
-- manifest. Returns the checkpoint's path, which is then on the disk for good, or nil, message, code: then earlier
-- checkpoints are as they were.
function Checkpoint:save(step, metrics)
  check_step(step)
  metrics = measured(metrics)
  if self.best and metrics[self.best] == nil then tide._fail("checkpoint: metrics lack '" .. self.best .. "', by which the best is kept") end
  local ok, message, code = make_folder(self.folder)
  if not ok then return nil, message, code end
  sweep(self.folder)
  local newest = survey(self.folder)[1]
  local base = ("%s/step-%d"):format(self.folder, step)
  local path, n = base, 1
  while lfs().attributes(path) do -- saved before, by a run that went back: both stay until the new one is whole
    n = n + 1
    path = ("%s.%d"):format(base, n)
  end
  local temporary = path .. ".tmp"
  ok, message = lfs().mkdir(temporary)
  if not ok then return nil, temporary .. ": " .. message, "EIO" end
  local done, raised = pcall(function()
    ok, message, code = write(self, temporary, step, metrics, newest and newest.manifest.generation + 1 or 1)
    if ok then ok, message, code = tide._rename(temporary, path) end
  end)
  if not done or not ok then
    if is_folder(temporary) then remove(temporary) end
    if not done then error(raised, 0) end
    return nil, message, code
  end
  ok, message, code = tide._write(self.folder .. "/LATEST", path:match("[^/]*$") .. "\n")
  if not ok then return nil, message, code end
  rotate(self)
  self.last = step
  return path
end

--- The end of a step: saves when `every` steps have passed, or when SIGTERM came. Returns the checkpoint's path if one was
-- saved, false if it was not time; "stop" once SIGTERM was seen and the checkpoint is saved; nil, message, code if saving
-- failed.
function Checkpoint:step(step, metrics)
  check_step(step)
  if self.sigterm and tide._sigterm_seen() then
    if self.last ~= step then
      local path, message, code = self:save(step, metrics)
      if not path then return nil, message, code end
    end
    return "stop"
  end
  if not self.every or step % self.every ~= 0 then return false end
  return self:save(step, metrics)
end

-- ---- loading ----

-- Everything that the checkpoint holds, checked; nothing is applied yet.
local function read(self, entry)
  local m, states, tensors = entry.manifest, {}, {}
  for file, want in pairs(m.files) do
    local size, sum = tide._crc32c(entry.path .. "/" .. file)
    if not size then return nil, sum end
    if size ~= want.size or sum ~= want.crc32c then return nil, ("%s/%s: size or sum is wrong: it is damaged"):format(entry.path, file) end
    local loaded, message = tide._load_safetensors(entry.path .. "/" .. file)
    if not loaded then return nil, message end
    tensors[file:match("^(.*)%.safetensors$")] = loaded
  end
  for _, name in ipairs(self.names) do
    if m.state[name] == nil then return nil, ("%s: it has no '%s'"):format(entry.path, name) end
    states[name] = plain.decode(m.state[name], tensors[name] or {})
  end
  return states
end

--- Puts the objects and the random state to where they were. which: "latest" (the default; where that one is damaged, the
-- newest whole one before it), "best", or a step. Returns step, metrics, and a list of what was wrong with newer ones;
-- 0 if nothing was ever saved; nil, message, code if there is something, but nothing whole.
function Checkpoint:load(which)
  which = which or "latest"
  local list, against = survey(self.folder)
  if which == "best" then
    list = { best_of(self, list) }
  elseif which == "latest" then
    local name = (read_text(self.folder .. "/LATEST") or ""):match("^(%S+)\n$")
    table.sort(list, function(a, b)
      if (a.name == name) ~= (b.name == name) then return a.name == name end
      return a.manifest.generation > b.manifest.generation
    end)
  else
    local chosen = {}
    for _, entry in ipairs(list) do
      if entry.manifest.step == which then chosen[#chosen + 1] = entry end
    end
    list = chosen
  end
  for _, entry in ipairs(list) do
    local states, message = read(self, entry)
    if states then
      for _, name in ipairs(self.names) do self.objects[name]:load_state_dict(states[name]) end
      tide._random_state(table.unpack(entry.manifest.random))
      self.last = entry.manifest.step
      return entry.manifest.step, plain.decode(entry.manifest.metrics, {}), against
    end
    against[#against + 1] = message
  end
  if #against == 0 and which == "latest" then return 0, {}, against end
  if #against == 0 then return nil, ("%s: no checkpoint '%s'"):format(self.folder, which), "EIO" end
  return nil, table.concat(against, "; "), "EFORMAT"
end

--- The steps that can be loaded, the newest first.
function Checkpoint:steps()
  local steps = {}
  for i, entry in ipairs(survey(self.folder)) do steps[i] = entry.manifest.step end
  return steps
end

--- What load() puts back where it was, step() saves from time to time, save() now; steps() lists what is there.
-- ck = tide.checkpoint("runs/a", {model = model, opt = opt}, {every = 100}); first = assert(ck:load()) + 1; then at the end
-- of each step i: if ck:step(i) == "stop" then break end.
-- objects: {name = object with state_dict() and load_state_dict(d)}: models,
-- optimizers, schedules, loaders, scalers, or a table of your own with these two functions. The random state of tide goes
-- along (that of math.random cannot be read).
-- options: every (nil: only save() saves), keep (2: how many of the newest stay), best (nil: a name of metrics; the best
-- stays too), mode ("min" or "max"), sigterm (true: step() saves and returns "stop" after SIGTERM; a host's own handler
-- is left alone).
function tide.checkpoint(folder, objects, options)
  options = with_options("checkpoint", options, "every:positive keep:positive best:string mode:string sigterm:boolean")
  expect("path", "checkpoint", "folder", folder)
  local names = {}
  for name, object in pairs(expect("table", "checkpoint", "objects", objects)) do
    if type(name) ~= "string" or not name:find("^[%w_%-]+$") then tide._fail("checkpoint: '" .. tostring(name) .. "' cannot name an object") end
    if type(object) ~= "table" or not object.state_dict or not object.load_state_dict then
      tide._fail("checkpoint: '" .. name .. "' has no state_dict and load_state_dict")
    end
    names[#names + 1] = name
  end
  table.sort(names)
  local mode = options.mode or "min"
  if mode ~= "min" and mode ~= "max" then tide._fail("checkpoint: mode is 'min' or 'max', not " .. mode) end
  lfs()
  return setmetatable({ folder = folder, objects = objects, names = names, every = options.every, keep = options.keep or 2, best = options.best,
    mode = mode, sigterm = options.sigterm ~= false and tide._watch_sigterm() }, Checkpoint)
end
