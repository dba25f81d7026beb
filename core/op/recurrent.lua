-- The elementwise half of recurrent cells; the products are `linear`.
local function cell(name, args, doc)
  return { name, args, program = true, floating = true, infer = "cell_infer", method = false, doc = doc }
end
return {
  cell("lstm_cell_gates", "i: tensor, f: tensor, g: tensor, cell: tensor",
    "The cell of an LSTM after its products: sigmoid(f) cell + sigmoid(i) tanh(g) (Hochreiter and Schmidhuber 1997; Gers et al. 2000)."),
  cell("lstm_hidden_gate", "o: tensor, cell: tensor", "What an LSTM shows of its new cell: sigmoid(o) tanh(cell)."),
  cell("gru_gates", "r: tensor, z: tensor, n: tensor, m: tensor, hidden: tensor",
    "One step of a GRU after its products: (1 - s(z)) tanh(n + s(r) m) + s(z) hidden, s the sigmoid (Cho et al., arXiv 1406.1078)."),
}
