-- What optimizers, schedules, clipping and averages do besides following their curves (test_training.lua).
local tide = require "tide"
local samples = require "samples"
local optimizers = require "optimizers"
local optim = tide.optim

local function fails(fn, ...)
  local ok, message = pcall(fn, ...)
  assert.is_false(ok)
  assert.is_nil(tostring(message):find("/lua/tide/", 1, true), message) -- the user's line
  return tostring(message)
end

local function clone(x)
  if tide.is_tensor(x) then return x:clone() end
  if type(x) ~= "table" then return x end
  local out = {}
  for k, v in pairs(x) do out[k] = clone(v) end
  return out
end

local function leaf(values) return tide.tensor(values):requires_grad_() end

describe("every optimizer", function()
  for _, variant in ipairs(optimizers.variants) do
    local kind, options = variant[1], variant[2]
    it(optimizers.label(variant) .. " trains alike when compiled, and new rates make no new plan", function()
      local eager, plan = optimizers.problem(kind, options), optimizers.problem(kind, options)
      local work = tide.compile(plan.work)
      local recorded
      for i = 1, 14 do
        eager.step(i)
        plan.step(i, work)
        assert.are.equal(eager.hash(), plan.hash())
        if i == 6 then recorded = tide.counters().recordings end
      end
      assert.are.equal(recorded, tide.counters().recordings)
    end)

    it(optimizers.label(variant) .. " goes on from its state bit for bit", function()
      local whole, resumed = optimizers.problem(kind, options), optimizers.problem(kind, options)
      for i = 1, 5 do whole.step(i) end
      tide.no_grad(function() for k, p in ipairs(whole.params) do resumed.params[k]:copy_(p) end end)
      resumed.opt:load_state_dict(clone(whole.opt:state_dict()))
      for i = 6, 10 do
        whole.step(i)
        resumed.step(i)
      end
      assert.are.equal(whole.hash(), resumed.hash())
      assert.are.same(whole.opt:state_dict().groups, resumed.opt:state_dict().groups)
      resumed.opt:load_state_dict(resumed.opt:state_dict()) -- onto itself
      assert.are.equal(whole.hash(), resumed.hash())
    end)
  end

  it("steps alike in a plan that clips, averages and follows a schedule", function()
    local function make()
      local model = tide.nn.Linear(4, 3)
      tide.no_grad(function() for i, p in ipairs(model:parameters()) do p:fill_(0.1 * i) end end)
      local opt = optim.NAdam(model:parameters(), { lr = 0.05 })
      local ema = optim.EMA(model, { decay = 0.8 })
      local function work(x)
        opt:zero_grad()
        local loss = (model(x):tanh() - 0.5):square():sum()
        loss:backward()
        tide.clip_grad_norm_(model, 0.5)
        tide.clip_grad_value_(model, 0.1)
        opt:step()
        ema:update()
        return loss:detach()
      end
      return { work = work, schedule = optim.lr_scheduler.OneCycleLR(opt, 0.1, 20), all = function()
        local list = { table.unpack(model:parameters()) }
        for _, t in ipairs(ema.averages) do list[#list + 1] = t end
        return list
      end }
    end
    local eager, plan = make(), make()
    local compiled, recorded = tide.compile(plan.work), nil
    for i = 1, 16 do
      local x = tide.full({ 2, 4 }, 0.1 * i)
      assert.are.equal(eager.work(x):item(), compiled(x):item())
      assert.are.equal(samples.hash(eager.all()), samples.hash(plan.all()))
      eager.schedule:step()
      plan.schedule:step()
      if i == 6 then recorded = tide.counters().recordings end
    end
    assert.are.equal(recorded, tide.counters().recordings)
  end)

  it("makes one operation of a step, however many parameters", function()
    for _, variant in ipairs(optimizers.variants) do
      local params = {}
      for i = 1, 40 do
        params[i] = tide.full({ i }, 0.5):requires_grad_()
        params[i].grad = tide.ones(i)
      end
      local opt = optim[variant[1]](params, clone(variant[2]))
      opt:step() -- makes the state
      local before = tide.counters().kernels
      opt:step()
      assert.are.equal(1, tide.counters().kernels - before)
    end
  end)

  it("leaves parameters without a gradient alone, and counts their steps apart", function()
    for _, variant in ipairs(optimizers.variants) do
      local a, b = leaf { 1, 2 }, leaf { 1, 2 }
      local opt = optim[variant[1]]({ a, b }, clone(variant[2]))
      a.grad = tide.tensor { 0.5, -0.5 }
      opt:step()
      assert.are.same({ 1, 2 }, b:tolist())
      assert.are.same({ 1, 0 }, { opt:state_dict().state[1].step, opt:state_dict().state[2].step })
      local first = a:tolist()
      a.grad, b.grad = nil, tide.tensor { 0.5, -0.5 }
      opt:step()
      assert.are.same(first, a:tolist())
      assert.are.same(first, b:tolist()) -- the same first step, a step later
    end
  end)

  it("refuses options out of range, by name and by value", function()
    local p = { leaf { 1, 2 } }
    for _, case in ipairs {
      { "SGD", { lr = -1 }, "SGD: lr must lie in %[0, inf%), not %-1" }, { "SGD", { momentum = -0.1 }, "momentum must lie in" },
      { "SGD", { nesterov = true }, "nesterov needs a momentum" }, { "Adam", { betas = { 0.9, 1 } }, "beta2 must lie in %[0, 1%), not 1" },
      { "Adam", { betas = 0.9 }, "betas takes a list of two numbers" }, { "Adam", { betas = { 0.9 } }, "betas takes a list of two numbers" },
      { "Adam", { eps = 0 / 0 }, "eps must lie in" },
      { "Adam", { momentum = 0.9 }, "Adam: no option 'momentum'; it takes lr, weight_decay, maximize, betas, eps" },
      { "AdamW", { weight_decay = -1 }, "weight_decay" }, { "NAdam", { momentum_decay = -1 }, "momentum_decay" },
      { "Adagrad", { initial_accumulator_value = -1 }, "initial_accumulator_value" }, { "Adadelta", { rho = 1.1 }, "rho must lie in %[0, 1%]" },
      { "RMSprop", { alpha = -1 }, "alpha" }, { "Rprop", { etas = { 1.1, 1.2 } }, "etaminus must lie in %(0, 1%)" },
      { "Rprop", { step_sizes = { 2, 1 } }, "step_sizes must be" }, { "Rprop", { weight_decay = 0.1 }, "no option 'weight_decay'" },
      { "Lion", { betas = { -1, 0.5 } }, "beta1" }, { "SGD", { lr = "high" }, "lr cannot be a string" }, { "SGD", { 0.1 }, "options are a table" },
      { "LBFGS", { lr = 0 }, "lr must be positive" }, { "LBFGS", { history_size = 0 }, "history_size must be" }, { "LBFGS", { betas = { 1, 1 } }, "no option" },
      { "LBFGS", { line_search_fn = "armijo" }, "strong_wolfe" },
    } do
      assert.matches(case[3], fails(optim[case[1]], p, case[2]))
    end
    assert.matches("'params': expected a table", fails(optim.LBFGS, { 3 }))
    local opt = optim.Adam(p)
    assert.matches("lr must lie in", fails(function() opt.param_groups[1].lr = 0 / 0 end))
    assert.matches("betas takes", fails(function() opt.param_groups[1].betas = { 0.9, "x" } end))
    assert.are.equal(1e-3, opt.param_groups[1].lr)
    assert.matches("no option 'rho'", fails(function() opt.param_groups[1].rho = 1 end))
    assert.matches("no parameters", fails(optim.Lion, {}))
    assert.matches("not a floating leaf", fails(optim.Lion, { tide.tensor({ 1 }, { dtype = "int64" }) }))
    assert.matches("are the same tensor", fails(optim.Adam, { p[1], p[1] }))
    assert.matches("expected a list of parameters", fails(optim.Adam, p[1]))
    local other = optim.Adam { leaf { 1, 2, 3 } }
    other:step()
    local dict = opt:state_dict()
    dict.state[1] = { step = 1, exp_avg = tide.ones(3), exp_avg_sq = tide.ones(3) }
    assert.matches("another shape", fails(opt.load_state_dict, opt, dict))
    assert.matches("1 parameter groups, the optimizer 2",
      fails(function() optim.Adam { { params = { leaf { 1 } } }, { params = { leaf { 1 } } } }:load_state_dict(dict) end))
  end)

  it("takes groups later, and clears gradients either way", function()
    local a, b = leaf { 1.0 }, leaf { 1.0 }
    local opt = optim.SGD({ a }, { lr = 0.5 })
    opt:add_param_group { params = { b }, lr = 0.25 }
    assert.matches("in two groups", fails(opt.add_param_group, opt, { params = { a } }))
    a.grad, b.grad = tide.ones(1), tide.ones(1)
    opt:step()
    assert.are.same({ 0.5, 0.75 }, { a:item(), b:item() })
    opt:zero_grad(false)
    assert.are.same({ 0 }, a.grad:tolist())
    opt:zero_grad { set_to_none = true }
    assert.is_nil(a.grad)
    assert.matches("needs a closure", fails(function() optim.LBFGS({ a }):step() end))
  end)
end)

describe("help", function()
  it("knows every optimizer and schedule", function()
    for path, set in pairs { ["optim."] = optim, ["optim.lr_scheduler."] = optim.lr_scheduler } do
      for name, fn in pairs(set) do
        if type(fn) == "function" then
          local text = tide.help(path .. name)
          assert.matches("tide." .. path .. name .. "(", text, 1, true)
          assert.is_true(#text > 2 * #name + 60, text)
          assert.is_nil(text:find("attempt to", 1, true), text)
        end
      end
    end
    assert.matches("tide.optim.Adam(params, {lr = 0.001, weight_decay = 0, maximize = false, betas = {0.9, 0.999}", tide.help "optim.Adam", 1, true)
    assert.matches("beta2 must lie in", tide.help "optim.Adam")
    assert.matches("the rate times gamma every step_size epochs", tide.help "optim.lr_scheduler.StepLR")
  end)
end)

describe("L-BFGS", function()
  it("goes on from its state bit for bit, and climbs with maximize", function()
    local function rosenbrock(x, sign)
      local a, b = x:select(1, 1), x:select(1, 2)
      return ((1.0 - a):square() + (b - a * a):square() * 100.0) * sign
    end
    local function closure(opt, x, sign)
      return function()
        opt:zero_grad()
        local loss = rosenbrock(x, sign)
        loss:backward()
        return loss
      end
    end
    local function make(options)
      local x = tide.tensor({ -1.5, 2 }, { dtype = "float64" }):requires_grad_()
      options.line_search_fn, options.max_iter = "strong_wolfe", 5
      return x, optim.LBFGS({ x }, options)
    end
    local x, opt = make {}
    local y, up = make { maximize = true }
    for _ = 1, 4 do
      opt:step(closure(opt, x, 1))
      up:step(closure(up, y, -1))
    end
    assert.are.same(x:tolist(), y:tolist())
    local z, again = make {}
    tide.no_grad(function() z:copy_(x) end)
    again:load_state_dict(clone(opt:state_dict()))
    for _ = 1, 8 do
      opt:step(closure(opt, x, 1))
      again:step(closure(again, z, 1))
    end
    assert.are.same(x:tolist(), z:tolist())
    assert.is_true(math.abs(x:tolist()[1] - 1) < 1e-5 and math.abs(x:tolist()[2] - 1) < 1e-5)
  end)
end)

describe("clipping", function()
  local function gradients(...)
    local list = {}
    for i, g in ipairs { ... } do
      list[i] = tide.zeros_like(g):requires_grad_()
      list[i].grad = g
    end
    return list
  end
  it("by value, NaN stays", function()
    local p = gradients(tide.tensor { -3, 0.5, 2, 0 / 0 }, tide.tensor(7.0), tide.tensor({ 9, -9 }, { dtype = "float64" }))
    p[4] = leaf { 1 } -- without a gradient
    tide.nn.utils.clip_grad_value_(p, 1.5)
    local first = p[1].grad:tolist()
    assert.are.same({ -1.5, 0.5, 1.5 }, { first[1], first[2], first[3] })
    assert.is_true(first[4] ~= first[4])
    assert.are.equal(1.5, p[2].grad:item())
    assert.are.same({ 1.5, -1.5 }, p[3].grad:tolist())
    assert.matches("must not be negative", fails(tide.nn.utils.clip_grad_value_, p, -1))
  end)
  it("by norm, of one or several dtypes, 0-d among them", function()
    local p = gradients(tide.tensor(2.0), tide.tensor { 3, 6 }, tide.tensor({ 0, 24 }, { dtype = "float64" }))
    assert.are.equal(25, tide.nn.utils.clip_grad_norm_(p, 5):item())
    local factor = 5 / (25 + 1e-6)
    for i, want in ipairs { { 2 }, { 3, 6 }, { 0, 24 } } do
      for k, v in ipairs(p[i].grad:reshape({ -1 }):tolist()) do assert.is_true(math.abs(v - want[k] * factor) < 1e-6) end
    end
    assert.matches("must not be negative", fails(tide.nn.utils.clip_grad_norm_, p, -1))
    assert.are.equal(0, tide.clip_grad_norm_({ leaf { 1 } }, 1):item())
  end)
  it("by other norms, and refuses what is not finite if asked to", function()
    for _, case in ipairs { { 1, 13 }, { 3, (27 + 1000) ^ (1 / 3) }, { math.huge, 10 } } do
      local p = gradients(tide.tensor { -3, 0 }, tide.tensor(10.0))
      assert.is_true(math.abs(tide.clip_grad_norm_(p, 2, case[1]):item() - case[2]) < 1e-5)
      assert.is_true(math.abs(p[1].grad:tolist()[1] + 6 / case[2]) < 1e-6)
      assert.is_true(math.abs(p[2].grad:item() - 20 / case[2]) < 1e-6)
    end
    local p = gradients(tide.tensor { 1, 1 / 0 })
    assert.matches("not finite", fails(tide.clip_grad_norm_, p, 1, { error_if_nonfinite = true }))
    assert.are.same({ 1, 1 / 0 }, p[1].grad:tolist())
    assert.matches("norm_type must be positive", fails(tide.clip_grad_norm_, p, 1, 0))
    assert.matches("entry 1': expected a tensor", fails(tide.clip_grad_norm_, { 3 }, 1, 3))
    local model = tide.nn.Linear(2, 1)
    model(tide.ones(1, 2)):sum():backward()
    tide.clip_grad_norm_(model, 1.5)
    assert.is_true(math.abs(tide.clip_grad_norm_(model, 100):item() - 1.5) < 1e-5)
  end)
end)

describe("averages", function()
  it("follow the formula, are swapped in and out, and go on from their state", function()
    local model = tide.nn.Linear(3, 2)
    local ema = optim.EMA(model, { decay = 0.9 })
    local mean = optim.EMA(model, { decay = "mean" })
    local want, sum, other
    for step = 1, 6 do
      tide.no_grad(function() for _, p in ipairs(model:parameters()) do p:add_(0.1 * step) end end)
      ema:update()
      mean:update()
      local w = model.weight:detach():to("float64")
      want = want and want * 0.9 + w * 0.1 or w
      sum = sum and sum + w or w
      if step == 3 then
        other = optim.EMA(model, { decay = 0.9 })
        other:load_state_dict(clone(ema:state_dict()))
      elseif step > 3 then
        other:update()
      end
    end
    local function near(a, b) return (a:to("float64") - b):abs():max():item() < 1e-6 end
    assert.is_true(near(ema.averages[1], want))
    assert.is_true(near(mean.averages[1], sum / 6))
    assert.are.equal(samples.hash(ema.averages), samples.hash(other.averages))
    local before, averages = samples.hash(model:parameters()), samples.hash(ema.averages)
    ema:average(function() assert.are.equal(averages, samples.hash(model:parameters())) end)
    assert.matches("inside", fails(ema.average, ema, function() error "inside" end))
    assert.are.equal(before, samples.hash(model:parameters()))
    assert.are.equal(averages, samples.hash(ema.averages))
    ema:copy_to()
    assert.are.equal(averages, samples.hash(model:parameters()))
    assert.matches("decay must lie", fails(optim.EMA, model, { decay = 2 }))
    assert.matches("no option", fails(optim.EMA, model, { rate = 2 }))
    assert.matches("'fn': expected a function", fails(ema.average, ema, 3))
  end)
end)

describe("schedules", function()
  local S = optim.lr_scheduler
  local function sgd(options) return optim.SGD({ { params = { leaf { 1 } } }, { params = { leaf { 1 } }, lr = 0.2 } }, options or { lr = 0.1, momentum = 0.9 }) end
  it("take arguments in order or by name, and serve every group", function()
    local a, b = sgd(), sgd()
    local s, t = S.StepLR(a, 2, 0.5), S.StepLR(b, { gamma = 0.5, step_size = 2 })
    for _ = 1, 3 do s:step() t:step() end
    assert.are.same({ 0.05, 0.1 }, s:get_last_lr())
    assert.are.same({ 0.05, 0.1 }, t:get_last_lr())
    local f = S.LambdaLR(sgd(), { function() return 1 end, function(e) return 1 / (e + 1) end })
    f:step()
    assert.are.same({ 0.1, 0.1 }, f:get_last_lr())
    assert.are.equal("StepLR(step_size=2, gamma=0.5)", tostring(s))
  end)
  local function rates(s, n)
    local list = { s.optimizer.param_groups[1].lr }
    for i = 1, n do
      s:step()
      s.optimizer:step()
      list[i + 1] = s.optimizer.param_groups[1].lr
    end
    return list
  end
  local function near(want, got)
    assert.are.equal(#want, #got)
    for i, x in ipairs(want) do assert.is_true(math.abs(x - got[i]) < 1e-15, ("%g instead of %g"):format(got[i], x)) end
  end
  it("may take the rate to 0 and below, where PyTorch's do", function()
    near({ 0.1 / 3, 0.025, 0.05 / 3, 0.025 / 3, 0.0, 0.0 }, rates(S.LinearLR(sgd(), { end_factor = 0.0, total_iters = 4 }), 5))
    local one = S.OneCycleLR(sgd(), { max_lr = 0.1, total_steps = 10, anneal_strategy = "linear" })
    near({ 3.999999999976245e-07, -0.014285257142857138 }, { table.unpack(rates(one, 10), 10) })
    assert.matches("OneCycleLR: step 11 of 10", fails(one.step, one))
    local opt = sgd { lr = 1.0 }
    local chained = S.ChainedScheduler { S.StepLR(opt, 1, 0.611), S.CosineAnnealingLR(opt, 29, 0.01) }
    near({ -0.03596598212267054 }, { rates(chained, 35)[36] })
    local bfgs = optim.LBFGS { leaf { 1 } } -- goes on from a rate of 0
    local low = S.LinearLR(bfgs, { end_factor = 0.0, total_iters = 1 })
    low:step()
    local again = optim.LBFGS { leaf { 1 } }
    again:load_state_dict(bfgs:state_dict())
    assert.are.same({ 0.0, 1.0 }, { again.param_groups[1].lr, again.param_groups[1].initial_lr })
  end)
  it("take milestones at 0, and often", function()
    near({ 0.05, 0.05, 0.025, 0.025 }, rates(S.MultiStepLR(sgd(), { 0, 2 }, 0.5), 3))
    near({ 0.025, 0.025, 0.025, 0.0125 }, rates(S.MultiStepLR(sgd(), { 0, 0, 3 }, 0.5), 3))
    local jumped = S.MultiStepLR(sgd(), { 0, 2 }, 0.5)
    jumped:step(0)
    near({ 0.05 }, { jumped:get_last_lr()[1] })
  end)
  it("refuse what is no number from a function", function()
    local function text() return "low" end
    assert.matches("LambdaLR: lr_lambda must return a number, not a string", fails(S.LambdaLR, sgd(), text))
    assert.matches("MultiplicativeLR: lr_lambda must return", fails(rates, S.MultiplicativeLR(sgd(), text), 1))
    assert.matches("CyclicLR: scale_fn must return", fails(S.CyclicLR, sgd(), 0.1, 0.2, { scale_fn = text }))
  end)
  it("move the first of betas where there is no momentum", function()
    local opt = optim.Adam({ leaf { 1 } }, { betas = { 0.9, 0.99 } })
    S.OneCycleLR(opt, 0.1, 10)
    assert.are.same({ 0.95, 0.99 }, opt.param_groups[1].betas)
    assert.matches("cycle_momentum", fails(S.OneCycleLR, optim.Adagrad { leaf { 1 } }, 0.1, 10))
  end)
  it("refuse what they cannot use", function()
    local opt = sgd()
    for _, case in ipairs {
      { "StepLR", {}, "step_size is missing" }, { "StepLR", { 0 }, "step_size must be a positive integer, not 0" }, { "StepLR", { 1, { gama = 2 } }, "no option 'gama'" },
      { "MultiStepLR", { { 5, 3 } }, "rising list" }, { "ConstantLR", { 2 }, "in %(0, 1%]" }, { "LambdaLR", { 3 }, "lr_lambda must be a function" },
      { "LambdaLR", { { math.sqrt } }, "1 values for 2 groups" }, { "CosineAnnealingWarmRestarts", { 0 }, "T_0" }, { "OneCycleLR", { 0.1 }, "give total_steps" },
      { "CyclicLR", { 0.1, 0.2, { mode = "round" } }, "triangular or triangular2 or exp_range" }, { "ReduceLROnPlateau", { "low" }, "mode must be min or max" },
      { "SequentialLR", { {}, {} }, "list of schedules" }, { "SequentialLR", { { S.StepLR(opt, 1) }, { 3 } }, "1 schedules need 0 milestones" },
    } do
      assert.matches(case[3], fails(S[case[1]], opt, table.unpack(case[2])))
    end
    assert.matches("expected an optimizer", fails(S.StepLR, {}, 3))
    assert.matches("not a schedule of the same optimizer", fails(S.ChainedScheduler, { S.StepLR(opt, 1), S.StepLR(sgd(), 1) }))
    assert.matches("step takes the metric", fails(function() S.ReduceLROnPlateau(opt):step() end))
    local once = S.OneCycleLR(opt, 0.1, 2)
    once:step() once:step()
    assert.matches("step 3 of 2", fails(once.step, once))
    assert.matches("no state of a schedule", fails(once.load_state_dict, once, {}))
  end)
end)
