-- Optimizer steps: one program over lists of parameters, in place. core/optim/table.c says which option fills which
-- attribute: attributes named as options are filled from these, has_X is X ~= 0 (the number itself may vary in a plan),
-- rest_X is 1 - X, shrink is 1 - lr weight_decay, first: no step was made before. What is left is worked out there. All
-- in double, once: as PyTorch does, and a program has nothing to do but for elements.
local none = "optimizer steps are not differentiated"
local rows = {}
local function add(r) rows[#rows + 1] = r end

-- A step reads param, grad and the states, and writes all but grad. `optional` states come after the others: there is
-- one row for each choice, in binary order (the first optional state is bit 0), and one C function for all of them, which
-- is told by the attribute that comes with the state.
local function step(name, states, optional, numbers, doc)
  for choice = 0, (1 << #optional) - 1 do
    local own, list, flags = name, { "param: tensors", "grad: tensors" }, ""
    for _, s in ipairs(states) do list[#list + 1] = s .. ": tensors" end
    for k, s in ipairs(optional) do
      local state, flag = table.unpack(s)
      local here = choice >> (k - 1) & 1 == 1
      if here then own, list[#list + 1] = own .. "_" .. state, state .. ": tensors" end
      flags = ("%s, %s: bool = %s"):format(flags, flag, here)
    end
    add { own, table.concat(list, ", ") .. ", *, lr: float!, maximize: bool" .. numbers .. flags, list = #list, writes = (1 << #list) - 1 & ~2,
      outputs = #list - 1, program = choice == 0 or name .. "_program", internal = true, nograd = none, doc = doc }
  end
end

local decay = ", weight_decay: float!, has_weight_decay: bool"
local either = decay .. ", decoupled_weight_decay: bool, shrink: float!"
local moments = ", rest_beta1: float!, beta2: float!, rest_beta2: float!, eps: float!"

step("sgd", {}, { { "momentum", "has_momentum" } }, decay .. ", momentum: float!, rest_dampening: float!, nesterov: bool, first: bool",
  "Stochastic gradient descent; momentum after Sutskever et al. (2013), in PyTorch's form.")
step("adam", { "mean", "square" }, { { "largest", "amsgrad" } }, either .. moments .. ", step_size: float!, root: float!",
  "Adam (Kingma and Ba, arXiv 1412.6980); decoupled: AdamW (Loshchilov and Hutter, arXiv 1711.05101); largest: amsgrad (Reddi et al., arXiv 1904.09237).")
step("nadam", { "mean", "square" }, {}, either .. moments .. ", root: float!, grad_rate: float!, mean_rate: float!",
  "Adam with Nesterov momentum (Dozat 2016).")
step("radam", { "mean", "square" }, {}, either .. moments .. ", step_size: float!, root: float!",
  "Rectified Adam (Liu et al., arXiv 1908.03265); root 0: the plain step of the first few.")
step("adamax", { "mean", "largest" }, {}, decay .. ", rest_beta1: float!, beta2: float!, eps: float!, step_size: float!",
  "Adamax: Adam by the infinity norm (Kingma and Ba, arXiv 1412.6980, section 7.1).")
step("adagrad", { "sum" }, {}, decay .. ", eps: float!, rate: float!", "Adagrad (Duchi et al. 2011).")
step("adadelta", { "square", "change" }, {}, decay .. ", rho: float!, rest_rho: float!, eps: float!", "Adadelta (Zeiler, arXiv 1212.5701).")
step("rmsprop", { "square" }, { { "momentum", "has_momentum" }, { "mean", "centered" } }, decay .. ", alpha: float!, rest_alpha: float!, eps: float!, momentum: float!",
  "RMSprop (Tieleman and Hinton 2012); mean: centered (Graves, arXiv 1308.0850).")
step("asgd", { "average" }, {}, decay .. ", keep: float!, eta: float!, mu: float!", "Averaged stochastic gradient descent (Polyak and Juditsky 1992).")
step("rprop", { "previous", "size" }, {}, ", etaminus: float!, etaplus: float!, step_min: float!, step_max: float!",
  "Resilient backpropagation (Riedmiller and Braun 1993).")
step("lion", { "mean" }, {}, decay .. ", shrink: float!, beta1: float!, rest_beta1: float!, beta2: float!, rest_beta2: float!",
  "Lion (Chen et al., arXiv 2302.06675).")

-- ---- gradients and averages of many tensors at once ----
local function all(name, sig, lists, doc)
  add { name, sig, list = lists, writes = 1, outputs = 1, program = true, internal = true, nograd = none, doc = doc }
end
add { "sum_squares", "input: tensor", program = true, infer = true, space = true, internal = true, nograd = none, doc = "The sum of squares of all elements, 0-d." }
add { "clip_factor", "squares: tensor^, *, limit: float!", program = true, infer = true, space = true, outputs = 2, internal = true, nograd = none,
  doc = "The norm sqrt(sum(squares)) and limit / (norm + 1e-6), at most 1." }
all("scale_all", "input: tensors, factor: tensors", 2, "Each tensor times a 0-d factor, in place.")
all("clamp_all", "input: tensors, *, limit: float!", 1, "Each element brought into [-limit, limit], in place.")
all("lerp_all", "input: tensors, target: tensors, *, weight: float!", 2, "Each tensor moved towards another by weight, in place.")
return rows
