#pragma once

#include "kernels/cpu/bf16.h"

// Products by VDPBF16PS: 12 rows x 32 outputs of sums in registers, two inputs an instruction. Only
// sources that are compiled for AVX-512 BF16 may include this.
namespace sheaf::kernels::cpu {

constexpr int kBf16Rows = 12;  // at a time

struct Bf16Ahead {  // memory that is fetched meanwhile, so many numbers a line that is used
  const Bf16* from = nullptr;
  std::size_t step = 0;
};

// sums[r][half] = row r of x, `stride` numbers apart, of so many steps, times half a panel.
template <int R>
SHEAF_INLINE void multiply_bf16_rows(const Bf16* x, std::size_t stride, std::size_t steps,
                                     const Bf16* panel, Bf16Ahead ahead, __m512 (&sums)[R][2]) {
  __m512 own[R][2];
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) own[r][0] = own[r][1] = _mm512_setzero_ps();
  RowPointers<Bf16, R> rows(x, stride);
  for (std::size_t step = 0; step < steps; ++step, panel += 2 * kBf16Half)
    for (std::size_t pair = 0; pair < 16; ++pair, rows.advance(2)) {
      __m512bh columns[2];
#pragma GCC unroll 2
      for (std::size_t half = 0; half < 2; ++half) {
        __builtin_prefetch(ahead.from, 0, 2);
        ahead.from += ahead.step;
        __builtin_memcpy(&columns[half], panel + half * kBf16Half + pair * 32,
                         sizeof columns[half]);
      }
#pragma GCC unroll 16
      for (int r = 0; r < R; ++r) {
        std::int32_t two;
        __builtin_memcpy(&two, rows.at(static_cast<std::size_t>(r)), sizeof two);
        const auto spread = reinterpret_cast<__m512bh>(_mm512_set1_epi32(two));
        own[r][0] = _mm512_dpbf16_ps(own[r][0], columns[0], spread);
        own[r][1] = _mm512_dpbf16_ps(own[r][1], columns[1], spread);
      }
    }
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 2
    for (int half = 0; half < 2; ++half) sums[r][half] = own[r][half];
}

// Of attention (bf16_attention.h). One type a source file, so that no two share an instantiation.
template <class Arch>
struct RowProduct {
  static constexpr std::size_t rows = kBf16Rows;
  static SHEAF_INLINE void multiply(const Bf16* x, std::size_t row_bytes, std::size_t count,
                                    std::size_t steps, const Bf16* panel, float* sums,
                                    std::size_t sums_stride) {
    auto some = [&]<int R>(std::size_t /*first*/) {
      __m512 own[R][2];
      multiply_bf16_rows<R>(x, row_bytes / sizeof(Bf16), steps, panel, {panel, 0}, own);
#pragma GCC unroll 16
      for (std::size_t r = 0; r < R; ++r)
#pragma GCC unroll 2
        for (std::size_t half = 0; half < 2; ++half)
          _mm512_storeu_ps(sums + r * sums_stride + half * 16, own[r][half]);
    };
    with_rows<Arch, kBf16Rows>(count, 0, some);
  }
};

}  // namespace sheaf::kernels::cpu
