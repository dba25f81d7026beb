--- Batches of tensors that belong together row by row:
--   for xb, yb in tide.data.DataLoader({x, y}, {batch_size = 32, shuffle = true}) do ... end
-- options: batch_size (1), shuffle (false), drop_last (false), seed (drawn from the context at first use; each pass
-- shuffles anew from it). state_dict() and load_state_dict(d) keep the place within a pass: the next `for` goes on there.
local tide = require "tide.core"

local DataLoader = { __name = "tide.data.DataLoader" }
DataLoader.__index = DataLoader

function DataLoader:__len()
  local n = self.rows / self.batch_size
  return math.tointeger(self.drop_last and math.floor(n) or math.ceil(n))
end

--- An iterator over one pass, or over the rest of the one that load_state_dict left off in.
function DataLoader:iterate()
  if not self.resumed then self.passes, self.at = self.passes + 1, 0 end
  self.resumed = false
  local index = self.shuffle and tide._permutation(self.rows, self.seed * 1000003 + self.passes)
  local rows, size = self.rows, self.batch_size
  return function()
    local at = self.at
    if at >= rows or (self.drop_last and at + size > rows) then return nil end
    local n = math.min(size, rows - at)
    local batch = {}
    local places = index and index:narrow(1, at + 1, n)
    for i, t in ipairs(self.tensors) do batch[i] = places and t:index_select(1, places) or t:narrow(1, at + 1, n) end
    self.at = at + n
    return table.unpack(batch)
  end
end

function DataLoader:state_dict() return { seed = self.seed, passes = self.passes, at = self.at } end
function DataLoader:load_state_dict(dict)
  self.seed, self.passes, self.at = dict.seed, dict.passes, dict.at
  self.resumed = dict.passes > 0
end

-- In a generic for the loader itself is the iterator function: the control value is nil at the start of a pass.
function DataLoader:__call(_, control)
  if control == nil then self.current = self:iterate() end
  return self.current()
end

return function(tensors, options)
  options = options or {}
  if tide.is_tensor(tensors) then tensors = { tensors } end
  if #tensors == 0 then error("DataLoader: no tensors", 2) end
  local rows = tensors[1].shape[1]
  for i, t in ipairs(tensors) do
    if t.shape[1] ~= rows then error(("DataLoader: tensor %d has %d rows, the first %d"):format(i, t.shape[1], rows), 2) end
  end
  local size = options.batch_size or 1
  if math.type(size) ~= "integer" or size < 1 then error("DataLoader: batch_size must be a positive integer", 2) end
  return setmetatable({ tensors = tensors, rows = rows, batch_size = size, shuffle = options.shuffle or false,
    drop_last = options.drop_last or false, seed = options.seed or tide._draw_seed(), passes = 0, at = 0 }, DataLoader)
end
