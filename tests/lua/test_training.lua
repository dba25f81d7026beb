-- Optimizers, schedules and pruning against recorded runs of PyTorch and the published formulas.
local tide = require "tide"
local json = require "json"
local root = os.getenv("TIDE_ROOT") .. "/tests/data/"

local function close(got, want, tolerance, what)
  assert(math.abs(got - want) <= tolerance, ("%s: got %.17g, expected %.17g"):format(what, got, want))
end

local function flat(list, out)
  out = out or {}
  for _, x in ipairs(list) do
    if type(x) == "table" then flat(x, out) else out[#out + 1] = x end
  end
  return out
end

describe("optimizers", function()
  local data = json(root .. "optimizers.json")
  local f64 = { dtype = "float64" }

  local function tensors(problem)
    local t = {}
    for k, v in pairs(problem) do
      if type(v) == "table" then t[k] = tide.tensor(v, f64) else t[k] = v end
    end
    return t
  end

  local function bowl(p, W, b)
    local diff = W - p.T
    local s = W:sum() - b:sum()
    return (p.c * diff * diff):sum() / 2.0 + (p.d * ((b - p.u):exp() / 2.0 + (p.u - b):exp() / 2.0):log()):sum() + s * s * p.k / 2.0
  end
  local function valley(_, W, b)
    local x, y = W:select(2, 1), W:select(2, 2)
    return ((b - x * x):square() * 10.0 + (1.0 - x):square() + (y - x * b):square()):sum()
  end

  for number, case in ipairs(data.cases) do
    it(("%d: %s follows PyTorch's"):format(number, case.optimizer), function()
      local problem = data.problems[case.problem]
      local p = tensors(problem)
      local W = tide.tensor(problem.W, f64):requires_grad_(true)
      local b = tide.tensor(problem.b, f64):requires_grad_(true)
      local args = {}
      for k, v in pairs(case.args) do args[k] = v end
      local params = { W, b }
      if case.groups then
        params = {}
        for i, name in ipairs { "W", "b" } do
          params[i] = { params = { name == "W" and W or b } }
          for k, v in pairs(case.groups[name]) do params[i][k] = v end
        end
      end
      local opt = tide.optim[case.optimizer](params, args)
      local loss = case.problem == "bowl" and bowl or valley
      local tolerance = case.optimizer == "LBFGS" and 1e-6 or 1e-10 -- its line search branches
      for step = 1, #case.loss do
        local function closure()
          opt:zero_grad()
          local l = loss(p, W, b)
          l:backward()
          return l
        end
        close(opt:step(closure):item(), case.loss[step], tolerance * 10, ("loss %d"):format(step))
        for name, t in pairs { W = W, b = b } do
          local got, want = flat({ t:tolist() }), flat(case[name][step])
          for i = 1, #want do close(got[i], want[i], tolerance, ("%s[%d] after step %d"):format(name, i, step)) end
        end
      end
      local state = opt:state_dict().state
      if case.averaged_last then
        for i, name in ipairs { "W", "b" } do
          local got, want = flat({ state[i].ax:tolist() }), flat(case.averaged_last[name])
          for k = 1, #want do close(got[k], want[k], tolerance, "average of " .. name) end
        end
      end
      if case.function_evaluations then assert.are.equal(case.function_evaluations, state[1].func_evals) end
    end)
  end
end)

describe("schedules", function()
  local lambdas = {
    ["1/sqrt(1+t)"] = function(t) return 1 / math.sqrt(1 + t) end,
    ["0.5^(t//10)"] = function(t) return 0.5 ^ (t // 10) end,
    ["noam: 64^-0.5 * min((t+1)^-0.5, (t+1)*15^-1.5)"] = function(t) return 64 ^ -0.5 * math.min((t + 1) ^ -0.5, (t + 1) * 15 ^ -1.5) end,
    ["0.97 where t is even, else 1"] = function(t) return t % 2 == 0 and 0.97 or 1.0 end,
  }
  local S = tide.optim.lr_scheduler
  local function make(opt, case)
    local a = case.args
    if a["factor(t)"] then return S[case.schedule](opt, lambdas[a["factor(t)"]]) end
    if not a.schedulers then return S[case.schedule](opt, a) end
    local parts = {}
    for i, kid in ipairs(a.schedulers) do parts[i] = make(opt, kid) end
    if case.schedule == "SequentialLR" then return S.SequentialLR(opt, parts, a.milestones) end
    return S.ChainedScheduler(parts)
  end
  local function sgd(case) return tide.optim.SGD({ tide.zeros(1):requires_grad_(true) }, { lr = case.base_lr, momentum = 0.9 }) end
  local function follow(case, opt, schedule, from, to)
    for t = from, to do
      local group = opt.param_groups[1]
      close(group.lr, case.lr[t], 1e-10 * math.abs(case.lr[t]) + 1e-300, "lr " .. t)
      if case.momentum then close(group.momentum, case.momentum[t], 1e-10, "momentum " .. t) end
      if t < #case.lr then schedule:step(case.metric and case.metric[t]) end
    end
  end
  for _, case in ipairs(json(root .. "schedules.json").cases) do
    it(case.name, function()
      local opt = sgd(case)
      follow(case, opt, make(opt, case), 1, #case.lr)
    end)
    it(case.name .. " goes on from its state", function()
      local opt = sgd(case)
      local first = make(opt, case)
      follow(case, opt, first, 1, 23)
      local saved, options = first:state_dict(), opt:state_dict()
      local again = sgd(case)
      local second = make(again, case)
      again:load_state_dict(options)
      second:load_state_dict(saved)
      follow(case, again, second, 24, #case.lr)
      follow(case, opt, first, 24, #case.lr)
      assert.are.same(first:state_dict(), second:state_dict())
    end)
  end
end)

describe("pruning", function()
  local data = json(root .. "polynomial_pruning.json")
  local function schedule(s)
    if s.schedule == "ConstantSparsity" then
      return tide.prune.ConstantSparsity { target_sparsity = s.final_sparsity or s.target_sparsity, begin_step = s.begin_step, end_step = s.end_step, frequency = s.frequency }
    end
    return tide.prune.PolynomialDecay { initial_sparsity = s.initial_sparsity, final_sparsity = s.final_sparsity, power = s.power,
      begin_step = s.begin_step, end_step = s.end_step, frequency = s.frequency }
  end
  for _, s in ipairs(data.schedules) do
    it("schedule " .. s.name, function()
      local f, due = schedule(s), {}
      for step = 0, #s.formula - 1 do
        local now, sparsity = f(step)
        close(sparsity, s.formula[step + 1], 1e-12, "sparsity at " .. step)
        if now then due[#due + 1] = step end
      end
      assert.are.same(s.update, due)
    end)
  end
  local function weights(name) return tide.tensor(data.weights[name].values):reshape(data.weights[name].shape) end
  local function text(mask) return (table.concat(mask:to("int64"):reshape({ -1 }):tolist())) end
  for i, m in ipairs(data.masks) do
    it(("mask %d: %s at %g"):format(i, m.weights, m.sparsity), function()
      assert.are.equal(m.mask, text(tide.prune.magnitude_mask(weights(m.weights), m.sparsity)))
    end)
  end
  it("a run keeps zeros at zero", function()
    local run, s = data.run, nil
    for _, x in ipairs(data.schedules) do
      if x.name == run.schedule then s = x end
    end
    local w = weights(run.weights):requires_grad_(true)
    local pruner = tide.prune.Pruner(nil, schedule(s), { params = { w } })
    local at = 1
    for step = 0, s.end_step do
      pruner:step()
      if run.masks[at] and run.masks[at].step == step then
        assert.are.equal(run.masks[at].mask, text(pruner.entries[1].mask))
        at = at + 1
      end
    end
  end)
  it("keeps masks through optimizer steps, and strips", function()
    tide.manual_seed(1)
    local model = tide.nn.Linear(8, 8)
    local opt = tide.optim.Adam(model:parameters(), { lr = 0.1 })
    local pruner = tide.prune.Pruner(model, tide.prune.ConstantSparsity { target_sparsity = 0.75, frequency = 1000 }):attach(opt)
    for _ = 1, 5 do
      opt:zero_grad()
      model(tide.randn(4, 8)):square():sum():backward()
      opt:step()
      assert.are.equal(48, model.weight:eq(0):sum():item())
    end
    pruner:strip()
    local report = tide.prune.sparsity(model)
    assert.are.equal(0.75, report[#report].sparsity)
  end)
end)

describe("a compiled function that is gone", function()
  it("takes its steps with it", function()
    local w = tide.randn(8, 8)
    local function several(n)
      for i = 1, n do
        local f = tide.compile(function(x) return (x * i):sum() end)
        for _ = 1, 4 do f(w) end
      end
      collectgarbage()
      collectgarbage()
      return tide.memory().live
    end
    local before = several(5)
    assert(several(100) <= before + 4096)
  end)
end)
