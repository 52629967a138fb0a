// Compiled for AVX-512 VNNI (cmake/Sheaf.cmake): 6 rows x 32 outputs, exact sums and sums in
// float32, are 24 of 32 registers.
#include "kernels/cpu/vnni.h"

namespace sheaf::kernels::cpu {

#if defined(__AVX512VNNI__)
namespace {

struct Avx512Int8 : VnniShape<16, 6, 2> {
  static SHEAF_INLINE Ints multiply_add(Ints sums, Ints unsigned_bytes, Ints signed_bytes) {
    return reinterpret_cast<Ints>(_mm512_dpbusd_epi32(reinterpret_cast<__m512i>(sums),
                                                      reinterpret_cast<__m512i>(unsigned_bytes),
                                                      reinterpret_cast<__m512i>(signed_bytes)));
  }
};
constexpr LinearKernels kKernels = make_vnni_kernels<Avx512Int8>("avx512 int8");

}  // namespace

const LinearKernels* avx512_int8_kernels() { return &kKernels; }
#else
const LinearKernels* avx512_int8_kernels() { return nullptr; }
#endif

}  // namespace sheaf::kernels::cpu
