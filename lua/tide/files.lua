--- Files of tensors: safetensors (also in shards), npy, npz; to be read only: .pth of PyTorch, GGUF of llama.cpp.
-- I/O does not raise: nil, message, code ("EIO", "EFORMAT", "EUNSUP", "EMEM").
local tide = require "tide.core"
local expect = require("tide.arguments").one
local with_options = require "tide.options"
local M = {}

-- ---- shards: NAME-00001-of-00003.safetensors and NAME.safetensors.index.json, as Hugging Face's tools write them ----

local function bytes(t)
  local size = { float64 = 8, int64 = 8, float32 = 4, int32 = 4, float16 = 2, bfloat16 = 2 }
  return t:numel() * (size[t.dtype] or 1)
end

local function sorted(tensors)
  local names = {}
  for name in pairs(tensors) do
    if type(name) ~= "string" then tide._fail("save: expected a table from names to tensors; a name is a " .. type(name)) end
    names[#names + 1] = name
  end
  table.sort(names)
  return names
end

local function sizes(limit)
  if math.type(limit) == "integer" and limit > 0 then return limit end
  local n, unit = tostring(limit):match("^(%d+)%s*([KMG]i?B)$")
  local factor = { KB = 1e3, MB = 1e6, GB = 1e9, KiB = 1 << 10, MiB = 1 << 20, GiB = 1 << 30 }
  if not n then tide._fail("save: max_shard_size must be bytes or a text as '5GB', not " .. tostring(limit)) end
  return math.tointeger(tonumber(n) * factor[unit])
end

-- The names in the shards that hold them: in order, each as full as it may be; a larger tensor has one of its own.
local function distribute(tensors, limit)
  local shards, used, total = { {} }, 0, 0
  for _, name in ipairs(sorted(tensors)) do
    if not tide.is_tensor(tensors[name]) then tide._fail("save: '" .. name .. "' is a " .. type(tensors[name]) .. ", not a tensor") end
    local n = bytes(tensors[name])
    if used > 0 and used + n > limit then
      shards[#shards + 1] = {}
      used = 0
    end
    table.insert(shards[#shards], name)
    used, total = used + n, total + n
  end
  return shards, total
end

local function save_sharded(path, tensors, metadata, limit)
  local stem = path:match("^(.*)%.safetensors%.index%.json$") or path:match("^(.*)%.safetensors$") or path
  local shards, total = distribute(tensors, sizes(limit))
  if #shards == 1 and not path:find("%.index%.json$") then return tide._save_safetensors(path, tensors, metadata) end
  local rows = {}
  for i, names in ipairs(shards) do
    local file, part = ("%s-%05d-of-%05d.safetensors"):format(stem, i, #shards), {}
    for _, name in ipairs(names) do
      part[name] = tensors[name]
      local key = tide._json_quote(name)
      if not key then tide._fail("save: a name is not UTF-8") end
      rows[#rows + 1] = ("    %s: %s"):format(key, tide._json_quote(file:match("[^/]*$")))
    end
    local ok, message, code = tide._save_safetensors(file, part, metadata)
    if not ok then return nil, message, code end
  end
  return tide._write(stem .. ".safetensors.index.json", -- last: what it names is there
    ("{\n  \"metadata\": {\"total_size\": %d},\n  \"weight_map\": {\n%s\n  }\n}\n"):format(total, table.concat(rows, ",\n")))
end

local function read_text(path)
  local file, message = io.open(path, "rb")
  if not file then return nil, message, "EIO" end
  local text, failure = file:read("a")
  file:close()
  if not text then return nil, path .. ": " .. failure, "EIO" end
  return text
end
M.read_text = read_text

local function malformed(path, what) return nil, path .. ": " .. what, "EFORMAT" end

local function load_sharded(path, options)
  local text, message, code = read_text(path)
  if not text then return nil, message, code end
  local index
  index, message, code = tide._json(text)
  if not index then return nil, path .. ": " .. (message or "null"), code or "EFORMAT" end
  local map = type(index) == "table" and index.weight_map
  if type(map) ~= "table" then return malformed(path, "no index of shards: it has no weight_map") end
  local folder, files, all, metadata = path:match("^.*/") or "", {}, {}, nil
  for name, file in pairs(map) do
    if type(name) ~= "string" or type(file) ~= "string" then return malformed(path, "weight_map is no object of strings") end
    if file:find("/", 1, true) or file:find("\0", 1, true) or file == "" or file == ".." then
      return malformed(path, ("the shard '%s' is not in its folder"):format(file))
    end
    files[file] = files[file] or {}
    table.insert(files[file], name)
  end
  for file, names in pairs(files) do
    local part, meta, why = tide._load_safetensors(folder .. file, options.mmap)
    if not part then return nil, meta, why end
    metadata = metadata or meta
    for _, name in ipairs(names) do
      if not part[name] then return malformed(path, ("'%s' is not in %s"):format(name, file)) end
      all[name] = part[name]
    end
  end
  return all, metadata or {}
end

-- ---- by kind ----

-- What a script sees of a writer's results: not the checksum.
local function written(size, ...)
  if size then return size end
  return nil, ...
end

--- Writes tensors; the file at `path` is replaced when the new one is whole and on the disk, or left as it was.
-- By the end of the path: ".npy": `tensors` is one tensor. ".npz": {name = tensor}; options.compressed (zlib). Else
-- safetensors: {name = tensor}, metadata {key = text}; options.max_shard_size (bytes, or a text as "5GB") spreads them over
-- NAME-00001-of-0000N.safetensors with NAME.safetensors.index.json; NAME.safetensors.index.json as a path does so too.
-- Returns the bytes written to the last file, or nil, message, code; for ".pth", ".pt" and ".gguf" too, which are read only.
function tide.save(path, tensors, metadata, options)
  expect("path", "save", "path", path)
  options = with_options("save", options, "compressed max_shard_size")
  local foreign = path:match "%.pth?$" or path:match "%.gguf$"
  if foreign then return nil, ("%s: %s files are read only: write .safetensors"):format(path, foreign), "EUNSUP" end
  if path:find("%.npy$") then return written(tide._save_npy(path, tensors)) end
  if type(tensors) ~= "table" then tide._fail("save: expected a table from names to tensors, not a " .. type(tensors)) end
  if path:find("%.npz$") then
    local names, list = sorted(tensors), {}
    for i, name in ipairs(names) do list[i] = tensors[name] end
    return written(tide._save_npz(path, names, list, options.compressed))
  end
  if options.max_shard_size or path:find("%.safetensors%.index%.json$") then
    return written(save_sharded(path, tensors, metadata, options.max_shard_size or "5GB"))
  end
  return written(tide._save_safetensors(path, tensors, metadata))
end

--- Reads a file of tensors. What it is, its first bytes say, whatever it is called:
-- safetensors: returns {name = tensor}, {metadata}. NAME.safetensors.index.json, by its name: reads the shards.
-- npy: returns a tensor. npz: {name = tensor}.
-- pth of torch.save (PyTorch 1.6 and later): returns what was saved: dictionaries and lists as tables, None as nil,
-- texts, numbers, tensors. A pickle is a program, but none is run: what is not plain data is refused by its name.
-- GGUF: returns {name = tensor}, {metadata}; quantised tensors (Q4_0 to Q8_0, Q2_K to Q6_K) become float32.
-- options.mmap (safetensors): tensors share the mapped file instead of copying it; writing to them changes memory only.
-- Do not shorten the file while they live.
-- Returns nil, message, code on failure: "EIO", "EFORMAT" (malformed), "EUNSUP" (Tide has no such thing), "EMEM".
function tide.load(path, options)
  expect("path", "load", "path", path)
  options = with_options("load", options, "mmap")
  if path:find("%.index%.json$") then return load_sharded(path, options) end
  local file, message = io.open(path, "rb")
  if not file then return nil, message, "EIO" end
  local first = file:read(6) or ""
  file:close()
  if first == "\x93NUMPY" or path:find("%.npy$") then return tide._load_npy(path) end
  if first:sub(1, 4) == "PK\3\4" or first:sub(1, 4) == "PK\5\6" or path:find("%.npz$") then return tide._load_zip(path) end
  if first:sub(1, 4) == "GGUF" or path:find("%.gguf$") then return tide._load_gguf(path) end
  if first == "\x80\2\x8a\nl\xfc" then
    return nil, path .. ": written by torch.save before PyTorch 1.6, or in its old format; save it again in the new one", "EUNSUP"
  end
  return tide._load_safetensors(path, options.mmap)
end

return M
