/* Gates of recurrent cells, elementwise over (batch, hidden). */
#include "op/row.h"

tide_status cell_infer(tide_shapes *s);
tide_status cell_infer(tide_shapes *s) {
    for (int i = 1; i < s->nin; i++)
        if (!tide_same_shape(s->in[i], s->in[0]))
            return tide_fail(s->cx, TIDE_EARG, "all inputs have one shape");
    return rule_broadcast(s);
}

PROGRAM(lstm_cell_gates) {
    tide_val kept = p_mul(p, p_sigmoid(p, x[1]), x[3]);
    y[0] = p_add(p, kept, p_mul(p, p_sigmoid(p, x[0]), p_tanh(p, x[2])));
}
PROGRAM(lstm_hidden_gate) { y[0] = p_mul(p, p_sigmoid(p, x[0]), p_tanh(p, x[1])); }
PROGRAM(gru_gates) {
    tide_val z = p_sigmoid(p, x[1]), n = p_tanh(p, p_add(p, x[2], p_mul(p, p_sigmoid(p, x[0]), x[3])));
    y[0] = p_add(p, n, p_mul(p, z, p_sub(p, x[4], n)));
}
