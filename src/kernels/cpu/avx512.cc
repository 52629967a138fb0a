// Compiled for AVX-512 F, VL, BW and DQ (CMakeLists.txt): 32 registers of 16 floats hold 12 x 2
// sums, the weights' columns and a spread input.
#include "kernels/cpu/table.h"

namespace sheaf::kernels::cpu {

#if defined(__AVX512F__) && defined(__AVX512DQ__)
namespace {
struct Avx512 : TileShape<16, 12, 2> {};
constexpr Kernels kKernels = make_kernels<Avx512>("cpu avx512", 96);
}  // namespace

const Kernels* avx512_kernels() { return &kKernels; }
#else
const Kernels* avx512_kernels() { return nullptr; }
#endif

}  // namespace sheaf::kernels::cpu
