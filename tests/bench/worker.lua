--- Runs rows for run.lua: reads "NAME COUNT" lines, answers "SECONDS NOTE", the seconds of COUNT calls, or "error MESSAGE".
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
    local start = tide.seconds()
    for _ = 1, n do fn() end
    return tide.seconds() - start
  end)
  io.write(ok and ("%.9f -\n"):format(answer) or ("error %s\n"):format(tostring(answer):gsub("\n", " ")))
  io.flush()
end
