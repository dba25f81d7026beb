#include "device/cpu/cpu.h"
#include "device/cpu/vm.h"

tide_status tide_cpu_program(tide_context *cx, void **compiled, const tide_prog *piece, int niter,
                             const tide_iter *iter, const uint64_t *slot) {
    if (!*compiled) *compiled = tide_vm_build(cx, piece);
    if (!*compiled) return tide_pending(cx);
    return tide_vm_run(cx, *compiled, niter, iter, slot);
}

void tide_cpu_release(tide_context *cx, void *compiled) { tide_vm_free(cx, compiled); }
