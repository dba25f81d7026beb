/* Cheap steps on floats that follow each other become chains (vm_chain.c). */
#include "device/cpu/vm_plan.h"

enum { LONGEST = TIDE_MAXLINKS / 3 }; /* a step is at most three links: load, work, store */

static const struct {
    uint8_t op, code, turned; /* turned: the number at hand is the last operand */
} links[] = {
    {TIDE_P_ADD, TIDE_LINK_ADD, TIDE_LINK_ADD},    {TIDE_P_SUB, TIDE_LINK_SUB, TIDE_LINK_SUB_FROM},
    {TIDE_P_MUL, TIDE_LINK_MUL, TIDE_LINK_MUL},    {TIDE_P_DIV, TIDE_LINK_DIV, TIDE_LINK_DIV_INTO},
    {TIDE_P_NEG, TIDE_LINK_NEG, TIDE_LINK_NEG},    {TIDE_P_ABS, TIDE_LINK_ABS, TIDE_LINK_ABS},
    {TIDE_P_SQRT, TIDE_LINK_SQRT, TIDE_LINK_SQRT}, {TIDE_P_FMA, TIDE_LINK_FMA, TIDE_LINK_ADD_PRODUCT},
};

/* The row of links[] that does what the step does, or -1. */
static int link_of(const tide_vm *vm, const tide_vm_step *t) {
    for (size_t k = 0; t->kind == VM_KERNEL && t->space == TIDE_POINT && k < sizeof links / sizeof *links; k++)
        if (t->fn == vm->kernels->op[links[k].op][TIDE_RF32]) return (int)k;
    return -1;
}

static int operands_of(int link) { return tide_insn_nargs[links[link].op]; }
static bool is_square(const tide_vm_step *t, int link) {
    return links[link].op == TIDE_P_MUL && t->ref[1] == t->ref[2];
}

/* Where the chain that begins at step s ends; s itself if there is none. */
static int end_of(const tide_vm *vm, const tide_vm_plan *plan, int s, int end) {
    int e = s;
    while (e < end && e - s < LONGEST && link_of(vm, &plan->step[e]) >= 0) e++;
    return e - s > 1 ? e : s;
}

/* Does step t, in a chain, take v from the step before it? Then as one operand only, but for squares. */
static bool takes(const tide_vm *vm, const tide_vm_step *t, uint16_t v) {
    int link = link_of(vm, t), times = 0;
    for (int k = 1; k <= operands_of(link); k++) times += t->ref[k] == v;
    return times == 1 || (times == 2 && is_square(t, link));
}

void tide_vm_find_passing(const tide_vm *vm, tide_vm_plan *plan, uint16_t *uses) {
    int all = plan->section[vm_finish(plan) + 1];
    memset(uses, 0, (size_t)plan->nvalue * sizeof *uses);
    for (int s = 0; s < all; s++)
        for (int k = 1; k < 4; k++)
            if (k == 1 || plan->step[s].ref[k] != plan->step[s].ref[1]) uses[plan->step[s].ref[k]]++;
    for (int level = 0; level < plan->nlevel; level++) {
        int end = plan->section[vm_pass(level) + 1];
        for (int s = plan->section[vm_pass(level)]; s < end;) {
            int e = end_of(vm, plan, s, end);
            for (; s + 1 < e; s++) {
                uint16_t v = plan->step[s].ref[0];
                if (plan->value[v].place == VM_REG && uses[v] == 1 && takes(vm, &plan->step[s + 1], v))
                    plan->value[v].place = VM_PASSING;
            }
            s++;
        }
    }
}

static void add_link(tide_vm_plan *plan, int code, int ref, int second) {
    plan->link[plan->nlink++] = (tide_vm_link){(uint16_t)code, (uint16_t)ref, (uint16_t)second};
}

/* The links of one step; `at_hand`: the value that the step before left, or -1. */
static void add_links(const tide_vm *vm, tide_vm_plan *plan, const tide_vm_step *t, int at_hand) {
    int link = link_of(vm, t), n = operands_of(link), a = t->ref[1], b = t->ref[2], c = t->ref[3];
    if (at_hand < 0 || !takes(vm, t, (uint16_t)at_hand)) {
        add_link(plan, TIDE_LINK_LOAD, a, 0);
        at_hand = a;
    }
    if (n == 1)
        add_link(plan, links[link].code, 0, 0);
    else if (is_square(t, link))
        add_link(plan, TIDE_LINK_SQUARE, 0, 0);
    else if (t->ref[n] == at_hand && a != at_hand)
        add_link(plan, links[link].turned, a, n == 3 ? b : 0);
    else /* the factors of a product may change places */
        add_link(plan, links[link].code, a == at_hand ? b : a, n == 3 ? c : 0);
    if (plan->value[t->ref[0]].place != VM_PASSING) add_link(plan, TIDE_LINK_STORE, t->ref[0], 0);
}

void tide_vm_fuse(const tide_vm *vm, tide_vm_plan *plan) {
    int to = 0, s = 0;
    for (int section = 0; section <= vm_finish(plan); section++) {
        bool pass = section >= vm_pass(0) && section < vm_finish(plan) && !((section - vm_pass(0)) & 1);
        int end = plan->section[section + 1];
        plan->section[section] = (uint16_t)to;
        while (s < end) {
            int e = pass ? end_of(vm, plan, s, end) : s, first = plan->nlink;
            if (e == s) {
                plan->step[to++] = plan->step[s++];
                continue;
            }
            for (int at_hand = -1; s < e; at_hand = plan->step[s++].ref[0])
                add_links(vm, plan, &plan->step[s], at_hand);
            plan->step[to++] = (tide_vm_step){.kind = VM_CHAIN,
                                              .space = TIDE_POINT,
                                              .ref = {(uint16_t)first, (uint16_t)(plan->nlink - first)}};
        }
    }
    plan->section[vm_finish(plan) + 1] = (uint16_t)to;
}
