// Compiled for AVX2 and FMA (CMakeLists.txt): 16 registers of 8 floats hold 6 x 2 sums, two columns
// of weights and one spread input.
#include "kernels/cpu/table.h"

namespace sheaf::kernels::cpu {

#if defined(__AVX2__) && defined(__FMA__)
namespace {
struct Avx2 : TileShape<8, 6, 2> {};
constexpr Kernels kKernels = make_kernels<Avx2>("cpu avx2", 48);
}  // namespace

const Kernels* avx2_kernels() { return &kKernels; }
#else
const Kernels* avx2_kernels() { return nullptr; }
#endif

}  // namespace sheaf::kernels::cpu
