--- Data: CSV files to tables of columns, cleaning, splitting, scaling, batches.
local M = {
  Table = require "tide.data.table",
  csv = require("tide.data.table").csv,
  DataLoader = require "tide.data.loader",
  StandardScaler = require "tide.data.scaler",
}
return M
