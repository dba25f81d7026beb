--- The goalkeeper of game.c: learns where shots arrive from those it has seen. Change this file while the game runs: it
-- is loaded again, and keeps what it knows.
-- luacheck: globals net optimizer keeper
local tide = require "tide"
local nn, F = tide.nn, tide.nn.functional

local hidden, batch = 32, 64
tide.manual_seed(1)
net = nn.Sequential(nn.Linear(4, hidden), nn.Tanh(), nn.Linear(hidden, hidden), nn.Tanh(), nn.Linear(hidden, 1))
optimizer = tide.optim.Adam(net:parameters(), { lr = 3e-3 })

local step = tide.compile(function(x, y)
  optimizer:zero_grad()
  local loss = F.mse_loss(net(x), y)
  loss:backward()
  optimizer:step()
  return loss
end)

keeper = { steps = 0 }

-- Runs for ever, in slices: nothing in here knows of frames. The tensors lie in the game's own arrays, where it writes
-- every shot; `seen` is how many there are.
function keeper.learn(shots, arrivals, seen)
  while true do
    local n = seen:item()
    if n < batch then
      coroutine.yield() -- nothing to do in this frame
    else
      local rows = (tide.rand(batch) * n):to "int64" + 1
      step(shots:index_select(1, rows), arrivals:index_select(1, rows))
      keeper.steps = keeper.steps + 1
    end
  end
end

function keeper.guess(shot) return tide.no_grad(net, shot) end

function keeper.count() return keeper.steps end
