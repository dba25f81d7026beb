--- What runs in a loader's worker: batches of rows as they are asked for, until the loader closes.
require "tide"
local source = require "tide.data.source"

return function(port, spec)
  local dataset = source.open(spec)
  local together = source.callable(spec.collate, "collate")
  while true do
    local wanted, request = port:receive()
    if not wanted then return end
    local pass, k, rows, seed = table.unpack(request)
    local function answer() port:send { pass = pass, k = k, batch = source.batch(dataset, rows, seed, together) } end
    local ok, message = xpcall(answer, debug.traceback)
    if not ok then port:send { pass = pass, k = k, message = message } end
  end
end
