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

// What a lane brings to a product: of each of its registers the elements, so that none is decoded
// but by its holder.
template <class Element, unsigned kElements>
struct alignas(emulation::kLaneBytes) LaneOperands {
  Element a[4][kElements];
  Element b[2][kElements];
};

// Adds to a lane's elements of d what they have products of, in the order in which elements lie.
template <class Element, unsigned kElements, class Sum>
SHEAF_UNWATCHED void add_products(const LaneOperands<Element, kElements>* lanes, unsigned lane,
                                  Sum (&d)[4]) {
  const unsigned group = lane / 4;
  const unsigned place = lane % 4;
  for (unsigned k = 0; k < 8; ++k) {
    const unsigned holder = k % 4;  // its place
    for (unsigned i = 0; i < 4; ++i) {
      const auto& row = lanes[group * 4 + holder].a[k / 4 * 2 + i / 2];
      const auto& column = lanes[(2 * place + i % 2) * 4 + holder].b[k / 4];
      for (unsigned j = 0; j < kElements; ++j) d[i] += Sum{row[j]} * Sum{column[j]};
    }
  }
}

// All lanes bring their registers, and each computes the four elements that are its own.
template <class Element, unsigned kElements, class Sum, class Decode>
void multiply_add_as(Sum (&d)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2],
                     const Decode& decode) {
  LaneOperands<Element, kElements> mine;
  for (unsigned j = 0; j < kElements; ++j) {
    for (unsigned i = 0; i < 4; ++i) mine.a[i][j] = decode(a[i], j);
    for (unsigned i = 0; i < 2; ++i) mine.b[i][j] = decode(b[i], j);
  }
  const emulation::Exchange met = emulation::exchange_in_warp(&mine, sizeof mine);
  add_products(reinterpret_cast<const LaneOperands<Element, kElements>*>(met.all), met.lane, d);
}

template <class T>
void multiply_add(float (&d)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2]) {
  multiply_add_as<float, 2>(d, a, b, [](std::uint32_t pair, unsigned j) {
    return to_float(T{static_cast<std::uint16_t>(pair >> 16 * j)});
  });
}
inline void multiply_add_int8(std::int32_t (&d)[4], const std::uint32_t (&a)[4],
                              const std::uint32_t (&b)[2]) {
  multiply_add_as<std::int8_t, 4>(d, a, b, [](std::uint32_t four, unsigned j) {
    return static_cast<std::int8_t>(four >> 8 * j);
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
