--- L-BFGS (Nocedal and Wright, Numerical Optimization, algorithms 7.4 and 7.5), with a line search for the strong Wolfe
-- conditions (algorithms 3.5 and 3.6, cubic interpolation); PyTorch's options, tolerances and order of decisions.
local tide = require "tide.core"
local expect = require("tide.arguments").one
local Optimizer = require("tide.optim.optimizer").Optimizer

local LBFGS = setmetatable({ __name = Optimizer.__name, __tostring = Optimizer.__tostring }, Optimizer)
LBFGS.__index = LBFGS

local function dot(a, b) return (a * b):sum():item() end
local function largest(x) return x:abs():max():item() end

-- ---- the parameters as one vector ----

local function flat_grad(self)
  local parts = {}
  for i, p in ipairs(self.params) do
    local g = p.grad
    parts[i] = (g or tide.zeros_like(p)):reshape { -1 }
  end
  local all = tide.cat(parts):detach()
  return self.param_groups[1].maximize and -all or all
end

local function clone_params(self)
  local list = {}
  for i, p in ipairs(self.params) do list[i] = p:detach():clone() end
  return list
end
local function set_params(self, list)
  for i, p in ipairs(self.params) do p:copy_(list[i]) end
end
local function move(self, t, d)
  local at = 1
  for _, p in ipairs(self.params) do
    local n = p:numel()
    p:add_(d:narrow(1, at, n):reshape(p.shape), { alpha = t })
    at = at + n
  end
end

-- The loss as a number to be made small, and its gradient.
local function evaluate(self, closure)
  local loss = tide.enable_grad(closure)
  self.memory.func_evals = self.memory.func_evals + 1
  local value = type(loss) == "number" and loss or loss ~= nil and loss.item and loss:item()
  if type(value) ~= "number" then tide._fail("LBFGS: the closure must return the loss") end
  return self.param_groups[1].maximize and -value or value, flat_grad(self), loss
end

-- ---- the line search: a point is {t, f, g, slope} ----

-- The minimum of the cubic through two points, kept within [low, high].
local function cubic(a, b, low, high)
  if a.t > b.t then a, b = b, a end
  low, high = low or a.t, high or b.t
  local d1 = a.slope + b.slope - 3 * (a.f - b.f) / (a.t - b.t)
  local square = d1 * d1 - a.slope * b.slope
  if square < 0 or square ~= square then return (low + high) / 2 end
  local d2 = math.sqrt(square)
  local t = b.t - (b.t - a.t) * ((b.slope + d2 - d1) / (b.slope - a.slope + 2 * d2))
  return math.min(math.max(t, low), high)
end

-- at(t): the point at step t; start: the one at 0. Returns the point to go to.
local function strong_wolfe(at, start, t, reach, tolerance, limit)
  local c1, c2 = 1e-4, 0.9
  local function too_high(p) return p.f > start.f + c1 * p.t * start.slope end
  local function flat(p) return math.abs(p.slope) <= -c2 * start.slope end
  local before, now, n = start, at(t), 0
  local low, high
  while n < limit do -- go on until two points have a minimum between them
    if too_high(now) or (n > 1 and now.f >= before.f) or (now.slope >= 0 and not flat(now)) then
      low, high = before, now
      break
    end
    if flat(now) then return now end
    local next_t = cubic(before, now, now.t + 0.01 * (now.t - before.t), now.t * 10)
    before, now = now, at(next_t)
    n = n + 1
  end
  if not low then low, high = start, now end
  local function order()
    if low.f > high.f then low, high = high, low end
  end
  order()
  local stuck = false
  while n < limit and math.abs(high.t - low.t) * reach >= tolerance do
    local left, right = math.min(low.t, high.t), math.max(low.t, high.t)
    local step, edge = cubic(low, high), 0.1 * (right - left)
    if math.min(right - step, step - left) < edge then -- too near to an end, twice: a tenth away from it
      if stuck or step >= right or step <= left then
        step = math.abs(step - right) < math.abs(step - left) and right - edge or left + edge
        stuck = false
      else
        stuck = true
      end
    else
      stuck = false
    end
    now, n = at(step), n + 1
    if too_high(now) or now.f >= low.f then
      high = now
      order()
    else
      if flat(now) then return now end
      if now.slope * (high.t - low.t) >= 0 then high = low end
      low = now
    end
  end
  return low
end

-- ---- the direction ----

local function direction(m, g)
  local q, al = -g, {}
  for i = #m.old_dirs, 1, -1 do
    al[i] = dot(m.old_stps[i], q) * m.ro[i]
    q:add_(m.old_dirs[i], { alpha = -al[i] })
  end
  local r = q * m.H_diag
  for i = 1, #m.old_dirs do
    r:add_(m.old_stps[i], { alpha = al[i] - dot(m.old_dirs[i], r) * m.ro[i] })
  end
  return r
end

local function remember(m, g, history)
  local y, s = g - m.prev_flat_grad, m.d * m.t
  local ys = dot(y, s)
  if ys <= 1e-10 then return end
  if #m.old_dirs == history then
    for _, name in ipairs { "old_dirs", "old_stps", "ro" } do table.remove(m[name], 1) end
  end
  table.insert(m.old_dirs, y)
  table.insert(m.old_stps, s)
  table.insert(m.ro, 1 / ys)
  m.H_diag = ys / dot(y, y)
end

-- ---- the optimizer ----

-- One step, nothing recorded. Returns the first loss.
local function iterate(self, closure)
  local o, m = self.param_groups[1], self.memory
  local max_eval = o.max_eval or o.max_iter * 5 // 4
  local begun = m.func_evals
  local loss, g, first = evaluate(self, closure)
  if largest(g) <= o.tolerance_grad then return first end
  for n = 1, o.max_iter do
    m.n_iter = m.n_iter + 1
    if m.n_iter == 1 then
      m.d, m.old_dirs, m.old_stps, m.ro, m.H_diag = -g, {}, {}, {}, 1
    else
      remember(m, g, o.history_size)
      m.d = direction(m, g)
    end
    m.prev_flat_grad, m.prev_loss = g, loss
    m.t = m.n_iter == 1 and math.min(1, 1 / g:abs():sum():item()) * o.lr or o.lr
    local slope = dot(g, m.d)
    if slope > -o.tolerance_change then break end
    local done = false
    if o.line_search_fn then
      local origin = clone_params(self)
      local function at(t)
        move(self, t, m.d)
        local f, grad = evaluate(self, closure)
        set_params(self, origin)
        return { t = t, f = f, g = grad, slope = dot(grad, m.d) }
      end
      local start = { t = 0, f = loss, g = g, slope = slope }
      local found = strong_wolfe(at, start, m.t, largest(m.d), o.tolerance_change, max_eval - (m.func_evals - begun))
      loss, g, m.t = found.f, found.g, found.t
      move(self, m.t, m.d)
      done = largest(g) <= o.tolerance_grad
    else
      move(self, m.t, m.d)
      if n ~= o.max_iter then
        loss, g = evaluate(self, closure)
        done = largest(g) <= o.tolerance_grad
      end
    end
    if done or n == o.max_iter or m.func_evals - begun >= max_eval or largest(m.d) * math.abs(m.t) <= o.tolerance_change
      or math.abs(loss - m.prev_loss) < o.tolerance_change then
      break
    end
  end
  return first
end

--- The closure clears the gradients, works out the loss, calls backward and returns the loss; it runs
-- several times. Returns its first loss.
function LBFGS:step(closure)
  if type(closure) ~= "function" then tide._fail("LBFGS: step needs a closure that returns the loss") end
  local result
  tide.no_grad(function() result = iterate(self, closure) end)
  for _, fn in ipairs(self.hooks) do fn(self) end
  return result
end

--- An error: all parameters are one group.
function LBFGS.add_param_group() tide._fail("LBFGS: takes one group of parameters") end

local saved = { "n_iter", "func_evals", "d", "t", "old_dirs", "old_stps", "ro", "H_diag", "prev_flat_grad", "prev_loss" }

local function clone(x)
  if tide.is_tensor(x) then return x:clone() end
  if type(x) ~= "table" then return x end
  local out = {}
  for k, v in pairs(x) do out[k] = clone(v) end
  return out
end

local function positive(x) return type(x) == "number" and x > 0 end
local function natural(x) return math.type(x) == "integer" and x >= 1 end
local function tolerance(x) return type(x) == "number" and x >= 0 end
-- option: default, test, what it must be
local options = {
  lr = { 1.0, positive, "positive" }, max_iter = { 20, natural, "a positive integer" }, max_eval = { nil, natural, "a positive integer" },
  tolerance_grad = { 1e-7, tolerance, "0 or more" }, tolerance_change = { 1e-9, tolerance, "0 or more" },
  history_size = { 100, natural, "a positive integer" },
  line_search_fn = { nil, function(x) return x == "strong_wolfe" end, '"strong_wolfe"' },
  maximize = { false, function(x) return type(x) == "boolean" end, "true or false" },
}

--- {groups = {{options}}, state = {{n_iter, func_evals, d, t, old_dirs, ...}}}: the state of all parameters together.
function LBFGS:state_dict()
  local dict = { groups = { {} }, state = { {} } }
  for k, v in pairs(self.param_groups[1]) do
    if k ~= "params" then dict.groups[1][k] = v end
  end
  for _, name in ipairs(saved) do dict.state[1][name] = clone(self.memory[name]) end
  return dict
end

--- Takes options and state over (copied); errors: no state of LBFGS, options that it has not.
function LBFGS:load_state_dict(dict)
  if type(dict) ~= "table" or not (dict.groups and dict.groups[1] and dict.state and dict.state[1] and dict.state[1].n_iter) then
    tide._fail("load_state_dict: no state of LBFGS")
  end
  for k, v in pairs(dict.groups[1]) do
    local rate = (k == "lr" or k == "initial_lr") and type(v) == "number" -- a schedule's may be 0
    if not rate and not (options[k] and options[k][2](v)) then tide._fail(("load_state_dict: LBFGS has no option '%s' of %s"):format(k, tostring(v))) end
  end
  for k in pairs(options) do self.param_groups[1][k] = dict.groups[1][k] end
  self.param_groups[1].initial_lr = dict.groups[1].initial_lr
  self.memory = {}
  for _, name in ipairs(saved) do self.memory[name] = clone(dict.state[1][name]) end
end

--- LBFGS(params, {lr = 1, max_iter = 20, max_eval = max_iter * 5 // 4, tolerance_grad = 1e-7, tolerance_change = 1e-9,
-- history_size = 100, line_search_fn = nil or "strong_wolfe", maximize = false})
return function(params, given)
  if type(params) ~= "table" or params[1] == nil then tide._fail("LBFGS: no parameters") end
  if given ~= nil then expect("table", "LBFGS", "options", given) end
  if not tide.is_tensor(params[1]) then
    if #params > 1 then tide._fail("LBFGS: takes one group of parameters") end
    expect("table", "LBFGS", "params", params[1])
    local merged = {}
    for k, v in pairs(given or {}) do merged[k] = v end
    for k, v in pairs(params[1]) do
      if k ~= "params" then merged[k] = v end
    end
    params, given = params[1].params, merged
  end
  local group = { params = params }
  for name, o in pairs(options) do group[name] = o[1] end
  for name, value in pairs(given or {}) do
    local o = options[name]
    if not o then tide._fail(("LBFGS: no option '%s'"):format(name)) end
    if not o[2](value) then tide._fail(("LBFGS: %s must be %s, not %s"):format(name, o[3], tostring(value))) end
    group[name] = value
  end
  for i, p in ipairs(params) do
    if not tide.is_tensor(p) or not p.requires_grad then tide._fail(("LBFGS: entry %d is no parameter"):format(i)) end
  end
  return setmetatable({ kind = "LBFGS", defaults = given or {}, params = params, param_groups = { group }, hooks = {},
    memory = { n_iter = 0, func_evals = 0 } }, LBFGS)
end
