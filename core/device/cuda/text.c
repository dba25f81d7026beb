/* Writes a piece of a program as CUDA C++. Values that vary along R are locals of the loops over R, and each
 * level of reductions computes them again; KEPT and ONE values live in a struct row, one for each kept element.
 */
#include "device/cuda/text.h"
#include <stdarg.h>
#include <stdio.h>

extern const char tide_cuda_prelude_text[]; /* made by embed.lua */

typedef struct {
    tide_context *cx;
    const tide_prog *p;
    tide_cuda_source *out;
    tide_status failed;
    char id[32];     /* what the names of this group begin with */
    int varies;      /* TIDE_AXIS_K in group 0 */
    bool flat;       /* writing a flat kernel: every value is a local */
    uint8_t *live;   /* by value: needed by the group's effects */
    uint8_t *level;  /* by value: levels of reductions below it, its own included */
    uint8_t *needed; /* by value: in the closure being written */
    uint16_t *order; /* by value: its number among the group's reductions */
} writer;

static void put(writer *w, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void put(writer *w, const char *format, ...) {
    tide_cuda_source *o = w->out;
    va_list args;
    for (int pass = 0; pass < 2 && !w->failed; pass++) {
        size_t room = (size_t)(o->capacity - o->length);
        va_start(args, format);
        int n = vsnprintf(o->text ? o->text + o->length : NULL, room, format, args);
        va_end(args);
        if ((size_t)n < room) {
            o->length += n;
            return;
        }
        w->failed = tide_grow(w->cx, (void **)&o->text, &o->capacity, o->length + n + 1, 1);
    }
}

/* ---- values ---- */

/* Written where they are used, since they cost nothing. */
static bool is_inline(const tide_insn *i) {
    return i->op == TIDE_P_CONST || i->op == TIDE_P_SLOT || i->op == TIDE_P_SIZE_K || i->op == TIDE_P_SIZE_R;
}

/* A form with `text` for its operand $a. */
static void put_around(writer *w, const char *form, const char *text) {
    const char *a = strstr(form, "$a");
    put(w, "%.*s%s%s", (int)(a - form), form, text, a + 2);
}

/* The name of a value, or its text if it is inline. */
static void put_value(writer *w, tide_val v) {
    const tide_insn *i = &w->p->insn[v];
    char text[TIDE_FORM];
    switch (i->op) {
    case TIDE_P_CONST:
        tide_insn_form(w->p, v, text);
        put(w, "%s", text);
        return;
    case TIDE_P_SIZE_K: put(w, "q.K"); return;
    case TIDE_P_SIZE_R: put(w, "q.R"); return;
    case TIDE_P_SLOT:
        snprintf(text, sizeof text,
                 w->p->slot[i->a].is_float ? "tide_from_bits_f64(q.slot[%d])" : "(int64_t)q.slot[%d]", i->a);
        put_around(w, tide_c_conversion(i->type, w->p->slot[i->a].is_float ? TIDE_RF64 : TIDE_RI64), text);
        return;
    default: put(w, w->flat || i->space & TIDE_AXIS_R ? "v%d" : "h.v%d", v); return;
    }
}

static void put_address(writer *w, int arg) {
    int space = w->p->arg[arg].space;
    put(w, "(q.arg[%d].base", arg);
    if (space & w->varies & TIDE_AXIS_K) put(w, w->flat ? " + o%d" : " + h.o%d", arg);
    if (space & TIDE_AXIS_R) put(w, " + s%d", arg);
    put(w, ")");
}

static void put_form(writer *w, const tide_insn *i, const char *form) {
    const uint16_t operand[3] = {i->a, i->b, i->c};
    for (; *form; form++) {
        if (*form != '$') {
            put(w, "%c", *form);
            continue;
        }
        int k = *++form - 'a';
        if ((i->op == TIDE_P_LOAD && k == 0) || (i->op == TIDE_P_STORE && k == 1))
            put_address(w, operand[k]);
        else
            put_value(w, operand[k]);
    }
}

/* The right-hand side of a value. */
static void put_expression(writer *w, tide_val v) {
    const tide_insn *i = &w->p->insn[v];
    switch (i->op) {
    case TIDE_P_LOAD: put_form(w, i, tide_c_load[w->p->arg[i->a].dtype]); return;
    case TIDE_P_INDEX_K: put(w, w->flat ? "k" : "h.k"); return;
    case TIDE_P_INDEX_R: put(w, "r"); return;
    case TIDE_P_RANDOM:
        put(w, "tide_random(q.slot[%d], q.slot[%d], ", i->b, i->c);
        put_value(w, i->a);
        put(w, ")");
        return;
    default: break;
    }
    char form[TIDE_FORM];
    if (tide_insn_form(w->p, v, form))
        put_form(w, i, form);
    else
        w->failed = tide_fail(w->cx, TIDE_EUNSUP, "cuda: %s of %s", tide_insn_name[i->op],
                              tide_c_suffix[w->p->insn[i->a].type]);
}

/* ---- which values ---- */

static bool is_effect(const tide_insn *i) { return tide_insn_kind[i->op] == 'E'; }
static bool is_reduction(const tide_insn *i) { return tide_insn_kind[i->op] == 'R'; }

/* Is it an effect of this group? */
static bool is_mine(const writer *w, const tide_insn *i) {
    return is_effect(i) && (i->space & TIDE_AXIS_K) == w->varies;
}

static void mark_operands(const tide_insn *i, uint8_t *set) {
    const int n = tide_insn_nargs[i->op];
    if (n > 0) set[i->a] = 1;
    if (n > 1) set[i->b] = 1;
    if (n > 2) set[i->c] = 1;
}

/* What the group's effects need, levels, and the group's shape. */
static void find_live(writer *w, tide_cuda_group *g) {
    const tide_prog *p = w->p;
    memset(w->live, 0, (size_t)p->n);
    for (int64_t v = p->n - 1; v >= 0; v--)
        if (w->live[v] || is_mine(w, &p->insn[v])) w->live[v] = 1, mark_operands(&p->insn[v], w->live);
    for (int64_t v = 0; v < p->n && !w->failed; v++) {
        const tide_insn *i = &p->insn[v];
        const int n = tide_insn_nargs[i->op];
        uint8_t level = 0;
        if (n > 0 && w->level[i->a] > level) level = w->level[i->a];
        if (n > 1 && w->level[i->b] > level) level = w->level[i->b];
        if (n > 2 && w->level[i->c] > level) level = w->level[i->c];
        w->level[v] = level;
        if (!w->live[v]) continue;
        if (is_reduction(i)) {
            if (i->aux != TIDE_AXIS_R)
                w->failed = tide_fail(w->cx, TIDE_EARG, "cuda: the program is not a piece");
            if (++w->level[v] > TIDE_CUDA_LEVELS) {
                w->failed =
                    tide_fail(w->cx, TIDE_EUNSUP, "cuda: more than %d reductions that wait for each other",
                              TIDE_CUDA_LEVELS);
                return;
            }
            if (w->level[v] > g->nlevel) g->nlevel = w->level[v];
            g->nred[w->level[v] - 1]++;
        }
        if (is_effect(i)) *(i->space & TIDE_AXIS_R ? &g->points : &g->ends) = true;
    }
    uint16_t n = 0;
    for (int level = 1; level <= g->nlevel; level++)
        for (int64_t v = 0; v < p->n; v++)
            if (w->live[v] && is_reduction(&p->insn[v]) && w->level[v] == level) w->order[v] = n++;
    g->flat = g->nlevel == 0;
}

/* Marks in needed[] what has to be computed before the roots that are marked: all of it in a flat kernel, else
 * what varies along R, the rest being in the row. */
static void close_needed(writer *w) {
    const tide_prog *p = w->p;
    for (int64_t v = p->n - 1; v >= 0; v--) {
        const tide_insn *i = &p->insn[v];
        if (!w->needed[v] || is_effect(i)) continue;
        if (is_inline(i) || (!w->flat && !(i->space & TIDE_AXIS_R)))
            w->needed[v] = 0;
        else
            mark_operands(i, w->needed);
    }
}

/* ---- statements ---- */

/* Byte offsets along an axis of the arguments that needed[] loads or stores: `o` along K, `s` along R. */
static void put_offsets(writer *w, const char *indent, int axis, const char *from, const char *prefix) {
    const tide_prog *p = w->p;
    const char *n = axis == TIDE_AXIS_K ? "k" : "r", *o = axis == TIDE_AXIS_K ? "o" : "s";
    bool used[TIDE_MAXARGS] = {false}, any = false;
    for (int64_t v = 0; v < p->n; v++) {
        const tide_insn *i = &p->insn[v];
        const int arg = i->op == TIDE_P_LOAD ? i->a : i->op == TIDE_P_STORE ? i->b : -1;
        if (w->needed[v] && arg >= 0 && p->arg[arg].space & axis) used[arg] = any = true;
    }
    if (!any) return;
    for (int a = 0; a < p->narg; a++)
        if (used[a]) put(w, *prefix ? "%s%s%s%d = 0;\n" : "%sint64_t %s%s%d = 0;\n", indent, prefix, o, a);
    put(w, "%sfor (int64_t d = q.n%s, i = %s; d-- > 0;) {\n", indent, n, from);
    put(w, "%s    const int64_t c = d > 0 ? tide_digit(i, q.%s[d]) : i;\n", indent, n);
    for (int a = 0; a < p->narg; a++)
        if (used[a]) put(w, "%s    %s%s%d += c * q.arg[%d].s%s[d];\n", indent, prefix, o, a, a, n);
    put(w, "%s}\n", indent);
}

/* The needed values, and then the needed effects, so that all loads come before stores into the same memory. */
static void put_needed(writer *w, const char *indent) {
    const tide_prog *p = w->p;
    for (int64_t v = 0; v < p->n; v++) {
        const tide_insn *i = &p->insn[v];
        if (!w->needed[v] || is_effect(i)) continue;
        put(w, "%sconst %s v%d = ", indent, tide_c_type[i->type], (int)v);
        put_expression(w, (tide_val)v);
        put(w, ";\n");
    }
    for (int64_t v = 0; v < p->n; v++) {
        const tide_insn *i = &p->insn[v];
        if (!w->needed[v] || !is_effect(i)) continue;
        if (i->op == TIDE_P_CHECK) {
            put(w, "%stide_check(q.flag, ", indent);
            put_value(w, i->a);
            put(w, ", %d);\n", i->b);
        } else {
            put(w, "%s", indent);
            put_form(w, i, tide_c_store[p->arg[i->b].dtype]);
            put(w, ";\n");
        }
    }
}

/* ---- functions ---- */

static void put_flat(writer *w, int space) {
    const tide_prog *p = w->p;
    memset(w->needed, 0, (size_t)p->n);
    bool any = false;
    for (int64_t v = 0; v < p->n; v++) {
        if (!is_effect(&p->insn[v]) || p->insn[v].space != space) continue;
        any = true;
        w->needed[v] = 1;
        mark_operands(&p->insn[v], w->needed);
    }
    if (!any) return;
    w->flat = true;
    close_needed(w);
    w->out->kernels |= (uint16_t)(1u << space);
    put(w,
        "\nTIDE_KERNEL %s_flat%d(const __grid_constant__ tide_space<%d> q, const __grid_constant__ "
        "tide_cuda_work w) {\n",
        w->out->name, space, p->narg);
    put(w, "    const int64_t step = (int64_t)gridDim.x * blockDim.x;\n"
           "    for (int64_t e = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; e < w.count; e += step) {\n");
    if (space == TIDE_POINT)
        put(w, "        int64_t k = e;\n"
               "        const int64_t r = q.nr ? tide_digit(k, q.R) : 0;\n");
    else if (space)
        put(w, "        const int64_t %s = e;\n", space == TIDE_KEPT ? "k" : "r");
    if (space & TIDE_AXIS_K) put_offsets(w, "        ", TIDE_AXIS_K, "k", "");
    if (space & TIDE_AXIS_R) put_offsets(w, "        ", TIDE_AXIS_R, "r", "");
    put_needed(w, "        ");
    put(w, "    }\n}\n");
    w->flat = false;
}

/* Is v a member of the row? */
static bool in_row(const writer *w, int64_t v) {
    const tide_insn *i = &w->p->insn[v];
    return w->live[v] && !is_effect(i) && !is_inline(i) && !(i->space & TIDE_AXIS_R);
}

/* The row: KEPT and ONE values, and where the arguments' kept elements are. */
static void put_row(writer *w) {
    const tide_prog *p = w->p;
    put(w, "\nstruct %s_row {\n    int64_t k;\n", w->id);
    if (w->varies)
        for (int a = 0; a < p->narg; a++)
            if (p->arg[a].space & TIDE_AXIS_K) put(w, "    int64_t o%d;\n", a);
    for (int64_t v = 0; v < p->n; v++)
        if (in_row(w, v)) put(w, "    %s v%d;\n", tide_c_type[p->insn[v].type], (int)v);
    put(w, "};\n");
}

/* Computes the row's values that need `level` levels of reductions. */
static void put_row_level(writer *w, int level) {
    const tide_prog *p = w->p;
    put(w, "\nTIDE_FN void %s_row%d(const tide_space<%d> &q, %s_row &h) {\n", w->id, level, p->narg, w->id);
    if (level == 0 && w->varies) {
        memcpy(w->needed, w->live, (size_t)p->n);
        put_offsets(w, "    ", TIDE_AXIS_K, "h.k", "h.");
    }
    for (int64_t v = 0; v < p->n; v++) {
        if (!in_row(w, v) || is_reduction(&p->insn[v]) || w->level[v] != level) continue;
        put(w, "    h.v%d = ", (int)v);
        put_expression(w, (tide_val)v);
        put(w, ";\n");
    }
    put(w, "}\n");
}

static const char *reduction_name(const tide_insn *i) {
    return i->op == TIDE_P_SUM ? "sum" : i->op == TIDE_P_PROD ? "prod" : i->op == TIDE_P_MAXR ? "maxr" : "minr";
}

static bool of_level(const writer *w, int64_t v, int level) {
    return w->live[v] && is_reduction(&w->p->insn[v]) && w->level[v] == level;
}

static void put_signature(writer *w, const char *name, int level) {
    put(w,
        "\nTIDE_FN void %s_%s%d(const tide_space<%d> &q, const tide_place &at, int64_t begin, int64_t end, "
        "%s_row &h) {\n",
        w->id, name, level, w->p->narg, w->id);
}

/* Computes the reductions of a level over R from begin to end. */
static void put_pass(writer *w, int level) {
    const tide_prog *p = w->p;
    put_signature(w, "pass", level);
    memset(w->needed, 0, (size_t)p->n);
    for (int64_t v = 0; v < p->n; v++) {
        if (!of_level(w, v, level)) continue;
        const tide_insn *i = &p->insn[v];
        mark_operands(i, w->needed);
        put(w, "    typedef tide_%s_%s op%d;\n", reduction_name(i), tide_c_suffix[i->type], (int)v);
        put(w, "    %s l%d[TIDE_DEPTH], x%d = op%d::none();\n", tide_c_type[i->type], (int)v, (int)v, (int)v);
    }
    close_needed(w);
    put(w, "    for (uint32_t j = 0; j >> at.lg == 0; j++) {\n");
    for (int64_t v = 0; v < p->n; v++)
        if (of_level(w, v, level))
            put(w, "        %s a%d = op%d::none();\n", tide_c_type[p->insn[v].type], (int)v, (int)v);
    put(w, "        for (int64_t r = begin + tide_lane(at, j); r < end; r += TIDE_LANES) {\n");
    put_offsets(w, "            ", TIDE_AXIS_R, "r", "");
    put_needed(w, "            ");
    for (int64_t v = 0; v < p->n; v++) {
        if (!of_level(w, v, level)) continue;
        put(w, "            a%d = op%d::of(a%d, ", (int)v, (int)v, (int)v);
        put_value(w, p->insn[v].a);
        put(w, ");\n");
    }
    put(w, "        }\n");
    for (int64_t v = 0; v < p->n; v++)
        if (of_level(w, v, level))
            put(w, "        x%d = tide_push<op%d>(l%d, j, a%d);\n", (int)v, (int)v, (int)v, (int)v);
    put(w, "    }\n");
    for (int64_t v = 0; v < p->n; v++) {
        if (!of_level(w, v, level)) continue;
        put(w, "    h.v%d = tide_tree<op%d>(x%d, at);\n", (int)v, (int)v, (int)v);
        if (p->insn[v].op == TIDE_P_SUM && p->insn[v].type <= TIDE_RF64) /* nothing sums to +0 */
            put(w, "    if (q.R == 0) h.v%d = 0;\n", (int)v);
    }
    put(w, "}\n");
}

/* The effects that vary along R, and those that do not. */
static void put_points(writer *w) {
    const tide_prog *p = w->p;
    put_signature(w, "points", 0);
    memset(w->needed, 0, (size_t)p->n);
    for (int64_t v = 0; v < p->n; v++)
        if (is_mine(w, &p->insn[v]) && p->insn[v].space & TIDE_AXIS_R)
            w->needed[v] = 1, mark_operands(&p->insn[v], w->needed);
    close_needed(w);
    put(w, "    for (uint32_t j = 0; j >> at.lg == 0; j++) {\n"
           "        for (int64_t r = begin + tide_lane(at, j); r < end; r += TIDE_LANES) {\n");
    put_offsets(w, "            ", TIDE_AXIS_R, "r", "");
    put_needed(w, "            ");
    put(w, "        }\n    }\n}\n");
}

static void put_ends(writer *w) {
    const tide_prog *p = w->p;
    put(w, "\nTIDE_FN void %s_ends(const tide_space<%d> &q, %s_row &h) {\n", w->id, p->narg, w->id);
    for (int64_t v = 0; v < p->n; v++)
        w->needed[v] = is_mine(w, &p->insn[v]) && !(p->insn[v].space & TIDE_AXIS_R);
    put_needed(w, "    ");
    put(w, "}\n");
}

/* ---- kernels of a group with reductions ---- */

static void put_kernel(writer *w, const char *name) {
    put(w,
        "\nTIDE_KERNEL %s_%s(const __grid_constant__ tide_space<%d> q, const __grid_constant__ tide_cuda_work "
        "w) {\n",
        w->id, name, w->p->narg);
}

static void put_rows(writer *w, const tide_cuda_group *g) {
    put_kernel(w, "rows");
    put(w,
        "    const tide_place at = tide_place_of(w);\n"
        "    for (int64_t first = (int64_t)blockIdx.x << w.lw; first < w.count; first += (int64_t)gridDim.x << "
        "w.lw) {\n"
        "        const bool live = first + at.w < w.count;\n"
        "        %s_row h;\n"
        "        h.k = live ? first + at.w : w.count - 1;\n"
        "        %s_row0(q, h);\n",
        w->id, w->id);
    for (int level = 1; level <= g->nlevel; level++)
        put(w, "        %s_pass%d(q, at, 0, q.R, h);\n        %s_row%d(q, h);\n", w->id, level, w->id, level);
    if (g->points) put(w, "        if (live) %s_points0(q, at, 0, q.R, h);\n", w->id);
    if (g->ends) put(w, "        if (live && at.t == 0) %s_ends(q, h);\n", w->id);
    put(w, "    }\n}\n");
}

static void put_stage(writer *w, const tide_cuda_group *g) {
    const tide_prog *p = w->p;
    put_kernel(w, "stage");
    put(w,
        "    const tide_place at = tide_place_of(w);\n"
        "    const int64_t blocks = ((w.kept + (1 << w.lw) - 1) >> w.lw) * w.chunks;\n"
        "    for (int64_t b = blockIdx.x; b < blocks; b += gridDim.x) {\n"
        "        int64_t k = b;\n"
        "        const int64_t c = tide_digit(k, w.chunks), begin = c * TIDE_CHUNK;\n"
        "        const int64_t end = begin + TIDE_CHUNK < q.R ? begin + TIDE_CHUNK : q.R;\n"
        "        k = (k << w.lw) + at.w;\n"
        "        const bool live = k < w.kept;\n"
        "        %s_row h;\n"
        "        h.k = live ? k : w.kept - 1;\n"
        "        %s_row0(q, h);\n",
        w->id, w->id);
    for (int level = 1; level <= g->nlevel; level++) {
        put(w, "        if (w.level == %d) {\n            %s_pass%d(q, at, begin, end, h);\n", level, w->id,
            level);
        put(w, "            if (live && at.t == 0) {\n");
        int n = 0;
        for (int64_t v = 0; v < p->n; v++)
            if (of_level(w, v, level)) put(w, "                tide_put(w, %d, k, c, h.v%d);\n", n++, (int)v);
        put(w, "            }\n            continue;\n        }\n");
        for (int64_t v = 0; v < p->n; v++)
            if (of_level(w, v, level))
                put(w, "        h.v%d = tide_got<%s>(w, %d, h.k);\n", (int)v, tide_c_type[p->insn[v].type],
                    w->order[v]);
        put(w, "        %s_row%d(q, h);\n", w->id, level);
    }
    if (g->points)
        put(w, "        if (live && w.level == %d) %s_points0(q, at, begin, end, h);\n", g->nlevel + 1, w->id);
    if (g->ends)
        put(w, "        if (live && w.level == %d && at.t == 0) %s_ends(q, h);\n", g->nlevel + 2, w->id);
    put(w, "    }\n}\n");
}

static void put_join(writer *w, const tide_cuda_group *g) {
    put_kernel(w, "join");
    for (int level = 1; level <= g->nlevel; level++) {
        int n = 0;
        put(w, "    if (w.level == %d) {\n", level);
        for (int64_t v = 0; v < w->p->n; v++)
            if (of_level(w, v, level))
                put(w, "        tide_join<tide_%s_%s>(w, %d, %d);\n", reduction_name(&w->p->insn[v]),
                    tide_c_suffix[w->p->insn[v].type], n++, w->order[v]);
        put(w, "    }\n");
    }
    put(w, "}\n");
}

static void put_group(writer *w, int group) {
    tide_cuda_group *g = &w->out->group[group];
    w->varies = group == 0 ? TIDE_AXIS_K : 0;
    snprintf(w->id, sizeof w->id, group == 0 ? "%s" : "%s_once", w->out->name);
    find_live(w, g);
    if (w->failed || !(g->points || g->ends)) return;
    if (g->flat) {
        put_flat(w, w->varies | TIDE_AXIS_R);
        put_flat(w, w->varies);
        return;
    }
    w->out->kernels |= (uint16_t)(7u << (group == 0 ? TIDE_CUDA_ROWS : TIDE_CUDA_ONCE));
    put_row(w);
    for (int level = 0; level <= g->nlevel; level++) {
        if (level > 0) put_pass(w, level);
        put_row_level(w, level);
    }
    if (g->points) put_points(w);
    if (g->ends) put_ends(w);
    put_rows(w, g);
    put_stage(w, g);
    put_join(w, g);
}

/* ---- the whole ---- */

tide_status tide_cuda_text(tide_context *cx, const tide_prog *piece, tide_cuda_source *out) {
    memset(out, 0, sizeof *out);
    snprintf(out->name, sizeof out->name, "t%016llx", (unsigned long long)tide_prog_hash(piece, true));
    out->narg = piece->narg;
    const size_t n = (size_t)piece->n, bytes = n * (3 + sizeof(uint16_t));
    uint16_t *order = tide_alloc0(cx, bytes);
    if (!order) return TIDE_EMEM;
    uint8_t *sets = (uint8_t *)(order + n);
    writer w = {.cx = cx,
                .p = piece,
                .out = out,
                .order = order,
                .live = sets,
                .level = sets + n,
                .needed = sets + 2 * n};
    for (int group = 0; group < 2 && !w.failed; group++) put_group(&w, group);
    put(&w, "\n");
    tide_release(cx, order, bytes);
    if (w.failed) tide_cuda_source_free(cx, out);
    return w.failed;
}

void tide_cuda_source_free(tide_context *cx, tide_cuda_source *source) {
    tide_release(cx, source->text, (size_t)source->capacity);
    source->text = NULL;
    source->length = source->capacity = 0;
}

void tide_cuda_kernel_name(const tide_cuda_source *source, int kernel, char out[48]) {
    static const char *const end[TIDE_CUDA_NKERNEL] = {
        "flat0", "flat1", "flat2", "flat3", "rows", "stage", "join", "once_rows", "once_stage", "once_join"};
    snprintf(out, 48, "%s_%s", source->name, end[kernel]);
}

const char *tide_cuda_prelude(void) { return tide_cuda_prelude_text; }
