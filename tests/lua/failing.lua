-- What test_failures.c runs while allocations fail: an MLP trained, evaluated and summed up in a few bytes of text; a
-- gradient written in Lua, in a scope; and files.
local tide = require "tide"
local nn, F = tide.nn, tide.nn.functional

return function()
  tide.manual_seed(3)
  local x = tide.randn(16, 8)
  local y = x:sum(2):gt(0):to("int64")
  local model = nn.Sequential { nn.Linear(8, 12), nn.ReLU(), nn.Dropout(0.1), nn.Linear(12, 2) }
  local opt = tide.optim.Adam(model:parameters(), { lr = 0.01 })
  local schedule = tide.optim.lr_scheduler.StepLR(opt, 3)
  local step = tide.compile(function(xb, yb)
    local loss = F.cross_entropy(model(xb), yb)
    opt:zero_grad()
    loss:backward()
    opt:step()
    return loss
  end)
  local text = {}
  for xb, yb in tide.data.DataLoader({ x, y }, { batch_size = 4, shuffle = true, seed = 1 }) do
    text[#text + 1] = ("%a"):format(step(xb, yb):item())
    schedule:step()
  end
  model:eval()
  local right = tide.no_grad(function() return model(x):argmax(2):eq(y):sum():item() end)
  text[#text + 1] = ("%d %s %s"):format(right, model, tostring(x[{ { 1, 2 } }]))
  local cube = tide.custom {
    forward = function(ctx, v) ctx.v = v; return v * v * v end,
    backward = function(ctx, g) return g * ctx.v * ctx.v * 3 end,
  }
  local w <const> = tide.ones(3):requires_grad_(true)
  tide.scope(function() cube(w * 2):sum():backward() end)
  text[#text + 1] = tostring(w.grad)
  for name, t in pairs(model:state_dict()) do text[#text + 1] = name .. table.concat(t.shape, "x") end
  -- files: what is read, and a file that is replaced
  local pth = assert(tide.load "tests/data/pth/tensor.pth")
  local gguf, about = assert(tide.load "tests/data/gguf/ok-plain.gguf")
  local npz = assert(tide.load "tests/data/npz/stored.npz")
  local path = os.getenv "TIDE_SCRATCH" .. "/x.npz"
  assert(tide.save(path, { a = pth, b = gguf.f32:t() }))
  local back = assert(tide.load(path))
  text[#text + 1] = ("%s %s %s"):format(back.a, back.b, back.a:sum():item())
  text[#text + 1] = ("%s %d %s"):format(about["general.name"], #about["m.strings"], npz.b)
  table.sort(text)
  return table.concat(text, "\n")
end
