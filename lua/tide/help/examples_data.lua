--- Code for the help on data, metrics, pruning and what goes along with training: puts { what works, what gives an error } into M.
return function(M)
  local function data(name, good, bad) M["data." .. name] = { good, bad } end
  local T = "tide.data.table{{'city', {'b', 'a', 'b'}}, {'n', {1, 2, 5}}}"
  data("table", T, "tide.data.table{{'n', {1, 'a'}}}")
  data("Table.of", T, "tide.data.table{{'n', {1, 'a'}}}")
  for name, call in pairs {
    column = { "('n').values", "('m')" }, describe = { "()" }, drop = { "('n')", "('m')" }, dropna = { "{subset = 'n'}", "{subset = 'm'}" }, fillna = { "(0)", "{m = 0}" },
    filter = { "(function(row) return row.n > 1 end)", "(tide.ones(2))" }, groupby = { "('city'):agg{{'n', 'mean'}}", "('town')" }, head = { "(1)" }, tail = { "(1)" },
    map = { "('n', function(v) return v * 10 end)", "('m', print)" }, names = { "()[1]" }, row = { "(1).city", "(4)" }, select = { "{'n'}", "{'m'}" },
    sort = { "('n', {descending = true})", "('m')" }, split = { "(0.67)", "(2)" }, take = { "(tide.tensor({0, 2}, {dtype = 'int64'}))" },
    tensor = { ":select{'n'}:tensor()", ":tensor()" }, with = { "('half', {0.5, 1, 2.5})", "('half', {1})" },
    join = { "(tide.data.table{{'city', {'a'}}, {'m', {7}}}, 'city')", "(1, 'city')" },
  } do
    local method = name == "tensor" and "" or ":" .. name
    data("Table." .. name, T .. method .. call[1], call[2] and T .. method .. call[2])
  end
  for _, name in ipairs { "csv", "Table.csv" } do
    M["data." .. name] = { "tide.data.csv('people.csv', {sep = ';', dtypes = {age = 'int64'}})", "tide.data.csv('x.csv', {seperator = ';'})", unrun = true }
  end
  for name, learned in pairs { StandardScaler = "tide.tensor{{1}, {3}}", MinMaxScaler = "tide.tensor{{1}, {2}, {5}}", RobustScaler = "tide.tensor{{1}, {2}, {9}}" } do
    data(name, ("tide.data.%s():fit_transform(%s)"):format(name, learned), ("tide.data.%s():transform(%s)"):format(name, learned))
  end
  data("LabelEncoder", "tide.data.LabelEncoder():fit_transform{'b', 'a', 'b'}", "tide.data.LabelEncoder():transform{'a'}")
  data("OneHotEncoder", "tide.data.OneHotEncoder():fit_transform{'b', 'a', 'b'}", "tide.data.OneHotEncoder():fit{'a'}:transform{'b'}")
  data("train_test_split", "tide.data.train_test_split(tide.arange(4), {test_size = 0.5, shuffle = false})", "tide.data.train_test_split(tide.ones(3), tide.ones(4))")
  data("KFold", "#tide.data.KFold(6, 3)", "tide.data.KFold(2, 3)")
  data("StratifiedKFold", "#tide.data.StratifiedKFold({0, 1, 0, 1}, 2)", "tide.data.StratifiedKFold({0, 1}, 3)")
  data("DataLoader", "(function() for x in tide.data.DataLoader(tide.arange(5), {batch_size = 3}) do print(x) end end)()",
    "tide.data.DataLoader(tide.arange(5), {batchsize = 3})")
  data("TensorDataset", "#tide.data.TensorDataset(tide.ones(3, 2), tide.ones(3))", "tide.data.TensorDataset(tide.ones(3), tide.ones(2))")
  data("List", "#tide.data.List{1, 2}", "tide.data.List(1)")
  data("SequentialSampler", "tide.data.SequentialSampler(3):order(0, 0)", "tide.data.SequentialSampler(-1)")
  data("RandomSampler", "#tide.data.RandomSampler(3)", "tide.data.RandomSampler(-1)")
  data("WeightedRandomSampler", "tide.data.WeightedRandomSampler({0, 1}, 3):order(0, 0)", "tide.data.WeightedRandomSampler({0, 0}, 3)")
  data("DistributedSampler", "tide.data.DistributedSampler(4, {ranks = 2, rank = 1, shuffle = false}):order(0, 0)",
    "tide.data.DistributedSampler(4, {ranks = 2, rank = 3})")
  for name, arguments in pairs { ArrayDataset = "('pictures.npz', 'x', 'y')", CIFARDataset = "{'data_batch_1.bin', 'data_batch_2.bin'}",
    CSVDataset = "('iris.csv', {target = 'kind'})", ImageFolder = "('pictures', {transform = function(x) return tide.image.resize(x, {32, 32}) end})",
    JSONLines = "('lines.jsonl')", MNISTDataset = "('train-images-idx3-ubyte', 'train-labels-idx1-ubyte')", TokenShards = "({'0.bin', '1.bin'}, {context = 256})",
    idx = "('train-labels-idx1-ubyte')" } do
    M["data." .. name] = { ("tide.data.%s%s"):format(name, arguments), ("tide.data.%s(1)"):format(name), unrun = true }
  end

  local classes = "tide.tensor({0, 1, 1, 1}, {dtype = 'int64'}), tide.tensor({0, 1, 0, 1}, {dtype = 'int64'})"
  local numbers, scores = "tide.tensor{1, 2, 4}, tide.tensor{1, 3, 3}", "tide.tensor{0.1, 0.8, 0.6, 0.9}, tide.tensor({0, 1, 0, 1}, {dtype = 'int64'})"
  local function metric(names, arguments, bad)
    for name in names:gmatch "%S+" do M["metrics." .. name] = { ("tide.metrics.%s(%s)"):format(name, arguments), ("tide.metrics.%s(%s)"):format(name, bad) } end
  end
  metric("accuracy confusion_matrix f1 precision recall", classes, "tide.ones(2), tide.ones(3)")
  metric([[explained_variance max_error mean_absolute_error mean_absolute_percentage_error mean_squared_error median_absolute_error r2
    root_mean_squared_error]], numbers, "tide.ones(2), tide.ones(3)")
  metric("average_precision roc_auc roc_curve", scores, "tide.ones(2), tide.ones(3)")
  M["metrics.roc_curve"][1] = "table.concat((tide.metrics.roc_curve(" .. scores .. ")), ' ')"
  metric("auc", "tide.tensor{0, 1, 2}, tide.tensor{0, 1, 1}", "tide.ones(1), tide.ones(1)")
  metric("top_k", "tide.tensor{{1, 3, 2}, {3, 2, 1}}, tide.tensor({2, 2}, {dtype = 'int64'}), 2", "tide.ones(2), tide.ones(3)")
  M["metrics.Classification"] = { "(function() local m = tide.metrics.Classification(2) m:update(" .. classes .. ") return m:accuracy() end)()",
    "tide.metrics.Classification('a')" }

  local function prune(name, good, bad) M["prune." .. name] = { good, bad } end
  local net = "tide.nn.Sequential(tide.nn.Linear(4, 4), tide.nn.ReLU(), tide.nn.Linear(4, 2))"
  prune("ConstantSparsity", "tide.prune.ConstantSparsity{target_sparsity = 0.5}(0)", "tide.prune.ConstantSparsity{target_sparsity = 2}")
  prune("PolynomialDecay", "tide.prune.PolynomialDecay{final_sparsity = 0.8, end_step = 100, frequency = 10}(50)",
    "tide.prune.PolynomialDecay{final_sparsity = 2, end_step = 1}")
  prune("LinearSparsity", "tide.prune.LinearSparsity{final_sparsity = 0.8, end_step = 100, frequency = 10}(50)",
    "tide.prune.LinearSparsity{final_sparsity = 2, end_step = 1}")
  prune("OneShot", "tide.prune.OneShot{target_sparsity = 0.5}(0)", "tide.prune.OneShot{target_sparsity = 2}")
  prune("Pruner", "(function() local p = tide.prune.Pruner(" .. net .. ", tide.prune.OneShot{target_sparsity = 0.5}) p:step() return tide.prune.report(p) end)()",
    "tide.prune.Pruner(" .. net .. ", tide.prune.OneShot{target_sparsity = 0.5}, {scop = 'global'})")
  prune("Mask", "tide.prune.Mask(tide.tensor{1, 0})(tide.tensor{5, 6})")
  prune("magnitude_mask", "tide.prune.magnitude_mask(tide.tensor{3, -1, 2, 0}, 0.5)", "tide.prune.magnitude_mask(1, 0.5)")
  prune("channel_mask", "tide.prune.channel_mask(tide.tensor{{3, 4}, {1, 0}}, 0.5)", "tide.prune.channel_mask(1, 0.5)")
  prune("n_m_mask", "tide.prune.n_m_mask(tide.tensor{{3, -1, 2, 0}}, 2, 4)", "tide.prune.n_m_mask(tide.ones(1, 4), 5, 4)")
  prune("global_masks", "table.unpack(tide.prune.global_masks({tide.tensor{3, 1}, tide.tensor{2, 0}}, 0.5))", "tide.prune.global_masks(1, 0.5)")
  prune("global_channels", "tide.prune.global_channels({tide.tensor{{3, 4}, {1, 0}}}, {1}, 0.5)[1]", "tide.prune.global_channels(1, {1}, 0.5)")
  local masked = "local l = tide.nn.Linear(2, 1) tide.prune.custom_from_mask(l, 'weight', tide.tensor{{1, 0}})"
  prune("custom_from_mask", ("(function() %s return l.weight[{1, 2}]:item() == 0 end)()"):format(masked), "tide.prune.custom_from_mask(tide.nn.ReLU(), 'weight', tide.ones(1))")
  prune("is_pruned", ("(function() %s return tide.prune.is_pruned(l, 'weight') end)()"):format(masked))
  prune("remove", ("(function() %s tide.prune.remove(l, 'weight') return tide.prune.is_pruned(l, 'weight') end)()"):format(masked), "tide.prune.remove(tide.nn.ReLU(), 'weight')")
  prune("sparsity", "tide.prune.sparsity(" .. net .. ")[1].total")
  prune("report", "tide.prune.report(" .. net .. ")")
  prune("shrink", "(function() local m = " .. net .. " tide.no_grad(function() m[1].weight[1]:zero_() m[1].bias[1]:zero_() end) tide.prune.shrink(m) return m end)()",
    "tide.prune.shrink(1)")

  local opt = "local p = tide.ones(1):requires_grad_() local opt = tide.optim.SGD({p}, {lr = 0.1}) "
  for name, code in pairs {
    add_param_group = "opt:add_param_group{params = {tide.ones(2):requires_grad_()}, lr = 0.5} return #opt.param_groups",
    after_step = "opt:after_step(function() print('a step') end) p:sum():backward() opt:step()", load_state_dict = "opt:load_state_dict(opt:state_dict()) return opt",
    state_dict = "return opt:state_dict().groups[1].lr", step = "; (p * 3):sum():backward() opt:step() return p:item()",
    zero_grad = "p:sum():backward() opt:zero_grad() return p.grad",
  } do M["optim.Optimizer." .. name] = { ("(function() %s%s end)()"):format(opt, code) } end
  for name, code in pairs {
    SequentialLR = "local s = lr.SequentialLR(opt, {lr.ConstantLR(opt, 0.5, 1), lr.ExponentialLR(opt, 0.5)}, {1}) s:step() return s:get_last_lr()[1]",
    ChainedScheduler = "local s = lr.ChainedScheduler{lr.ExponentialLR(opt, 0.5), lr.ExponentialLR(opt, 0.5)} s:step() return s:get_last_lr()[1]",
    ReduceLROnPlateau = "local s = lr.ReduceLROnPlateau(opt, {patience = 0}) s:step(1) s:step(1) return opt.param_groups[1].lr",
  } do
    local path = "optim.lr_scheduler." .. name
    M[path] = { ("(function() local lr = tide.optim.lr_scheduler %s%s end)()"):format(opt, code), ("tide.%s(1)"):format(path) }
  end

  for name, code in pairs {
    checkpoint = { unrun = true, "tide.checkpoint('run1', {model = model, optimizer = opt, loader = loader}, {every = 100, keep = 3})", "tide.checkpoint('folder', {model = 1})" },
    clip_grad_norm_ = { "(function() local p = tide.ones(2):requires_grad_(); (p * 3):sum():backward() return tide.clip_grad_norm_(p, 1), p.grad end)()",
      "tide.clip_grad_norm_({}, 'a')" },
    clip_grad_value_ = { "(function() local p = tide.ones(2):requires_grad_(); (p * 3):sum():backward() tide.clip_grad_value_(p, 1) return p.grad end)()",
      "tide.clip_grad_value_({}, -1)" },
    compile = { "(function() local f = tide.compile(function(x) return x * 2 + 1 end) for _ = 1, 3 do f(tide.ones(2)) end return f(tide.ones(2)) end)()",
      "tide.compile(1)" },
    counters = { "tide.counters().calls > 0" }, holders = { "type(tide.holders())" }, memory = { "tide.memory().live >= 0" }, operations = { "tide.operations()[1]" },
    custom = { "(function() local twice = tide.custom{forward = function(_, x) return x * 2 end, backward = function(_, g) return g * 2 end} return twice(tide.ones(2)) end)()",
      "tide.custom{forward = print}" },
    enable_grad = { "tide.no_grad(function() return tide.enable_grad(tide.is_grad_enabled) end)", "tide.enable_grad(1)" }, is_grad_enabled = { "tide.is_grad_enabled()" },
    set_grad_enabled = { "tide.set_grad_enabled(true)" }, manual_seed = { "tide.manual_seed(1)", "tide.manual_seed('a')" }, parts = { "type(tide.parts())" },
    program = { "tide.program('relu')", "tide.program('matmul')" }, progress = { "(function() for i in tide.progress(3) do print(i) end end)()" },
    save = { unrun = true, "tide.save('model.safetensors', model:state_dict())", "tide.save('x.safetensors', tide.ones(2))" },
    scope = { "tide.scope(function() local x = tide.ones(3) return x:sum() end)", "tide.scope(1)" }, seconds = { "tide.seconds() - tide.seconds() <= 0" },
    t = { "tide.t(tide.tensor{{1, 2}})", "tide.t(tide.ones(1, 2, 3))" }, why = { "tide.why(tide.ones(1))", "tide.why(1)" },
    ["image.save"] = { unrun = true, "tide.image.save('noise.png', (tide.rand(3, 32, 32) * 255):to('uint8'))", "tide.image.save('x.gif', tide.ones(1))" },
    ["x:bool"] = { "tide.tensor{0, 2}:bool()" }, ["x:close"] = { "(function() local x = tide.ones(1) x:close() return x end)()" }, ["x:cpu"] = { "tide.ones(2):cpu()" },
    ["x:dim"] = { "tide.ones(2, 3):dim()" }, ["x:is_contiguous"] = { "tide.ones(2, 3).T:is_contiguous()" }, ["x:numel"] = { "tide.ones(2, 3):numel()" },
    ["x:requires_grad_"] = { "tide.ones(2):requires_grad_()", "tide.arange(2):requires_grad_()" }, ["x:zero_"] = { "tide.ones(2):zero_()" },
    ["x:detach"] = { "tide.ones(2):requires_grad_():detach()" }, ["x:expand_as"] = { "tide.ones(1):expand_as(tide.zeros(3))", "tide.ones(2):expand_as(tide.zeros(3))" },
    ["x:view_as"] = { "tide.arange(4):view_as(tide.zeros(2, 2))", "tide.arange(4):view_as(tide.zeros(3))" },
      ["x:type_as"] = { "tide.ones(2):type_as(tide.arange(1))", "tide.ones(2):type_as(1)" },
    ["x:reshape_as"] = { "tide.arange(4):reshape_as(tide.zeros(2, 2))", "tide.arange(4):reshape_as(tide.zeros(3))" },
  } do M[name] = code end
  for name in ("bfloat16 double float half int long"):gmatch "%S+" do M["x:" .. name] = { ("tide.tensor{1.5, -2}:%s()"):format(name) } end
end
