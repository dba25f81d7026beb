-- The elementwise half of recurrent cells; the products are `linear`.
local function cell(name, args, outputs, doc)
  return { name, args, program = true, floating = true, infer = "cell_infer", outputs = outputs, method = false, doc = doc }
end
return {
  cell("lstm_gates", "i: tensor, f: tensor, g: tensor, o: tensor, cell: tensor", 2,
    "One step of an LSTM after its products: h = sigmoid(o) tanh(c) and c = sigmoid(f) cell + sigmoid(i) tanh(g) (Hochreiter and Schmidhuber 1997; Gers et al. 2000)."),
  cell("gru_gates", "r: tensor, z: tensor, n: tensor, m: tensor, hidden: tensor", 1,
    "One step of a GRU after its products: (1 - s(z)) tanh(n + s(r) m) + s(z) hidden, s the sigmoid (Cho et al., arXiv 1406.1078)."),
}
