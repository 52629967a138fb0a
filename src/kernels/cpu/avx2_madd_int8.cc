// Compiled for AVX2 alone (cmake/Sheaf.cmake), as of processors without VNNI: three instructions
// for the 32 products of VNNI's one.
#include "kernels/cpu/vnni.h"

namespace sheaf::kernels::cpu {

#if defined(__AVX2__) && defined(__FMA__)
namespace {

// The first instruction adds two products of unsigned by signed bytes in 16 bits, and what is more
// than fits is cut off there. A weight takes up to 255, so two neighbours of a row may be 128
// together: where they have one sign, it is their sum that is scaled to 127, and each is rounded by
// half at most. Most blocks' scale stays what their largest number makes it.
struct Avx2Madd : VnniShape<8, 3, 2> {
  static SHEAF_INLINE Floats bounded(Floats x) {
    constexpr int kSwapped = 0b10'11'00'01;
    const Floats pair =
        x + reinterpret_cast<Floats>(_mm256_permute_ps(reinterpret_cast<__m256>(x), kSwapped));
    return max(VnniShape::bounded(x), VnniShape::bounded(pair));
  }
  static SHEAF_INLINE Ints multiply_add(Ints sums, Ints unsigned_bytes, Ints signed_bytes) {
    const __m256i pairs = _mm256_maddubs_epi16(reinterpret_cast<__m256i>(unsigned_bytes),
                                               reinterpret_cast<__m256i>(signed_bytes));
    return sums + reinterpret_cast<Ints>(_mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
  }
};
constexpr LinearKernels kKernels = make_vnni_kernels<Avx2Madd>("avx2 madd int8");

}  // namespace

const LinearKernels* avx2_madd_int8_kernels() { return &kKernels; }
#else
const LinearKernels* avx2_madd_int8_kernels() { return nullptr; }
#endif

}  // namespace sheaf::kernels::cpu
