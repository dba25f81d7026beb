--- A process from its start to its first result, with its peak of resident memory; and what lies on the disk.
-- Gives seconds, start_memory and disk (bytes); with a python the same with peer_ before, and ratio.
local tide = require "tide"

local MINE = [[-e 'local t = require "tide" assert((t.ones(2) + 1):sum():item() == 4)
  print(io.open("/proc/self/status"):read("a"):match("VmHWM:%s*(%d+)"))']]
local THEIRS = [[-c 'import torch, re; assert (torch.ones(2) + 1).sum().item() == 4
print(re.search(r"VmHWM:\s*(\d+)", open("/proc/self/status").read())[1])']]

return function(o)
  local function once(command)
    local begun = tide.seconds()
    local kb = tonumber(o.capture("exec " .. command))
    return tide.seconds() - begun, kb * 1024
  end
  local seconds, memory, peer_seconds, peer_memory, ratios = {}, {}, {}, {}, {}
  if o.python then once(o.python .. " " .. THEIRS) end -- from a warm disk
  for i = 1, o.pairs do
    seconds[i], memory[i] = once(o.program .. " " .. MINE)
    if o.python then
      peer_seconds[i], peer_memory[i] = once(o.python .. " " .. THEIRS)
      ratios[i] = peer_seconds[i] / seconds[i]
    end
  end

  -- the program, the library and the Lua files, without debugging information
  local disk = tonumber(o.capture("du -sb " .. o.lua):match "%d+")
  for _, file in ipairs { o.program, o.program:gsub("[^/]*$", "") .. "libtide.so" } do
    disk = disk + (tonumber(o.capture(("strip -o %s/stripped %s 2>&1 && stat -Lc %%s %s/stripped"):format(o.folder, file, o.folder))) or 0)
  end
  local result = { seconds = o.median(seconds), start_memory = o.median(memory), disk = disk }
  if o.python then
    result.peer_seconds, result.peer_start_memory, result.ratio = o.median(peer_seconds), o.median(peer_memory), o.median(ratios)
    local where = o.capture(o.python .. " -c 'import torch, os; print(os.path.dirname(torch.__file__))'"):match "[^\n]+"
    result.peer_disk = tonumber(o.capture("du -sb " .. where):match "%d+")
  end
  return result
end
