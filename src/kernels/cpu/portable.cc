// For any processor: vectors of four floats, as the base instruction sets of x86-64 and Arm have
// them.
#include "kernels/cpu/table.h"

namespace sheaf::kernels::cpu {
namespace {
struct Portable : TileShape<4, 4, 2> {};
constexpr Kernels kKernels = make_kernels<Portable>("cpu portable", 48);
}  // namespace

const Kernels* portable_kernels() { return &kKernels; }

}  // namespace sheaf::kernels::cpu
