/* The blocked vector machine: runs a piece of a program on the CPU. */
#ifndef TIDE_VM_H
#define TIDE_VM_H

#include "program/program.h"

/* A piece, translated: registers assigned, kernels picked for the instruction set. */
typedef struct tide_vm tide_vm;

/* NULL: error pending. The piece is not kept (its check texts are); its reductions run over R only. */
tide_vm *tide_vm_build(tide_context *cx, const tide_prog *piece);
void tide_vm_free(tide_context *cx, tide_vm *vm); /* NULL passes */

/* The piece over each of the `niter` spaces (a list of tensors gives several), as one list of tiles; what
 * depends on shapes and strides alone. NULL: error pending. */
typedef struct tide_vm_launch tide_vm_launch;
tide_vm_launch *tide_vm_bind(tide_context *cx, const tide_vm *vm, int niter, const tide_iter *iter);
void tide_vm_unbind(tide_context *cx, tide_vm_launch *launch); /* NULL passes */

/* Runs it at the addresses in iter, which is otherwise as it was. slot: the numbers of the program's slots
 * (bits of a double or an int64_t). A CHECK that does not hold gives TIDE_EARG with its text; outputs are then
 * undefined. Outputs may be the same memory as inputs only where base and strides are equal. */
tide_status tide_vm_run(tide_context *cx, tide_vm_launch *launch, const tide_iter *iter, const uint64_t *slot);
/* A piece and one over the same elements whose K is the first one's R, in one go: false, and nothing is done,
 * where that cannot be. */
bool tide_vm_run_both(tide_context *cx, const tide_vm *rows, const tide_iter *rows_it, const tide_vm *columns,
                      const tide_iter *columns_it, const uint64_t *slot, tide_status *status);

#endif
