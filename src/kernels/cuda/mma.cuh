#pragma once

#include "kernels/cuda/target.cuh"

// The product of a card's matrix unit, a warp at a time: d [16, 8] += a [16, 16] b [16, 8], a and b
// in T, sums in float32. In the words of PTX: mma.sync.aligned.m16n8k16.row.col. With group = lane
// / 4 and place = lane % 4 a lane holds
//   of a: [group, 2 place], [group + 8, 2 place], [group, 2 place + 8], [group + 8, 2 place + 8],
//   of b: [2 place, group], [2 place + 8, group],
//   of d: [group, 2 place], [group, 2 place + 1], [group + 8, 2 place], [group + 8, 2 place + 1],
// where a register of a holds this element and the next of its row, one of b that of its column.
// load_matrices() brings such registers from shared memory: ldmatrix.sync.aligned.m8n8.x4[.trans].
//
// Of whole numbers of 8 bits two lie in the place of each of those elements: a [16, 32], b [32, 8],
// sums of 32 bits, exact. In the words of PTX: mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32.
namespace sheaf::kernels::cuda {

// Two neighbouring elements, the first in the lower half.
template <class T>
__device__ std::uint32_t pack_pair(float first, float second);

template <class T>
__device__ void multiply_add(float (&d)[4], const std::uint32_t (&a)[4],
                             const std::uint32_t (&b)[2]);

__device__ void multiply_add_int8(std::int32_t (&d)[4], const std::uint32_t (&a)[4],
                                  const std::uint32_t (&b)[2]);

// Four matrices of 8 rows of 8 elements of 16 bits, a register each: of matrix i a lane gets
// [group, 2 place] and the next of its row; transposed, [2 place, group] and the next of its
// column. Lane l names row l % 8 of matrix l / 8: 16 bytes at a multiple of 16.
enum class Matrices { as_they_lie, transposed };
template <Matrices kHow>
__device__ void load_matrices(const void* row, std::uint32_t (&to)[4]);

#if defined(__CUDACC__)

template <>
__device__ inline std::uint32_t pack_pair<Bfloat16>(float first, float second) {
  const __nv_bfloat162 pair = __floats2bfloat162_rn(first, second);
  return *reinterpret_cast<const std::uint32_t*>(&pair);
}
template <>
__device__ inline std::uint32_t pack_pair<Half>(float first, float second) {
  const __half2 pair = __floats2half2_rn(first, second);
  return *reinterpret_cast<const std::uint32_t*>(&pair);
}

template <>
__device__ inline void multiply_add<Bfloat16>(float (&d)[4], const std::uint32_t (&a)[4],
                                              const std::uint32_t (&b)[2]) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
      "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}
template <>
__device__ inline void multiply_add<Half>(float (&d)[4], const std::uint32_t (&a)[4],
                                          const std::uint32_t (&b)[2]) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 "
      "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

__device__ inline void multiply_add_int8(std::int32_t (&d)[4], const std::uint32_t (&a)[4],
                                         const std::uint32_t (&b)[2]) {
  asm volatile(
      "mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 "
      "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+r"(d[0]), "+r"(d[1]), "+r"(d[2]), "+r"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

template <>
__device__ inline void load_matrices<Matrices::as_they_lie>(const void* row,
                                                            std::uint32_t (&to)[4]) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
               : "r"(shared_address(row))
               : "memory");
}
template <>
__device__ inline void load_matrices<Matrices::transposed>(const void* row,
                                                           std::uint32_t (&to)[4]) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
               : "r"(shared_address(row))
               : "memory");
}

#else

template <class T>
std::uint32_t pack_pair(float first, float second) {
  return std::uint32_t{from_float<T>(first).bits} | std::uint32_t{from_float<T>(second).bits} << 16;
}

// What the lanes of a warp bring to a product: registers of a, then those of b.
struct WarpOperands {
  emulation::Exchange met;

  WarpOperands(const std::uint32_t (&a)[4], const std::uint32_t (&b)[2]) {
    std::uint32_t mine[6];
    std::memcpy(mine, a, sizeof a);
    std::memcpy(mine + 4, b, sizeof b);
    met = emulation::exchange_in_warp(mine, sizeof mine);
  }
  std::uint32_t of_lane(unsigned lane, unsigned i) const {
    std::uint32_t one;
    std::memcpy(&one, met.all + lane * emulation::kLaneBytes + i * sizeof one, sizeof one);
    return one;
  }
  // Calls add(i, a, b) with each pair of registers whose elements the calling lane's d[i] has a
  // product of, in their order.
  template <class Add>
  void for_each_pair(const Add& add) const {
    const unsigned group = met.lane / 4;
    const unsigned place = met.lane % 4;
    for (unsigned k = 0; k < 8; ++k) {
      const unsigned holder = k % 4;  // its place
      for (unsigned j = 0; j < 2; ++j) {
        const std::uint32_t column = of_lane((2 * place + j) * 4 + holder, 4 + k / 4);
        for (unsigned half = 0; half < 2; ++half)
          add(2 * half + j, of_lane(group * 4 + holder, k / 4 * 2 + half), column);
      }
    }
  }
};

// All lanes bring their registers, and each computes the four elements that are its own.
template <class T>
void multiply_add(float (&d)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2]) {
  const auto half = [](std::uint32_t pair, unsigned k) {
    return to_float(T{static_cast<std::uint16_t>(pair >> 16 * k)});
  };
  WarpOperands(a, b).for_each_pair([&](unsigned i, std::uint32_t row, std::uint32_t column) {
    for (unsigned k = 0; k < 2; ++k) d[i] += half(row, k) * half(column, k);
  });
}
inline void multiply_add_int8(std::int32_t (&d)[4], const std::uint32_t (&a)[4],
                              const std::uint32_t (&b)[2]) {
  const auto byte = [](std::uint32_t four, unsigned k) {
    return std::int32_t{static_cast<std::int8_t>(four >> 8 * k)};
  };
  WarpOperands(a, b).for_each_pair([&](unsigned i, std::uint32_t row, std::uint32_t column) {
    for (unsigned k = 0; k < 4; ++k) d[i] += byte(row, k) * byte(column, k);
  });
}

// All lanes bring the rows that they name, and each takes the elements that are its own.
template <Matrices kHow>
void load_matrices(const void* row, std::uint32_t (&to)[4]) {
  struct Row {
    std::uint16_t elements[8];
  };
  static_assert(sizeof(Row) <= emulation::kLaneBytes);
  emulation::check_shared(row, sizeof(Row));
  const emulation::Exchange met = emulation::exchange_in_warp(row, sizeof(Row));
  const unsigned group = met.lane / 4;
  const unsigned place = met.lane % 4;
  for (unsigned matrix = 0; matrix < 4; ++matrix) {
    const auto element = [&](unsigned i, unsigned j) {
      Row from;
      std::memcpy(&from, met.all + (8 * matrix + i) * emulation::kLaneBytes, sizeof from);
      return std::uint32_t{from.elements[j]};
    };
    to[matrix] = kHow == Matrices::transposed
                     ? element(2 * place, group) | element(2 * place + 1, group) << 16
                     : element(group, 2 * place) | element(group, 2 * place + 1) << 16;
  }
}

#endif

}  // namespace sheaf::kernels::cuda
