-- Trains the digits' network for many steps and never calls the collector: lua5.4 memory.lua STEPS eager|compiled
-- Fails if more than 1.5 times as much is resident as after the first 100 steps. Half a million live tables stand beside,
-- as in a host that does other things: Lua's own pace then leaves garbage lying long.
local tide = require "tide"
local nn, F = tide.nn, tide.nn.functional
local steps, eager = math.tointeger(tonumber(arg[1])), arg[2] == "eager"

local function resident()
  for line in io.lines "/proc/self/status" do
    local kib = line:match "^VmRSS:%s*(%d+)"
    if kib then return math.tointeger(tonumber(kib)) end
  end
end

local beside = {}
for i = 1, 500000 do beside[i] = { i } end

tide.manual_seed(1)
local x = tide.rand(1024, 64)
local y = x:narrow(2, 1, 10):argmax(2)
local model = nn.Sequential { nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10) }
local opt = tide.optim.Adam(model:parameters(), { lr = 1e-3 })
local function step(xb, yb)
  local loss = F.cross_entropy(model(xb), yb)
  opt:zero_grad()
  loss:backward()
  opt:step()
  return loss
end
if not eager then step = tide.compile(step) end

local done, early, most, first, last = 0, 0, 0, nil, nil
while done < steps do
  for xb, yb in tide.data.DataLoader({ x, y }, { batch_size = 32, shuffle = true, seed = done }) do
    local loss = step(xb, yb)
    done = done + 1
    if done == 100 then early = resident() end
    if done % 100 == 0 then
      most = math.max(most, resident())
      last = loss:item()
      first = first or last
    end
  end
end
assert(#beside == 500000 and last < first, "it does not learn")
print(("%s: %d MiB after 100 steps, at most %d MiB later, ratio %.2f"):format(arg[2], early // 1024, most // 1024, most / early))
os.exit(most <= 1.5 * early, true)
