--- Recurrent layers: nn.RNN, nn.LSTM, nn.GRU, and one step of each: nn.RNNCell, nn.LSTMCell, nn.GRUCell.
--   local rnn = nn.LSTM(input_size, hidden_size, {num_layers = 1, bias = true, batch_first = false, dropout = 0, bidirectional = false, dtype})
--   local y, state = rnn(x, state)
-- nn.RNN takes nonlinearity ("tanh" or "relu") too. x (length, batch, input_size), (batch, length, input_size) if batch_first, or
-- (length, input_size). y: what the last layer shows at each time, both directions side by side. state: (layers * directions,
-- batch, hidden_size), of an LSTM {hidden, cell}; zeros if it is left out. dropout: between the layers, while training.
local tide = require "tide.core"
local Module = require("tide.nn.module").Module
local arguments = require "tide.arguments"
local init = require "tide.nn.initialise"

-- One time step. gx: the products of the input with their bias (batch, gates * hidden); h, c: the state; w, b: of the hidden
-- products. Returns the new h, c.
local function simple(apply)
  return function(gx, h, _, w, b) return apply(gx + tide.nn.functional.linear(h, w, b)) end
end
local function lstm(gx, h, c, w, b)
  local g, n = gx + tide.nn.functional.linear(h, w, b), c.shape[2]
  local function gate(k) return g:narrow(2, k * n + 1, n) end
  c = tide.lstm_cell_gates(gate(0), gate(1), gate(2), c)
  return tide.lstm_hidden_gate(gate(3), c), c
end
local function gru(gx, h, _, w, b)
  local gh, n = tide.nn.functional.linear(h, w, b), h.shape[2]
  local both = gx:narrow(2, 1, 2 * n) + gh:narrow(2, 1, 2 * n)
  return tide.gru_gates(both:narrow(2, 1, n), both:narrow(2, n + 1, n), gx:narrow(2, 2 * n + 1, n), gh:narrow(2, 2 * n + 1, n), h)
end

local kinds = {
  RNN = { gates = 1, steps = { tanh = simple(function(x) return x:tanh() end), relu = simple(function(x) return x:relu() end) } },
  LSTM = { gates = 4, step = lstm, cell = true },
  GRU = { gates = 3, step = gru },
}

local function step_of(name, kind, nonlinearity)
  return kind.step or kind.steps[nonlinearity] or tide._fail(("[%s] nonlinearity is 'tanh' or 'relu', not '%s'"):format(name, tostring(nonlinearity)))
end

-- Weights and biases whose names end in `suffix`, uniform within 1 / sqrt(hidden).
local function make_weights(self, suffix, from, gates, a)
  local hidden, o = a.hidden_size, { dtype = a.dtype }
  local bound = hidden > 0 and 1.0 / math.sqrt(hidden) or 0.0
  local function make(name, shape) self[name .. suffix] = init.uniform_(tide.empty(shape, o), -bound, bound):requires_grad_(true) end
  make("weight_ih", { gates * hidden, from })
  make("weight_hh", { gates * hidden, hidden })
  if not a.bias then return end
  make("bias_ih", { gates * hidden })
  make("bias_hh", { gates * hidden })
end

-- {hidden, cell}
local function both(name, state)
  if type(state) ~= "table" then tide._fail(("[%s] the state is {hidden, cell}, not a %s"):format(name, tide.is_tensor(state) and "tensor" or type(state))) end
  return arguments.tensor(name, "hidden state", state[1]), arguments.tensor(name, "cell state", state[2])
end

local function class(name)
  local kind, Recurrent = kinds[name], Module:extend(name)
  local read = arguments(name, "input_size hidden_size num_layers " .. (kind.steps and "nonlinearity " or "") .. "bias batch_first dropout bidirectional dtype", 2,
    { num_layers = 1, bias = true, batch_first = false, dropout = 0.0, bidirectional = false, nonlinearity = kind.steps and "tanh" or nil })

  function Recurrent:init(...)
    local a = read(...)
    if a.num_layers < 1 or a.hidden_size < 1 then tide._fail(("[%s] num_layers and hidden_size must be positive"):format(name)) end
    for _, key in ipairs { "input_size", "hidden_size", "num_layers", "batch_first", "dropout", "bidirectional" } do self[key] = a[key] end
    self._step, self._directions = step_of(name, kind, a.nonlinearity), a.bidirectional and { "", "_reverse" } or { "" }
    for layer = 1, a.num_layers do
      for _, direction in ipairs(self._directions) do
        make_weights(self, ("_l%d%s"):format(layer - 1, direction), layer == 1 and a.input_size or a.hidden_size * #self._directions, kind.gates, a)
      end
    end
  end

  -- One layer in one direction over x (length, batch, size): the hidden state at each time, and the last h, c.
  local function run(self, x, suffix, h, c)
    local gx = tide.nn.functional.linear(x, self["weight_ih" .. suffix], self["bias_ih" .. suffix])
    local w, b, step, out, length = self["weight_hh" .. suffix], self["bias_hh" .. suffix], self._step, {}, x.shape[1]
    local first, last, by = 1, length, 1
    if suffix:find "reverse" then first, last, by = length, 1, -1 end
    for t = first, last, by do
      h, c = step(gx:select(1, t), h, c, w, b)
      out[t] = h
    end
    return tide.stack(out, 1), h, c
  end

  local function want_state(self, state, batch, what)
    local want = { self.num_layers * #self._directions, batch, self.hidden_size }
    if table.concat(state.shape, ",") ~= table.concat(want, ",") then
      tide._fail(("[%s] %s must be a tensor of shape (%s)"):format(name, what, table.concat(want, ",")))
    end
    return state
  end

  function Recurrent:forward(x, state)
    arguments.tensor(name, "input", x)
    if x.ndim ~= 2 and x.ndim ~= 3 then tide._fail(("[%s] an input of %d dims"):format(name, x.ndim)) end
    local alone = x.ndim == 2
    if alone then x = x:unsqueeze(2) elseif self.batch_first then x = x:transpose(1, 2) end
    if x.shape[3] ~= self.input_size then tide._fail(("[%s] inputs of size %d for input_size %d"):format(name, x.shape[3], self.input_size)) end
    if x.shape[1] == 0 then tide._fail(("[%s] the input has no time steps"):format(name)) end
    local batch, h0, c0 = x.shape[2], state, nil
    if kind.cell and state then h0, c0 = both(name, state) end
    local function given(t, what)
      if not t then return tide.zeros({ self.num_layers * #self._directions, batch, self.hidden_size }, { dtype = x.dtype }) end
      arguments.tensor(name, what, t)
      return want_state(self, alone and t:unsqueeze(2) or t, batch, what)
    end
    h0, c0 = given(h0, "hidden state"), kind.cell and given(c0, "cell state")
    local hs, cs, k = {}, {}, 0
    for layer = 1, self.num_layers do
      local sides = {}
      for d, direction in ipairs(self._directions) do
        k = k + 1
        sides[d], hs[k], cs[k] = run(self, x, ("_l%d%s"):format(layer - 1, direction), h0:select(1, k), c0 and c0:select(1, k))
      end
      x = #sides > 1 and tide.cat(sides, 3) or sides[1]
      if self.dropout > 0 and self.training and layer < self.num_layers then x = tide.nn.functional.dropout(x, { p = self.dropout }) end
    end
    local function back(t) return alone and t:squeeze(2) or t end
    local h, y = back(tide.stack(hs, 1)), back(x)
    if self.batch_first and not alone then y = y:transpose(1, 2) end
    return y, kind.cell and { h, back(tide.stack(cs, 1)) } or h
  end

  function Recurrent:extra()
    return ("%d -> %d, %d layer%s%s"):format(self.input_size, self.hidden_size, self.num_layers, self.num_layers > 1 and "s" or "",
      self.bidirectional and ", both ways" or "")
  end
  return Recurrent
end

-- One step: cell(x, state) gives the new state; x (batch, input_size) or (input_size).
local function cell_class(name, kind)
  local Cell = Module:extend(name)
  local read = arguments(name, "input_size hidden_size bias " .. (kind.steps and "nonlinearity " or "") .. "dtype", 2,
    { bias = true, nonlinearity = kind.steps and "tanh" or nil })
  function Cell:init(...)
    local a = read(...)
    self.input_size, self.hidden_size, self._step = a.input_size, a.hidden_size, step_of(name, kind, a.nonlinearity)
    make_weights(self, "", a.input_size, kind.gates, a)
  end
  function Cell:forward(x, state)
    local alone = arguments.tensor(name, "input", x).ndim == 1
    local h, c = state, nil
    if kind.cell and state then h, c = both(name, state) elseif state then arguments.tensor(name, "state", state) end
    if alone then x = x:unsqueeze(1) end
    if x.ndim ~= 2 or x.shape[2] ~= self.input_size then tide._fail(("[%s] inputs (batch, %d) wanted"):format(name, self.input_size)) end
    local function given(t) return not t and tide.zeros({ x.shape[1], self.hidden_size }, { dtype = x.dtype }) or alone and t:unsqueeze(1) or t end
    h, c = self._step(tide.nn.functional.linear(x, self.weight_ih, self.bias_ih), given(h), kind.cell and given(c), self.weight_hh, self.bias_hh)
    local function back(t) return alone and t:squeeze(1) or t end
    return kind.cell and { back(h), back(c) } or back(h)
  end
  function Cell:extra() return ("%d -> %d"):format(self.input_size, self.hidden_size) end
  return Cell
end

return {
  RNN = class "RNN", LSTM = class "LSTM", GRU = class "GRU",
  RNNCell = cell_class("RNNCell", kinds.RNN), LSTMCell = cell_class("LSTMCell", kinds.LSTM), GRUCell = cell_class("GRUCell", kinds.GRU),
}
