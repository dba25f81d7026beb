--- Runs rows for run.lua: reads "NAME COUNT" lines, answers "SECONDS CPU NOTE", wall and processor seconds of COUNT
-- calls, or "error MESSAGE".
local rows = dofile((arg[0]:match "^(.*)/" or ".") .. "/rows.lua")
local tide = require "tide"

local prepared, call
for line in io.lines() do
  local name, count = line:match "^(%S+) (%d+)$"
  local ok, answer = pcall(function()
    if name ~= prepared then
      call, prepared = nil, nil
      collectgarbage()
      tide.manual_seed(1)
      tide.set_grad_enabled(true)
      call = rows[name]()
      for _ = 1, 3 do call() end -- a compiled step records before it follows
      prepared = name
    end
    local fn, n = call, math.tointeger(count)
    local start, cpu = tide.seconds(), os.clock()
    for _ = 1, n do fn() end
    return ("%.9f %.6f -"):format(tide.seconds() - start, os.clock() - cpu)
  end)
  io.write(ok and answer or "error " .. tostring(answer):gsub("\n", " "), "\n")
  io.flush()
end
