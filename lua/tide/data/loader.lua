-- tide.data.DataLoader: passes over batches; background workers (tide.data.serve) make them ahead.
local tide = require "tide.core"
local expect = require("tide.arguments").one
local with_options = require "tide.options"
local same_state = require "tide.data.state"
local samplers = require "tide.data.sampler"
local source = require "tide.data.source"

local DataLoader = { __name = "tide.data.DataLoader" }
DataLoader.__index = DataLoader

function DataLoader:__len()
  local n, size = #self.sampler, self.batch_size
  return self.drop_last and n // size or (n + size - 1) // size
end

-- ---- workers ----

-- A function cannot be sent: it stays here, and gets the samples.
local function collates_here(self) return self.collate ~= nil and type(self.collate) ~= "string" end

local function start(self)
  local spec = { module = self.spec.module, data = self.spec.data, collate = self.collate }
  if collates_here(self) then spec.collate = false end
  self.crew = {}
  for i = 1, self.workers do self.crew[i] = tide._worker("tide.data.serve", spec) end
end

-- The rows of batch k of a pass, and the seed for it.
local function part(self, pass, k)
  local at = (k - 1) * self.batch_size
  return pass.index:narrow(1, at + 1, math.min(self.batch_size, pass.index:numel() - at)), (pass.seed * 1000003 + pass.number) * 1000003 + k
end

-- Asks for batches up to the last that is to be made ahead of batch k.
local function ask(self, pass, k)
  if not self.crew then start(self) end
  if pass.crew ~= self.crew then -- none was asked yet, or those that were are closed
    self.asked = self.asked + 1
    pass.crew, pass.id, pass.asked, pass.replies = self.crew, self.asked, k - 1, {}
    self.asking[pass.id] = pass
  end
  while pass.asked < math.min(#self, k - 1 + self.workers * self.prefetch) do
    pass.asked = pass.asked + 1
    local worker = self.crew[(pass.asked - 1) % self.workers + 1]
    worker:send { pass.id, pass.asked, part(self, pass, pass.asked) }
  end
end

local function receive(self, pass, k)
  local place = (k - 1) % self.workers + 1
  while not pass.replies[k] do
    local ok, reply = self.crew[place]:receive()
    if not ok then
      self:close()
      tide._fail(("DataLoader: worker %d: %s"):format(place, reply or "ended"))
    end
    local asking = self.asking[reply.pass]
    if asking then asking.replies[reply.k] = reply end -- else of a pass that was left
  end
  local reply = pass.replies[k]
  pass.replies[k] = nil
  if reply.message then tide._fail(("DataLoader: worker %d: %s"):format(place, reply.message)) end
  if collates_here(self) then return source.collated(self.collate, reply.batch) end
  return reply.batch
end

--- Ends the workers and waits for them; a pass that goes on starts new ones.
function DataLoader:close()
  for _, worker in ipairs(self.crew or {}) do worker:close() end
  self.crew = nil
end
DataLoader.__close = DataLoader.close

-- ---- passes ----

--- An iterator over one pass, or over the rest of the one that load_state_dict left off in.
function DataLoader:iterate()
  local last, before = #self, self.pass -- the pass begun last
  local pass = { seed = before.seed, number = before.number, at = before.at }
  if not before.loaded then pass.number, pass.at = before.number + 1, 0 end
  pass.index = expect("tensor", "DataLoader", "sampler:order()", self.sampler:order(pass.seed, pass.number))
  self.pass = pass
  local together = source.callable(self.collate, "collate")
  return function()
    local k = pass.at + 1
    if k > last then return nil end
    local batch
    if self.workers > 0 then
      ask(self, pass, k)
      batch = receive(self, pass, k)
    else
      local rows, seed = part(self, pass, k)
      batch = source.batch(self.dataset, rows, seed, together)
    end
    if batch == nil then tide._fail("DataLoader: the dataset's batch is nil") end
    pass.at = k
    if type(batch) == "table" and #batch > 0 then return table.unpack(batch) end
    return batch
  end
end

--- {seed, passes, at, batch_size, rows}: the place within the pass begun last.
function DataLoader:state_dict()
  return { seed = self.pass.seed, passes = self.pass.number, at = self.pass.at, batch_size = self.batch_size, rows = #self.sampler }
end
--- Goes on from a state_dict: the next loop gives the rest of its pass. Errors: it is of another batch_size or number of
--- rows. -> the loader
function DataLoader:load_state_dict(dict)
  same_state("DataLoader", dict, { batch_size = self.batch_size, rows = #self.sampler })
  for _, key in ipairs { "seed", "passes", "at" } do expect("integer", "DataLoader", "state." .. key, dict[key]) end
  self.pass = { seed = dict.seed, number = dict.passes, at = dict.at, loaded = dict.passes > 0 }
  return self
end

local function noted(self, turn, first, ...)
  if type(first) == "userdata" or type(first) == "table" then self.turns[first] = turn end
  return first, ...
end

-- In a generic for the loader itself is the iterator function. The control value is nil at the start of a pass, then the first value
-- of the batch before, which says whose turn it is where loops over one loader are nested.
function DataLoader:__call(_, control)
  if control == nil then self.turn = self:iterate() end
  local turn = self.turns[control] or self.turn
  return noted(self, turn, turn())
end

-- ---- making one ----

--- Batches of a dataset:
--   for xb, yb in tide.data.DataLoader({x, y}, {batch_size = 32, shuffle = true}) do ... end
-- The dataset is a tensor or a sequence of tensors that belong together row by row; a sequence of samples; a table with
-- get(self, i) and #; or {module = name, data = plain data}, where require(name)(data) gives one of these. A sample that is a
-- sequence gives as many values a batch; any other gives one.
-- options: batch_size (1), shuffle (false), sampler (tide.data.*Sampler, instead of shuffle), drop_last (false), collate (a
-- function from a list of samples to a batch, or to several values of one, or the name of a module that returns one), seed
-- (drawn from the context; each pass shuffles anew from it), workers (0): threads, each with a Lua state of its own, that make
-- batches ahead; what they need is sent as plain data, so datasets with functions in them must be given by module name.
-- prefetch (2): batches ahead, a worker. Batches do not depend on the number of workers. An error in a worker is raised here
-- with the worker's traceback. Every `for` is a pass of its own. state_dict() and load_state_dict(d) keep the place within the
-- pass begun last: the next `for` goes on there, with the same batch_size and number of rows. close() ends the workers; so does
-- the collector.
return function(dataset, options)
  options = with_options("DataLoader", options, "batch_size:positive shuffle:boolean sampler:table drop_last:boolean " ..
    "collate:function|string seed:integer workers:count prefetch:positive")
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
  local workers = options.workers or 0
  spec = spec or dataset.spec
  if workers > 0 and not spec then
    tide._fail("DataLoader: workers need the dataset as {module = name, data = plain data}")
  end
  if options.sampler and options.shuffle then tide._fail("DataLoader: shuffle or sampler, not both") end
  local sampler = options.sampler or samplers[options.shuffle and "RandomSampler" or "SequentialSampler"](#dataset)
  expect("function", "DataLoader", "sampler.order", sampler.order)
  return setmetatable({ dataset = dataset, spec = spec, batch_size = options.batch_size or 1, sampler = sampler,
    drop_last = options.drop_last or false, collate = options.collate, workers = workers, prefetch = options.prefetch or 2,
    pass = { seed = options.seed or tide._draw_seed(), number = 0, at = 0 }, turns = setmetatable({}, { __mode = "k" }),
    asked = 0, asking = setmetatable({}, { __mode = "v" }) }, DataLoader)
end
