-- tide.data.DataLoader: passes over batches; background workers (tide.data.serve) make them ahead.
local tide = require "tide.core"
local with_options = require "tide.options"
local samplers = require "tide.data.sampler"
local source = require "tide.data.source"

local DataLoader = { __name = "tide.data.DataLoader" }
DataLoader.__index = DataLoader

function DataLoader:__len()
  local n, size = #self.sampler, self.batch_size
  return self.drop_last and n // size or (n + size - 1) // size
end

-- ---- workers ----

local function start(self)
  local spec = { module = self.spec.module, data = self.spec.data, collate = self.collate }
  if type(self.collate) == "function" then spec.collate = false end -- it stays here, and gets the samples
  self.crew = {}
  for i = 1, self.workers do self.crew[i] = tide._worker("tide.data.serve", spec) end
end

local function ask(self, index, k)
  local at = (k - 1) * self.batch_size
  local rows = index:narrow(1, at + 1, math.min(self.batch_size, index:numel() - at))
  self.asked = self.asked + 1
  self.crew[(k - 1) % self.workers + 1]:send { self.asked, rows, self:_batch_seed(k) }
  return self.asked
end

local function receive(self, k, id)
  local place = (k - 1) % self.workers + 1
  while true do
    local ok, reply = self.crew[place]:receive()
    if not ok then
      self:close()
      tide._fail(("DataLoader: worker %d: %s"):format(place, reply or "ended"))
    end
    if reply[1] == id then -- else of a pass that was left
      if reply[3] then tide._fail(("DataLoader: worker %d: %s"):format(place, reply[3])) end
      if type(self.collate) == "function" and not self.whole_batches then return self.collate(reply[2]) end
      return reply[2]
    end
  end
end

--- Ends the workers and waits for them; a later pass starts new ones.
function DataLoader:close()
  for _, worker in ipairs(self.crew or {}) do worker:close() end
  self.crew = nil
end
DataLoader.__close = DataLoader.close

-- ---- passes ----

function DataLoader:_batch_seed(k) return (self.seed * 1000003 + self.passes) * 1000003 + k end

--- An iterator over one pass, or over the rest of the one that load_state_dict left off in.
function DataLoader:iterate()
  if not self.resumed then self.passes, self.at = self.passes + 1, 0 end
  self.resumed = false
  local index, last, pass = self.sampler:order(self.seed, self.passes), #self, self.passes
  local together = source.callable(self.collate, "collate")
  local ids, asked = {}, self.at
  if self.workers > 0 and not self.crew then start(self) end
  return function()
    local k = self.at + 1
    if k > last or pass ~= self.passes then return nil end
    local batch
    if self.workers > 0 then
      while asked < math.min(last, k - 1 + self.workers * self.prefetch) do
        asked = asked + 1
        ids[asked] = ask(self, index, asked)
      end
      batch = receive(self, k, ids[k])
      ids[k] = nil
    else
      local at = self.at * self.batch_size
      local rows = index:narrow(1, at + 1, math.min(self.batch_size, index:numel() - at))
      batch = source.batch(self.dataset, rows, self:_batch_seed(k), together)
    end
    self.at = k
    if type(batch) == "table" and #batch > 0 then return table.unpack(batch) end
    return batch
  end
end

--- {seed, passes, at}: the place within the pass.
function DataLoader:state_dict() return { seed = self.seed, passes = self.passes, at = self.at } end
--- Goes on from a state_dict: the next loop gives the rest of its pass. -> the loader
function DataLoader:load_state_dict(dict)
  self.seed, self.passes, self.at = dict.seed, dict.passes, dict.at
  self.resumed = dict.passes > 0
  return self
end

-- In a generic for the loader itself is the iterator function: the control value is nil at the start of a pass.
function DataLoader:__call(_, control)
  if control == nil then self.current = self:iterate() end
  return self.current()
end

-- ---- making one ----

local function positive(options, name, default, least)
  local n = options[name]
  if n == nil then return default end
  if math.type(n) ~= "integer" or n < least then
    tide._fail(("DataLoader: %s must be %s integer"):format(name, least > 0 and "a positive" or "a non-negative"))
  end
  return n
end

--- Batches of a dataset:
--   for xb, yb in tide.data.DataLoader({x, y}, {batch_size = 32, shuffle = true}) do ... end
-- The dataset is a tensor or a sequence of tensors that belong together row by row; a sequence of samples; a table with
-- get(self, i) and #; or {module = name, data = plain data}, where require(name)(data) gives one of these. A sample that is a
-- sequence gives as many values a batch; any other gives one.
-- options: batch_size (1), shuffle (false), sampler (tide.data.*Sampler, instead of shuffle), drop_last (false), collate (a
-- function from a list of samples to a batch, or the name of a module that returns one), seed (drawn from the context; each
-- pass shuffles anew from it), workers (0): threads, each with a Lua state of its own, that make batches ahead; what they need
-- is sent as plain data, so datasets with functions in them must be given by module name. prefetch (2): batches ahead, a
-- worker. Batches do not depend on the number of workers. An error in a worker is raised here with the worker's traceback.
-- state_dict() and load_state_dict(d) keep the place within a pass: the next `for` goes on there. close() ends the workers;
-- so does the collector.
return function(dataset, options)
  options = with_options("DataLoader", options, "batch_size shuffle sampler drop_last collate seed workers prefetch")
  local spec
  if tide.is_tensor(dataset) then dataset = { dataset } end
  if type(dataset) ~= "table" then tide._fail("DataLoader: expected tensors or a dataset, got a " .. type(dataset)) end
  if type(dataset.module) == "string" and not getmetatable(dataset) then
    spec = dataset
    dataset = source.open(spec)
  elseif source.is_tensors(dataset) then
    dataset = require("tide.data.datasets").TensorDataset(table.unpack(dataset))
  elseif not getmetatable(dataset) and not dataset.get and not dataset.batch then
    if #dataset == 0 then tide._fail("DataLoader: an empty dataset, without tensors or samples") end
    spec = { module = "tide.data.datasets", data = { kind = "List", args = { dataset } } }
  end
  local workers = positive(options, "workers", 0, 0)
  spec = spec or dataset.spec
  if workers > 0 and not spec then
    tide._fail("DataLoader: workers need the dataset as {module = name, data = plain data}")
  end
  if options.sampler and options.shuffle then tide._fail("DataLoader: shuffle or sampler, not both") end
  local sampler = options.sampler or samplers[options.shuffle and "RandomSampler" or "SequentialSampler"](#dataset)
  return setmetatable({ dataset = dataset, spec = spec, whole_batches = dataset.batch ~= nil, batch_size = positive(options, "batch_size", 1, 1),
    sampler = sampler, drop_last = options.drop_last or false, collate = options.collate, workers = workers,
    prefetch = positive(options, "prefetch", 2, 1), seed = options.seed or tide._draw_seed(), passes = 0, at = 0, asked = 0 }, DataLoader)
end
