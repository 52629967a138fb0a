#pragma once

#include <cstdint>

// Hopper's products of warpgroups as this processor plays them: see warpgroup_mma.cuh for what each
// means. A product reads its operands and changes d when its thread awaits it, and from its
// beginning on d is no number: what is read or changed too early, or never awaited, shows. Ends the
// process, with a sentence, where a product begins without begin_products() or reads what was not
// shown to it.
namespace sheaf::kernels::cuda::emulation {

void begin_products();
void commit_products();
void await_products(unsigned pending);  // the thread's groups but for so many of the latest

// d: [columns / 8][4] of the calling lane. Operands in shared memory by their descriptors, of whose
// forms those with swizzles of 128 and of 64 bytes are known.
void multiply_by_rows(float (*d)[4], unsigned columns, std::uint64_t a, std::uint64_t b, bool add);
void multiply_add_registers(float (*d)[4], unsigned columns, const std::uint32_t (&a)[4],
                            std::uint64_t b);

}  // namespace sheaf::kernels::cuda::emulation
