#include "device/cpu/cpu.h"
#include "device/cpu/vm.h"

tide_status tide_cpu_program(tide_context *cx, void **compiled, void **bound, const tide_prog *piece, int niter,
                             const tide_iter *iter, const uint64_t *slot) {
    if (!*compiled && !(*compiled = tide_vm_build(cx, piece))) return tide_pending(cx);
    if (!*bound && !(*bound = tide_vm_bind(cx, *compiled, niter, iter))) return tide_pending(cx);
    return tide_vm_run(cx, *bound, iter, slot);
}

bool tide_cpu_two(tide_context *cx, void **compiled, const tide_piece *pieces, tide_iter *const *iter,
                  const uint64_t *slot, tide_status *status) {
    int rows = pieces[0].swapped; /* the number of the piece that reduces over the program's R */
    if (pieces[0].swapped == pieces[1].swapped) return false;
    for (int i = 0; i < 2; i++)
        if (!compiled[i] && !(compiled[i] = tide_vm_build(cx, pieces[i].prog)))
            return *status = tide_pending(cx), true;
    return tide_vm_run_both(cx, compiled[rows], iter[rows], compiled[!rows], iter[!rows], slot, status);
}

void tide_cpu_release(tide_context *cx, void *compiled) { tide_vm_free(cx, compiled); }

void tide_cpu_unbind(tide_context *cx, void *bound) { tide_vm_unbind(cx, bound); }
