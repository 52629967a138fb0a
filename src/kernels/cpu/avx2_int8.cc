// Compiled for AVX2 and AVX-VNNI (cmake/Sheaf.cmake): 3 rows x 16 outputs, exact sums and sums in
// float32, are 12 of 16 registers.
#include "kernels/cpu/vnni.h"

namespace sheaf::kernels::cpu {

#if defined(__AVXVNNI__)
namespace {

struct Avx2Int8 : VnniShape<8, 3, 2> {
  static SHEAF_INLINE Ints multiply_add(Ints sums, Ints unsigned_bytes, Ints signed_bytes) {
    return reinterpret_cast<Ints>(_mm256_dpbusd_avx_epi32(reinterpret_cast<__m256i>(sums),
                                                          reinterpret_cast<__m256i>(unsigned_bytes),
                                                          reinterpret_cast<__m256i>(signed_bytes)));
  }
};
constexpr LinearKernels kKernels = make_vnni_kernels<Avx2Int8>("avx2 int8");

}  // namespace

const LinearKernels* avx2_int8_kernels() { return &kKernels; }
#else
const LinearKernels* avx2_int8_kernels() { return nullptr; }
#endif

}  // namespace sheaf::kernels::cpu
