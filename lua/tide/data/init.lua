--- Data: CSV files to tables of columns, cleaning, splitting, scaling, batches.
local M = {
  Table = require "tide.data.table",
  table = require("tide.data.table").of,
  csv = require("tide.data.table").csv,
  DataLoader = require "tide.data.loader",
}
for _, part in ipairs { "tide.data.datasets", "tide.data.sampler", "tide.data.scaler", "tide.data.encode", "tide.data.split" } do
  for name, value in pairs(require(part)) do M[name] = value end
end
M.rows, M.seeded = nil, nil
return M
