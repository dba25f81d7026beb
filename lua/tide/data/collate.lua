--- Samples to a batch: tensors are stacked, numbers (integers int64, others float32) and booleans become a tensor, strings a list; sequences and tables of
-- named fields do so by place or name.
local tide = require "tide.core"

local function all_integers(list)
  for _, v in ipairs(list) do
    if math.type(v) ~= "integer" then return false end
  end
  return true
end

local function collate(samples)
  local first = samples[1]
  local kind = type(first)
  if tide.is_tensor(first) then return tide.stack(samples, 1) end
  if math.type(first) == "integer" then return tide.tensor(samples, { dtype = all_integers(samples) and "int64" or "float32" }) end
  if kind == "number" or kind == "boolean" then return tide.tensor(samples) end
  if kind ~= "table" then return samples end
  local batch = {}
  for key in pairs(first) do
    local column = {}
    for i, sample in ipairs(samples) do
      column[i] = sample[key]
      if column[i] == nil then tide._fail(("collate: sample %d has no '%s'"):format(i, tostring(key))) end
    end
    batch[key] = collate(column)
  end
  return batch
end

return collate
