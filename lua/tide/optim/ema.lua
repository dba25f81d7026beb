--- Averages of a model's parameters over the steps of its training (Polyak and Juditsky 1992; Izmailov et al.,
-- arXiv 1803.05407), as torch.optim.swa_utils.AveragedModel keeps them.
--   local ema = tide.optim.EMA(model, {decay = 0.999})
--   ... opt:step(); ema:update() ...
--   ema:average(function() evaluate(model) end)     -- with the averages in place of the parameters
local tide = require "tide.core"
local expect = require("tide.arguments").one
local with_options = require "tide.options"

local EMA = { __name = "tide.EMA" }
EMA.__index = EMA

--- One operation over all parameters: average = average * decay + parameter * (1 - decay). The first update copies, as
-- PyTorch's does; with decay = "mean" all updates count alike.
function EMA:update()
  local n = self.n_averaged
  local weight = n == 0 and 1.0 or self.decay == "mean" and 1 / (n + 1) or 1 - self.decay
  tide._average(self.averages, self.params, weight)
  for i, b in ipairs(self.buffers) do
    if self.use_buffers and b.dtype:find("float") then tide._average({ self.kept[i] }, { b }, weight) else self.kept[i]:copy_(b) end
  end
  self.n_averaged = n + 1
end

local function swap(self)
  tide.no_grad(function()
    for _, pair in ipairs { { self.params, self.averages }, { self.buffers, self.kept } } do
      for i, p in ipairs(pair[1]) do
        local now = p:detach():clone()
        p:copy_(pair[2][i])
        pair[2][i]:copy_(now)
      end
    end
  end)
end

--- Calls fn(...) while the model holds the averages, and gives the parameters back, also after an error.
function EMA:average(fn, ...)
  expect("function", "average", "fn", fn)
  swap(self)
  local results = table.pack(pcall(fn, ...))
  swap(self)
  if not results[1] then error(results[2], 0) end
  return table.unpack(results, 2, results.n)
end

--- Writes the averages into the model for good.
function EMA:copy_to()
  tide.no_grad(function()
    for i, p in ipairs(self.params) do p:copy_(self.averages[i]) end
    for i, b in ipairs(self.buffers) do b:copy_(self.kept[i]) end
  end)
end

--- {n_averaged, averages = {...}, buffers = {...}}: the tensors in use.
function EMA:state_dict() return { n_averaged = self.n_averaged, averages = { table.unpack(self.averages) }, buffers = { table.unpack(self.kept) } } end

--- Copies the averages of a state_dict; errors: they are of another model.
function EMA:load_state_dict(dict)
  if type(dict) ~= "table" or #(dict.averages or {}) ~= #self.averages or #(dict.buffers or {}) ~= #self.kept then
    tide._fail("load_state_dict: the averages are of another model")
  end
  if math.type(dict.n_averaged) ~= "integer" then tide._fail("load_state_dict: n_averaged is missing") end
  self.n_averaged = dict.n_averaged
  for i, t in ipairs(dict.averages) do self.averages[i]:copy_(t) end
  for i, t in ipairs(dict.buffers) do self.kept[i]:copy_(t) end
end

--- EMA(model or list of parameters, {decay = 0.999, use_buffers = false}): decay in [0, 1], or "mean" for the plain mean
-- of all updates (stochastic weight averaging). Buffers are copied, or averaged with use_buffers.
return function(model, options)
  options = with_options("EMA", options, "decay use_buffers")
  local decay = options.decay or 0.999
  if decay ~= "mean" and not (type(decay) == "number" and decay >= 0 and decay <= 1) then
    tide._fail(("EMA: decay must lie in [0, 1] or be \"mean\", not %s"):format(decay))
  end
  local is_model = type(model) == "table" and model.parameters
  local self = setmetatable({ decay = decay, use_buffers = options.use_buffers or false, n_averaged = 0, averages = {}, kept = {} }, EMA)
  self.params = is_model and model:parameters() or model
  self.buffers = is_model and model:buffers() or {}
  if type(self.params) ~= "table" or not tide.is_tensor(self.params[1]) then tide._fail("EMA: expected a model or a list of parameters") end
  for i, p in ipairs(self.params) do self.averages[i] = p:detach():clone() end
  for i, b in ipairs(self.buffers) do self.kept[i] = b:detach():clone() end
  return self
end
