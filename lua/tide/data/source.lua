--- What a loader and its workers do alike: open a dataset by a module's name and plain data, and make a batch of it.
local tide = require "tide.core"
local collate = require "tide.data.collate"
local seeded = require("tide.data.sampler").seeded
local M = {}

--- The function, or the one that the module of this name returns.
function M.callable(f, what)
  if type(f) ~= "string" then return f end
  local loaded = require(f)
  if type(loaded) ~= "function" then tide._fail(("%s: the module '%s' returned a %s, not a function"):format(what, f, type(loaded))) end
  return loaded
end

--- spec: {module = name, data = plain data}; the module returns a function (or a table that can be called) of the data that
-- gives the dataset.
function M.open(spec)
  local found, make = pcall(require, spec.module)
  if not found then tide._fail(("the dataset's module: %s"):format(tostring(make):match "^[^\n]*")) end
  local dataset = make(spec.data)
  if type(dataset) ~= "table" then tide._fail(("the module '%s' made a %s, not a dataset"):format(spec.module, type(dataset))) end
  return dataset
end

--- What the user's function makes of samples; of several values a sequence, as the default makes of samples that are sequences.
function M.collated(together, samples)
  local values = table.pack(together(samples))
  for i = 1, math.max(values.n, 1) do
    if values[i] == nil then tide._fail("DataLoader: collate returned nil") end
  end
  if values.n == 1 then return values[1] end
  values.n = nil
  return values
end

--- The batch of these rows (int64, counted from 0): dataset:batch(rows) if there is one and `together` is nil, else
-- dataset:get(i) (i from 1) of each, put together by `together`, or, where that is false, as a list. Random numbers are seeded by
-- `seed`, so that who makes a batch does not matter.
function M.batch(dataset, rows, seed, together)
  return seeded(seed, function()
    if together == nil and dataset.batch then return dataset:batch(rows) end
    local samples = {}
    for i, row in ipairs(rows:tolist()) do
      samples[i] = dataset.get and dataset:get(row + 1)
      if not dataset.get then samples[i] = dataset[row + 1] end
      if samples[i] == nil then tide._fail(("the dataset has no sample %d"):format(row + 1)) end
    end
    if together == false then return samples end
    if together then return M.collated(together, samples) end
    return collate(samples)
  end)
end

function M.is_tensors(x)
  if type(x) ~= "table" or #x == 0 or getmetatable(x) then return false end
  for _, t in ipairs(x) do
    if not tide.is_tensor(t) then return false end
  end
  return true
end

return M
