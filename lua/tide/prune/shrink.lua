--- Layers in a row, and their channels that do nothing: found, masked together with what follows, and taken out.
local tide = require "tide.core"
local arguments = require "tide.arguments"
local is_parametrized = require("tide.nn.parametrize").is_parametrized

local M = {}

-- Where outputs and inputs lie in a weight.
local producers = {
  Linear = { out = 1, into = 2, names = { "out_features", "in_features" } },
  Conv1d = { out = 1, into = 2 }, Conv2d = { out = 1, into = 2 }, Conv3d = { out = 1, into = 2 },
  ConvTranspose1d = { out = 2, into = 1 }, ConvTranspose2d = { out = 2, into = 1 }, ConvTranspose3d = { out = 2, into = 1 },
}
-- Layers that treat each channel alone, and a channel that is the same everywhere as one number.
local elementwise, through, norms = {}, {}, {}
for name in ([[ReLU SiLU Tanh Sigmoid SELU LogSigmoid Mish ReLU6 Hardsigmoid Hardswish Softsign Tanhshrink GELU LeakyReLU ELU CELU
  Softplus Hardtanh Softshrink Hardshrink Threshold PReLU]]):gmatch "%S+" do elementwise[name] = true end
for name in ([[Dropout Dropout1d Dropout2d Dropout3d Flatten Identity MaxPool1d MaxPool2d MaxPool3d AdaptiveAvgPool1d AdaptiveAvgPool2d
  AdaptiveAvgPool3d AdaptiveMaxPool1d AdaptiveMaxPool2d AdaptiveMaxPool3d AvgPool1d AvgPool2d AvgPool3d]]):gmatch "%S+" do through[name] = true end
for name in ("BatchNorm1d BatchNorm2d BatchNorm3d"):gmatch "%S+" do norms[name] = true end

local function kind(layer) return getmetatable(layer).__name end
local function plain(layer) return (layer.groups or 1) == 1 end
-- A mean over a padded window is not the number itself.
local function exact(layer)
  local o = layer._options
  return not (kind(layer):find "^AvgPool" and o and (o.divisor_override or o.padding and o.padding ~= 0 and o.count_include_pad ~= false))
end

--- The layers of an nn.Sequential in the order of the data, those inside others too; or of a sequence of layers. Returns the
-- list and whether it is all that happens to the data.
function M.chain(model)
  local list, whole = {}, arguments.is_module(model)
  if not whole then arguments.one("table", "prune", "model", model) end
  local function add(x)
    arguments.one("module", "prune", "layer", x)
    if is_parametrized(x) then tide._fail(("%s: remove its parametrizations first (strip() the pruner)"):format(kind(x))) end
    if kind(x) == "Sequential" then
      for _, layer in ipairs(x) do add(layer) end
    else
      list[#list + 1] = x
    end
  end
  if whole and kind(model) ~= "Sequential" then
    tide._fail(("of a %s it is not known in which order its layers work: give a sequence of layers that follow each other"):format(kind(model)))
  end
  if whole then add(model) else for _, layer in ipairs(model) do add(layer) end end
  return list, whole
end

--- The layers whose outputs may be taken out: {layer, dim (of outputs), norms (a sequence), between (layers up to the next), next}
-- for each. The last layer of the chain has none, nor has one behind which a layer mixes channels.
function M.links(model)
  local list, whole = M.chain(model)
  local links, open = {}, nil
  for _, layer in ipairs(list) do
    local name = kind(layer)
    local p = producers[name]
    if p and plain(layer) then
      if open then
        open.next = layer
        links[#links + 1] = open
      end
      open = { layer = layer, dim = p.out, norms = {}, between = {}, whole = whole }
    elseif open and (elementwise[name] or norms[name] or (through[name] and exact(layer))) then
      table.insert(open.between, layer)
      if norms[name] then table.insert(open.norms, layer) end
    else
      open = nil
    end
  end
  return links
end

-- What a channel that is `value` everywhere (channels) becomes on its way to the next layer, in evaluation.
local function carried(link, value)
  value = value:reshape(1, -1)
  for _, layer in ipairs(link.between) do
    local name = kind(layer)
    if norms[name] then
      if not layer.running_mean then return nil end
      value = (value - layer.running_mean) / (layer.running_var + layer.eps):sqrt()
      if layer.weight then value = value * layer.weight + layer.bias end
    elseif elementwise[name] then
      value = layer:forward(value)
    end
  end
  return value:reshape(-1)
end

local function unpadded(layer)
  local padding = layer._options and layer._options.padding
  for _, p in ipairs(type(padding) == "table" and padding or { padding or 0 }) do
    if p ~= 0 and p ~= "valid" then return false end
  end
  return kind(layer) == "Linear" or kind(layer):find "^Conv%dd" ~= nil
end

-- Replaces a tensor of a layer by positions of its dim.
local function take(layer, key, dim, index)
  local old = layer[key]
  if not old then return end
  rawset(layer, key, old:detach():index_select(dim, index):requires_grad_(old.requires_grad))
end

local function set_size(layer, index, n)
  local names = producers[kind(layer)].names or { "out_channels", "in_channels" }
  layer[names[index]] = n
end

local function zeros_of(link)
  local rest, w = {}, link.layer.weight
  for d = 1, w.ndim do
    if d ~= link.dim then rest[#rest + 1] = d end
  end
  return w:detach():abs():amax(rest):eq(0)
end

-- Takes the dead channels of one link out; returns how many.
local function shrink_link(link)
  local layer, follower = link.layer, link.next
  local dead = zeros_of(link)
  local n = dead:numel()
  local value = layer.bias and layer.bias:detach() or tide.zeros({ n }, { dtype = layer.weight.dtype })
  value = carried(link, value)
  if not value then return 0 end
  local foldable = link.whole and follower.bias ~= nil and unpadded(follower)
  if not foldable then dead = dead:logical_and(value:eq(0)) end
  local keep, drop = {}, {}
  for i, d in ipairs(dead:tolist()) do table.insert((d == true or d == 1) and drop or keep, i - 1) end
  if #keep == 0 then keep[1] = table.remove(drop, 1) end
  if #drop == 0 then return 0 end
  -- the next layer reads `each` inputs of every channel (more than one behind a Flatten)
  local into = producers[kind(follower)].into
  local each = follower.weight.shape[into] // n
  if each * n ~= follower.weight.shape[into] then
    tide._fail(("a layer of %d outputs is followed by one of %d inputs"):format(n, follower.weight.shape[into]))
  end
  local function positions(list, times)
    local out = {}
    for _, c in ipairs(list) do
      for k = 0, times - 1 do out[#out + 1] = c * times + k end
    end
    return tide.tensor(out, { dtype = "int64" })
  end
  if foldable then
    local gone, rest = follower.weight:detach():index_select(into, positions(drop, each)), { 2 }
    for d = 3, gone.ndim do rest[#rest + 1] = d end
    local factor = value:index_select(1, positions(drop, 1)):unsqueeze(2):expand(#drop, each):reshape(1, -1)
    for _ = 3, gone.ndim do factor = factor:unsqueeze(-1) end
    follower.bias:add_((gone * factor):sum(rest))
  end
  local index = positions(keep, 1)
  take(layer, "weight", link.dim, index)
  take(layer, "bias", 1, index)
  set_size(layer, 1, #keep)
  for _, between in ipairs(link.between) do
    if norms[kind(between)] then
      for _, key in ipairs { "weight", "bias", "running_mean", "running_var" } do take(between, key, 1, index) end
      between.num_features = #keep
    elseif kind(between) == "PReLU" and between.weight:numel() > 1 then
      take(between, "weight", 1, index)
    end
  end
  take(follower, "weight", into, positions(keep, each))
  set_size(follower, 2, #keep * each)
  return #drop
end

--- Takes channels whose weights are all zero out of the layers of an nn.Sequential, or of a sequence of layers that follow each
-- other (the inside of a block, say; functions between them must map 0 to 0). The model gives the same in evaluation as before: a
-- channel is left where it is if what it gives can neither be left out nor be added to the next layer's bias. Parameters are new
-- tensors: make optimizers afterwards. Returns how many channels went.
function M.shrink(model)
  return tide.no_grad(function()
    local gone = 0
    for _, link in ipairs(M.links(model)) do gone = gone + shrink_link(link) end
    return gone
  end)
end

return M
