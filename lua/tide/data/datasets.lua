--- Datasets: tables with get(self, i) (a sample, i from 1) or batch(self, rows) (int64 row numbers from 0), and #. Those made
-- from files keep `spec`, by which a loader's workers open the same. What cannot be read raises an error. `transform` is a
-- function of the sample's values, or the name of a module that returns one (needed for workers).
local tide = require "tide.core"
local expect = require("tide.arguments").one
local with_options = require "tide.options"
local source = require "tide.data.source"
local M = {}

local function class(kind, make)
  local Dataset = { __name = "tide.data." .. kind }
  Dataset.__index = Dataset
  function Dataset:__len() return self.n end
  M[kind] = setmetatable(Dataset, { __call = function(_, ...)
    local self = setmetatable(make(...), Dataset)
    self.spec = { module = "tide.data.datasets", data = { kind = kind, args = { ... } } }
    return self
  end })
  return Dataset
end

local function check(value, message)
  if value == nil then tide._fail(message) end
  return value
end

--- TensorDataset(x, y, ...): tensors with as many rows; a batch is picked from each at once.
local Tensors = class("TensorDataset", function(...)
  local tensors = table.pack(...)
  if tensors.n == 0 then tide._fail("TensorDataset: no tensors") end
  for i = 1, tensors.n do
    if expect("tensor", "TensorDataset", "tensor " .. i, tensors[i]).ndim == 0 then tide._fail(("TensorDataset: tensor %d has no rows"):format(i)) end
  end
  local rows = tensors[1].shape[1]
  for i, t in ipairs(tensors) do
    if t.shape[1] ~= rows then tide._fail(("DataLoader: tensor %d has %s rows, the first %s"):format(i, t.shape[1], rows)) end
  end
  return { tensors = tensors, n = rows }
end)
--- Sample i, from 1: a list of row i of each tensor.
function Tensors:get(i)
  local sample = {}
  for k, t in ipairs(self.tensors) do sample[k] = t[i] end
  return sample
end
--- The rows (int64, from 0) of each tensor, a list.
function Tensors:batch(rows)
  local batch = {}
  for k, t in ipairs(self.tensors) do batch[k] = t:index_select(1, rows) end
  return batch
end

--- List(samples): a sequence of samples.
local List = class("List", function(samples)
  expect("table", "List", "samples", samples)
  return { samples = samples, n = #samples }
end)
--- Sample i, from 1.
function List:get(i) return self.samples[i] end

-- Datasets whose rows lie in self.tensors.
local function in_memory(Dataset) Dataset.get, Dataset.batch = Tensors.get, Tensors.batch end

--- CSVDataset(path, {target, features, dtype = "float32", target_dtype, csv}): rows without missing cells; samples are
-- {features, target} or, without target, {features}. csv: options of tide.data.csv.
in_memory(class("CSVDataset", function(path, options)
  options = with_options("CSVDataset", options, "target:string features:string|strings dtype:string target_dtype:string csv:table")
  local t, message = require("tide.data.table").csv(path, options.csv)
  check(t, message)
  t = t:dropna()
  local target = options.target
  local x = options.features and t:select(options.features) or target and t:drop(target) or t
  local tensors = { x:tensor({ dtype = options.dtype }) }
  if target then
    local c = t:column(target)
    tensors[2] = c:tensor({ dtype = options.target_dtype or (c.type == "float64" and "float32" or "int64") })
  end
  return { tensors = tensors, n = #t, names = x:names() }
end))

--- ArrayDataset(path, ...): the arrays of npy files, or of one npz file with the names that follow it, row by row.
in_memory(class("ArrayDataset", function(path, ...)
  local tensors = {}
  local first, message = tide.load(path)
  check(first, message)
  if tide.is_tensor(first) then
    tensors[1] = first
    for i, other in ipairs { ... } do
      local t, why = tide.load(other)
      tensors[i + 1] = check(t, why)
    end
  else
    for i, name in ipairs { ... } do tensors[i] = check(first[name], ("%s: no array '%s'"):format(path, name)) end
  end
  if #tensors == 0 then tide._fail("ArrayDataset: which arrays of " .. path .. "?") end
  for i, t in ipairs(tensors) do
    if t.ndim == 0 or t.shape[1] ~= tensors[1].shape[1] then tide._fail(("ArrayDataset: array %d has other rows than the first"):format(i)) end
  end
  return { tensors = tensors, n = tensors[1].shape[1] }
end))

-- ---- binary files of images ----

local function bytes(path)
  local b, message = tide._bytes(expect("path", "data", "path", path))
  return check(b, message)
end

local idx_kinds = { [0x08] = "uint8", [0x09] = "int8", [0x0B] = "int16", [0x0C] = "int32", [0x0D] = "float32", [0x0E] = "float64" }

--- The tensor in a file of the IDX format (LeCun's MNIST page).
function M.idx(path)
  local b = bytes(path)
  local function bad(why) tide._fail(("%s: %s"):format(path, why)) end
  if #b < 4 then bad "no IDX file: too short" end
  local head = b:read("uint8", 0, 4):tolist()
  local kind, ndim = idx_kinds[head[3]], head[4]
  if head[1] ~= 0 or head[2] ~= 0 or not kind or ndim < 1 or ndim > 8 then bad "no IDX file" end
  if #b < 4 + 4 * ndim then bad "the IDX file ends in its header" end
  local shape, n = b:read("uint32", 4, ndim, true):tolist(), 1
  local size = ({ uint8 = 1, int8 = 1, int16 = 2, float64 = 8 })[kind] or 4
  for _, d in ipairs(shape) do
    n = n * d
    if n > #b then break end
  end
  if #b ~= 4 + 4 * ndim + n * size then bad(("an IDX file of %d bytes, where its header means another size"):format(#b)) end
  return b:read(kind, 4 + 4 * ndim, n, true):reshape(shape)
end

--- MNISTDataset(images, labels): IDX files, unpacked; samples are {image (1, rows, columns) float32 within 0 and 1, label}.
local Mnist = class("MNISTDataset", function(images, labels)
  local x, y = M.idx(images), M.idx(labels)
  if x.ndim ~= 3 or y.ndim ~= 1 or x.shape[1] ~= y.shape[1] then
    tide._fail(("MNISTDataset: %s images and %s labels"):format(table.concat(x.shape, "x"), table.concat(y.shape, "x")))
  end
  return { tensors = { x:unsqueeze(2), y }, n = y.shape[1] }
end)
--- {images, float32 within 0 and 1, labels, int64} at these rows (int64, from 0).
function Mnist:batch(rows)
  local x, y = table.unpack(Tensors.batch(self, rows))
  return { x:to("float32") / 255, y:to("int64") }
end
--- {image, float32 within 0 and 1, label, int64} of sample i, from 1.
function Mnist:get(i) return { self.tensors[1][i]:to("float32") / 255, self.tensors[2][i]:to("int64") } end

--- CIFARDataset(paths, {classes = 10}): the binary version's files (a path or a sequence of them), of 10 or 100 classes (then
-- the fine labels); samples are {image (3, 32, 32) float32 within 0 and 1, label}.
local Cifar = class("CIFARDataset", function(paths, options)
  local labels = with_options("CIFARDataset", options, "classes:integer").classes == 100 and 2 or 1
  local x, y = {}, {}
  for i, path in ipairs(type(paths) == "table" and paths or { paths }) do
    local b = bytes(path)
    local record = labels + 3072
    if #b == 0 or #b % record ~= 0 then tide._fail(("%s: %d bytes are no whole records of %d"):format(path, #b, record)) end
    local rows = b:read("uint8", 0, #b):reshape({ -1, record })
    y[i] = rows:select(2, labels)
    x[i] = rows:narrow(2, labels + 1, 3072):reshape({ -1, 3, 32, 32 })
  end
  if #x == 0 then tide._fail("CIFARDataset: no files") end
  local images = tide.cat(x, 1)
  return { tensors = { images, tide.cat(y, 1) }, n = images.shape[1] }
end)
Cifar.batch, Cifar.get = Mnist.batch, Mnist.get

--- ImageFolder(root, {transform, load = tide.image.load, extensions = {png, jpg, jpeg}}): root/CLASS/any/picture; samples are
-- {load(path), label}, labels from 0 in the order of the classes' names (self.classes). Needs LuaFileSystem.
local Folder = class("ImageFolder", function(root, options)
  expect("path", "ImageFolder", "root", root)
  options = with_options("ImageFolder", options, "transform:function|string load:function|string extensions:strings")
  local found, lfs = pcall(require, "lfs")
  if not found then tide._fail("ImageFolder: LuaFileSystem (lfs) is not installed") end
  local wanted = {}
  for _, e in ipairs(options.extensions or { "png", "jpg", "jpeg" }) do wanted[e:lower()] = true end
  local function entries(path)
    local list = {}
    local ok, iterate, state = pcall(lfs.dir, path)
    if not ok then tide._fail("ImageFolder: " .. tostring(iterate)) end
    for name in iterate, state do
      if name:sub(1, 1) ~= "." then list[#list + 1] = name end
    end
    table.sort(list)
    return list
  end
  local self = { classes = {}, paths = {}, labels = {}, load = source.callable(options.load, "load") or tide.image and tide.image.load,
    transform = source.callable(options.transform, "transform") }
  if not self.load then tide._fail("ImageFolder: pictures cannot be read here: give options.load") end
  local function walk(path, label)
    for _, name in ipairs(entries(path)) do
      local full = path .. "/" .. name
      local mode = lfs.attributes(full, "mode")
      if mode == "directory" then
        walk(full, label)
      elseif mode == "file" and wanted[(name:match("%.(%w+)$") or ""):lower()] then
        self.paths[#self.paths + 1], self.labels[#self.labels + 1] = full, label
      end
    end
  end
  for _, name in ipairs(entries(root)) do
    if lfs.attributes(root .. "/" .. name, "mode") == "directory" then
      self.classes[#self.classes + 1] = name
      walk(root .. "/" .. name, #self.classes - 1)
    end
  end
  self.n = #self.paths
  if self.n == 0 then tide._fail(("ImageFolder: no pictures in folders of %s"):format(root)) end
  return self
end)
--- {image, label} of sample i, from 1. Errors: the picture cannot be read.
function Folder:get(i)
  local image, message = self.load(self.paths[i])
  if not image then tide._fail(message or self.paths[i]) end
  if self.transform then image = self.transform(image) end
  return { image, self.labels[i] }
end

--- JSONLines(path, {transform}): one JSON value a line; empty lines are passed over. Lines are read when they are asked for.
local Lines = class("JSONLines", function(path, options)
  options = with_options("JSONLines", options, "transform:function|string")
  local file, message = io.open(expect("path", "JSONLines", "path", path), "rb")
  check(file, message)
  local at, places = 0, {}
  for line in file:lines("L") do
    if line:find("%S") then places[#places + 1] = at end
    at = at + #line
  end
  return { path = path, file = file, places = places, n = #places, transform = source.callable(options.transform, "transform") }
end)
--- The value of sample i, from 1; nil behind the last. Errors: its line is no JSON.
function Lines:get(i)
  if not self.places[i] then return nil end
  self.file:seek("set", self.places[i])
  local value, message = tide._json(self.file:read("L"))
  if value == nil then tide._fail(("%s: line of sample %d: %s"):format(self.path, i, message or "null")) end
  if self.transform then return self.transform(value) end
  return value
end

--- TokenShards(paths, {context, stride = context, dtype = "uint16", header = 0}): files of token numbers (little-endian), mapped
-- rather than read; samples are {tokens, the tokens after each}, both int64 of `context`. No sample spans two files.
local Tokens = class("TokenShards", function(paths, options)
  options = with_options("TokenShards", options, "context:positive stride:positive dtype:string header:count")
  local size = ({ uint8 = 1, uint16 = 2, uint32 = 4, int32 = 4, int64 = 8 })[options.dtype or "uint16"]
  local context = expect("positive", "TokenShards", "context", options.context)
  if not size then tide._fail("TokenShards: dtype must be uint8, uint16, uint32, int32 or int64") end
  local stride = options.stride or context
  local self = { shards = {}, n = 0, context = context, stride = stride, dtype = options.dtype or "uint16", size = size,
    header = options.header or 0 }
  for i, path in ipairs(type(paths) == "table" and paths or { paths }) do
    local b = bytes(path)
    local tokens = (#b - self.header) // size
    local windows = tokens > context and (tokens - context - 1) // stride + 1 or 0
    self.shards[i] = { bytes = b, first = self.n, windows = windows }
    self.n = self.n + windows
  end
  if self.n == 0 then tide._fail("TokenShards: no file has a sample's tokens") end
  return self
end)
--- {tokens, the tokens after each} of sample i, from 1.
function Tokens:get(i)
  local low, high = 1, #self.shards
  while low < high do -- the last shard that begins before sample i
    local middle = (low + high + 1) // 2
    if self.shards[middle].first < i then low = middle else high = middle - 1 end
  end
  local shard = self.shards[low]
  local at = self.header + (i - 1 - shard.first) * self.stride * self.size
  local tokens = shard.bytes:read(self.dtype, at, self.context + 1):to("int64")
  return { tokens:narrow(1, 1, self.context), tokens:narrow(1, 2, self.context) }
end

-- By a spec's data: {kind, args}.
return setmetatable(M, { __call = function(_, data) return M[data.kind](table.unpack(data.args)) end })
