--- Code for the help on layers and their functions, family by family: puts { what works, what gives an error } into M.
return function(M)
  local N, F = "tide.nn.", "tide.nn.functional."
  local function nn(name, good, bad) M["nn." .. name] = { N .. name .. good, bad and N .. name .. bad } end
  local function fn(name, good, bad) M["nn.functional." .. name] = { F .. name .. good, bad and F .. name .. bad } end
  local function each(names, f)
    for name in names:gmatch "%S+" do f(name) end
  end

  each("CELU ELU GELU Hardshrink Hardsigmoid Hardswish Hardtanh LeakyReLU LogSigmoid Mish PReLU ReLU ReLU6 SELU SiLU Sigmoid Softplus "
    .. "Softshrink Softsign Tanh Tanhshrink", function(name) nn(name, "()(tide.tensor{-2, 0, 3})", "()(3)") end)
  nn("Identity", "()(tide.tensor{-2, 0, 3})")
  nn("Threshold", "(0.5, 9)(tide.tensor{0, 1})", "('a')")
  each("LogSoftmax Softmax Softmin", function(name) nn(name, "(2)(tide.tensor{{1, 2}, {3, 3}})", "(3)(tide.ones(2, 2))") end)
  nn("GLU", "(1)(tide.tensor{1, 2, 0, 0})", "(1)(tide.ones(3))")
  fn("prelu", "(tide.tensor{-2, 3}, tide.tensor{0.25})", "(tide.ones(1, 3), tide.ones(2))")
  M.prelu = M["nn.functional.prelu"]
  fn("glu", "(tide.tensor{1, 2, 0, 0})", "(tide.ones(3))")
  fn("softmin", "(tide.tensor{1, 2}, 1)", "(tide.ones(2), 2)")

  -- lines, images, volumes
  local sizes = { "tide.arange(6):float():reshape(1, 1, 6)", "tide.arange(16):float():reshape(1, 1, 4, 4)", "tide.ones(1, 1, 4, 4, 4)" }
  for d = 1, 3 do
    local at, x = d .. "d", sizes[d]
    local shape = ".shape[3]"
    nn("AdaptiveAvgPool" .. at, ("(2)(%s)"):format(x), "(2)(tide.ones(4))")
    nn("AdaptiveMaxPool" .. at, ("(2)(%s)"):format(x), "(2)(tide.ones(4))")
    nn("AvgPool" .. at, ("(2)(%s)"):format(x), "(9)(" .. x .. ")")
    nn("MaxPool" .. at, ("(2)(%s)"):format(x), "(9)(" .. x .. ")")
    fn("adaptive_avg_pool" .. at, ("(%s, 2)"):format(x), "(tide.ones(4), 2)")
    fn("adaptive_max_pool" .. at, ("(%s, 2)"):format(x), "(tide.ones(4), 2)")
    if d ~= 2 then
      fn("avg_pool" .. at, ("(%s, 2)"):format(x), "(" .. x .. ", 9)")
      fn("max_pool" .. at, ("(%s, 2)"):format(x), "(" .. x .. ", 9)")
    end
    if d ~= 2 then nn("Conv" .. at, ("(1, 3, 2)(%s)%s"):format(x, ".shape[2]"), ("(2, 3, 2)(%s)"):format(x)) end
    nn("ConvTranspose" .. at, ("(1, 3, 2)(%s)%s"):format(x, ".shape[2]"), ("(2, 3, 2)(%s)"):format(x))
    local batch = "tide.ones(2, 3" .. (d == 1 and ", 4" or d == 2 and ", 4, 4" or ", 2, 4, 4") .. ")"
    nn("BatchNorm" .. at, ("(3)(%s).shape[2]"):format(batch), ("(5)(%s)"):format(batch))
    nn("InstanceNorm" .. at, ("(3)(%s).shape[2]"):format(batch), ("(3)(%s)"):format "tide.ones(3)")
    nn("Dropout" .. at, ("(0.5):eval()(%s).shape[2]"):format(batch), "(2)(" .. batch .. ")")
    for _, kind in ipairs { "Circular", "Reflection", "Replication", "Zero" } do nn(kind .. "Pad" .. at, ("(1)(%s)%s"):format(x, shape), "('a')") end
    nn("ConstantPad" .. at, ("(1, 9)(%s)%s"):format(x, shape), "(1, 'a')")
  end
  for _, name in ipairs { "conv3d", "conv_transpose3d" } do
    local code = "tide." .. name .. "(tide.ones(1, 1, 4, 4, 4), tide.ones(1, 1, 2, 2, 2)):size(3)"
    M[name], M["nn.functional." .. name] = { code, "tide." .. name .. "(tide.ones(2, 2), tide.ones(2, 2))" }, { code }
  end
  fn("pad", "(tide.ones(1, 2), {1, 2})", "(tide.ones(2), {1})")
  fn("pixel_shuffle", "(tide.arange(4):reshape(1, 4, 1, 1):float(), 2)", "(tide.ones(1, 3, 1, 1), 2)")
  fn("pixel_unshuffle", "(tide.arange(4):reshape(1, 1, 2, 2):float(), 2).shape[2]", "(tide.ones(1, 1, 3, 3), 2)")
  nn("PixelShuffle", "(2)(tide.arange(4):reshape(1, 4, 1, 1):float())", "(2)(tide.ones(1, 3, 1, 1))")
  nn("PixelUnshuffle", "(2)(tide.ones(1, 1, 2, 2)).shape[2]", "(2)(tide.ones(1, 1, 3, 3))")
  nn("Flatten", "()(tide.ones(2, 3, 4)).shape[2]", "{start_dim = 'a'}")
  nn("Unflatten", "(2, {2, 3})(tide.ones(4, 6)).shape[3]", "(2, {2, 2})(tide.ones(4, 6))")

  -- norms
  nn("GroupNorm", "(2, 4)(tide.ones(1, 4, 2)).shape[2]", "(3, 4)")
  nn("RMSNorm", "(2)(tide.tensor{3, 4})", "(2)(tide.ones(3))")
  M.group_norm = { "tide.group_norm(tide.tensor{{1, 3, 5, 9}}, 2)", "tide.group_norm(tide.ones(1, 4), 3)" }
  fn("instance_norm", "(tide.tensor{{{1, 3}, {5, 9}}})", "(tide.ones(2))")
  fn("normalize", "(tide.tensor{{3, 4}})", "(tide.ones(2, 2), {dim = 3})")

  -- recurrent, attention
  for _, name in ipairs { "RNN", "GRU", "LSTM" } do
    nn(name, "(3, 4)(tide.ones(5, 2, 3)).shape[3]", "(3, 4)(tide.ones(5, 2, 2))")
    nn(name .. "Cell", "(3, 4)(tide.ones(2, 3))" .. (name == "LSTM" and "[1]" or "") .. ".shape[2]", "(3, 4)(tide.ones(2, 2))")
  end
  nn("MultiheadAttention", "(4, 2)(tide.ones(3, 1, 4), tide.ones(3, 1, 4), tide.ones(3, 1, 4)).shape[3]", "(4, 3)")
  nn("TransformerEncoderLayer", "(4, 2)(tide.ones(3, 1, 4)).shape[3]", "(4, 3)")
  nn("TransformerEncoder", "(tide.nn.TransformerEncoderLayer(4, 2), 2)(tide.ones(3, 1, 4)).shape[3]", "(3, 2)")
  fn("scaled_dot_product_attention", "(tide.ones(1, 2, 4), tide.ones(1, 3, 4), tide.ones(1, 3, 4)).shape[2]", "(tide.ones(2, 4), tide.ones(3, 5), tide.ones(3, 4))")
  nn("EmbeddingBag", "(10, 4)(tide.tensor({{1, 2, 3}}, {dtype = 'int64'})).shape[2]", "(0.5, 4)")
  fn("embedding_bag", "(tide.tensor({{0, 1}}, {dtype = 'int64'}), tide.tensor{{1, 1}, {3, 3}})", "(1, tide.ones(2, 2))")
  fn("one_hot", "(tide.tensor({0, 2}, {dtype = 'int64'}))", "(tide.tensor({3}, {dtype = 'int64'}), 2)")
  M["nn.Embedding.from_pretrained"] = { "tide.nn.Embedding.from_pretrained(tide.ones(3, 2))", "tide.nn.Embedding.from_pretrained(tide.ones(3))" }

  -- losses: the layer calls the function of the same name
  local pairs_of = {
    BCELoss = "tide.tensor{0.5, 0.9}, tide.tensor{1, 1}", BCEWithLogitsLoss = "tide.tensor{0, 2}, tide.tensor{1, 1}",
    CrossEntropyLoss = "tide.tensor{{2, 0}, {0, 2}}, tide.tensor({0, 1}, {dtype = 'int64'})", HuberLoss = "tide.tensor{1, 5}, tide.tensor{1, 2}",
    HingeEmbeddingLoss = "tide.tensor{0.2, 0.3}, tide.tensor{1, -1}", KLDivLoss = "tide.tensor{-1, -2}, tide.tensor{0.4, 0.6}",
    L1Loss = "tide.tensor{1, 5}, tide.tensor{1, 2}",
    MSELoss = "tide.tensor{1, 5}, tide.tensor{1, 2}", MultiLabelSoftMarginLoss = "tide.tensor{{1, -1}}, tide.tensor{{1, 0}}",
    MultiLabelMarginLoss = "tide.tensor{{1, 0.5}}, tide.tensor({{0, -1}}, {dtype = 'int64'})",
    MultiMarginLoss = "tide.tensor{{1, 0.5}}, tide.tensor({0}, {dtype = 'int64'})",
    NLLLoss = "tide.tensor{{-0.1, -2.3}}, tide.tensor({0}, {dtype = 'int64'})", PoissonNLLLoss = "tide.tensor{0, 1}, tide.tensor{1, 2}",
    SmoothL1Loss = "tide.tensor{1, 5}, tide.tensor{1, 2}", SoftMarginLoss = "tide.tensor{1, 2}, tide.tensor{1, -1}",
    GaussianNLLLoss = "tide.tensor{1, 2}, tide.tensor{1, 3}, tide.ones(2)", MarginRankingLoss = "tide.tensor{1, 2}, tide.tensor{2, 1}, tide.tensor{1, 1}",
    CosineEmbeddingLoss = "tide.tensor{{1, 0}}, tide.tensor{{0, 1}}, tide.tensor{-1}",
    TripletMarginLoss = "tide.tensor{{1, 0}}, tide.tensor{{1, 1}}, tide.tensor{{0, 1}}",
  }
  for name, arguments in pairs(pairs_of) do nn(name, "()(" .. arguments .. ")", "{reduction = 'wrong'}(" .. arguments .. ")") end
  for name, layer in pairs { cosine_embedding_loss = "CosineEmbeddingLoss", gaussian_nll_loss = "GaussianNLLLoss", margin_ranking_loss = "MarginRankingLoss",
    multi_margin_loss = "MultiMarginLoss", multilabel_margin_loss = "MultiLabelMarginLoss", multilabel_soft_margin_loss = "MultiLabelSoftMarginLoss",
    triplet_margin_loss = "TripletMarginLoss", kl_div = "KLDivLoss" } do
    fn(name, "(" .. pairs_of[layer] .. ")", "(" .. pairs_of[layer] .. ", {reduction = 'wrong'})")
  end
  nn("CosineSimilarity", "(1)(tide.tensor{3, 4}, tide.tensor{4, 3})", "(2)(tide.ones(2), tide.ones(2))")
  nn("PairwiseDistance", "()(tide.tensor{{0, 0}}, tide.tensor{{3, 4}})", "()(tide.ones(2), tide.ones(3))")
  M.cosine_similarity = { "tide.cosine_similarity(tide.tensor{3, 4}, tide.tensor{4, 3}, 1)", "tide.cosine_similarity(tide.ones(2), tide.ones(3), 1)" }
  fn("pairwise_distance", "(tide.tensor{{0, 0}}, tide.tensor{{3, 4}})", "(tide.ones(2), tide.ones(3))")

  -- modules
  nn("ModuleList", "{tide.nn.Linear(2, 3), tide.nn.ReLU()}[1]", "{1}(tide.ones(2))")
  nn("Parameter", "(tide.ones(2)).requires_grad", "(1)")
  nn("is_module", "(tide.nn.ReLU())")
  local net = "tide.nn.Linear(2, 1)"
  for name, code in pairs {
    apply = net .. ":apply(function(m) print(m) end)", buffers = "#tide.nn.BatchNorm1d(2):buffers()", clone = net .. ":clone()", double = net .. ":double().weight.dtype",
    eval = net .. ":eval().training", extra = net .. ":extra()", float = net .. ":float().weight.dtype",
    extend = "(function() local Net = tide.nn.Module:extend 'Net' function Net:init() self.a = tide.nn.Linear(2, 1) end return Net() end)()",
    init = "(function() local Net = tide.nn.Module:extend 'Net' function Net:init(n) self.n = n end return Net(3).n end)()",
    forward = "(function() local Net = tide.nn.Module:extend 'Net' function Net:forward(x) return x * 2 end return Net()(tide.ones(2)) end)()",
    modules = "#tide.nn.Sequential(tide.nn.ReLU()):modules()", named_buffers = "tide.nn.BatchNorm1d(2):named_buffers()()",
    named_modules = "tide.nn.Sequential(tide.nn.ReLU()):named_modules()()", named_parameters = "(" .. net .. ":named_parameters()())",
    parameters = "#" .. net .. ":parameters()", requires_grad_ = net .. ":requires_grad_(false).weight.requires_grad",
    register_buffer = "(function() local m = tide.nn.ReLU() m:register_buffer('seen', tide.zeros(1)) return #m:buffers() end)()",
    register_parameter = "(function() local m = tide.nn.ReLU() m:register_parameter('w', tide.zeros(1)) return #m:parameters() end)()",
    register_forward_hook = "(function() local m = tide.nn.ReLU() m:register_forward_hook(function(_, _, y) return y + 1 end) return m(tide.ones(1)) end)()",
    register_forward_pre_hook = "(function() local m = tide.nn.ReLU() m:register_forward_pre_hook(function(_, args) return args[1] - 2 end) return m(tide.ones(1)) end)()",
    state_dict = net .. ":state_dict().bias.shape[1]", to = net .. ":to('float64').weight.dtype", train = net .. ":train(false).training", zero_grad = net .. ":zero_grad()",
  } do M["nn.Module." .. name] = { code } end
  M["nn.Module.load_state_dict"] = { "#" .. net .. ":load_state_dict({bias = tide.ones(1)}, {strict = false}).missing", net .. ":load_state_dict{bias = tide.ones(3)}" }
  for name, more in pairs { constant_ = ", 0.5", normal_ = ", 0, 0.02", uniform_ = ", -1, 1", ones_ = "", zeros_ = "", kaiming_normal_ = "", kaiming_uniform_ = "",
    xavier_normal_ = "", xavier_uniform_ = "" } do
    M["nn.init." .. name] = { ("tide.nn.init.%s(tide.empty(2, 2)%s).shape[1]"):format(name, more), ("tide.nn.init.%s('a')"):format(name) }
  end
  M["nn.init.default_"] = { "tide.nn.init.default_(tide.empty(2, 2), tide.empty(2))", "tide.nn.init.default_('a')" }
end
