// Compiled for AVX-512 VNNI and BF16 (cmake/Sheaf.cmake): the products of avx512_int8.cc, between
// which states are bfloat16.
#include "kernels/cpu/kernels.h"

#if defined(__AVX512VNNI__) && defined(__AVX512BF16__)
#include "kernels/cpu/bf16_attention.h"
#include "kernels/cpu/bf16_rows.h"
#include "kernels/cpu/vnni.h"
#endif

namespace sheaf::kernels::cpu {

#if defined(__AVX512VNNI__) && defined(__AVX512BF16__)
namespace {

struct Attention : NearTileShape<16, kBf16Rows, 2> {};

struct Avx512StateInt8 : Avx512VnniShape {
  static constexpr bool states = true;
  template <bool Whole>
  static SHEAF_INLINE void finish_state(const LinearPiece& p, std::size_t row, std::size_t column,
                                        Floats value) {
    cpu::finish_state<Avx512StateInt8, Whole>(p, row, column, value);
  }
};
constexpr LinearKernels kKernels =
    make_vnni_kernels<Avx512StateInt8>("avx512 bf16 int8", &kBf16States<RowProduct<Attention>>);

}  // namespace

const LinearKernels* avx512_bf16_int8_kernels() { return &kKernels; }
#else
const LinearKernels* avx512_bf16_int8_kernels() { return nullptr; }
#endif

}  // namespace sheaf::kernels::cpu
