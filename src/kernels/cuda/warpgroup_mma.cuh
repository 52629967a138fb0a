#pragma once

#include "kernels/cuda/swizzled_tile.cuh"

// The product of Hopper's matrix unit, a warpgroup of four warps at a time: d [64, N] += a [64, 16]
// b [16, N] in bfloat16, sums in float32. In the words of PTX: wgmma.mma_async.sync.aligned
// .m64nNk16. Of d, and of a where it is in registers, a warp has 16 rows, in its lanes as mma.cuh
// says for each 8 columns; what is in shared memory lies as SwizzledTile says. (PTX ISA 8.0,
// "Asynchronous Warpgroup Level Matrix Multiply-Accumulate Instructions".)
//
// A product runs while the warpgroup goes on: between begin_products() and the await_products()
// that awaits it, nobody touches its d or its a. All warps of the group call all of this alike.
namespace sheaf::kernels::cuda {

constexpr int kWarpgroupCapability = 90;  // the only cards that have the instruction: 9.0
#if defined(__CUDACC__)
constexpr bool kWarpgroupsBuilt = SHEAF_CUDA_WARPGROUPS != 0;
#else
constexpr bool kWarpgroupsBuilt = true;
#endif

// Whether what is compiled now is code for a card that has the instruction, or plays it.
#if !defined(__CUDACC__) || defined(__CUDA_ARCH_FEAT_SM90_ALL)
constexpr bool kHasWarpgroups = true;
#else
constexpr bool kHasWarpgroups = false;
#endif

// What this thread wrote to shared memory may be read by products behind the next barrier. Copies
// of async_copy.cuh have to be awaited before.
__device__ inline void show_to_products();

// Before the first product, and after d or a was changed.
__device__ inline void begin_products();
// Ends a group of products.
__device__ inline void commit_products();
// Waits for the groups but for the kPending latest.
template <unsigned kPending>
__device__ void await_products();

// What d holds is computed here, while products run, and not where it is used.
template <unsigned kColumns>
__device__ void compute_now(float (*d)[4]);

// d [64, kColumns], of a lane [kColumns / 8][4], = or += a b^T; a [64, 16] and b [kColumns, 16] lie
// by rows. kColumns is 64,
// 128 or 256.
template <unsigned kColumns>
__device__ void multiply_by_rows(float (*d)[4], SharedOperand a, SharedOperand b, bool add);

// d += a b; b [16, kColumns] lies by rows. kColumns is 32, 64 or 128.
template <unsigned kColumns>
__device__ void multiply_add_registers(float (*d)[4], const std::uint32_t (&a)[4], SharedOperand b);

#if defined(__CUDACC__)

// d's registers by eight columns, and their numbers in an instruction.
#define SHEAF_D1(i) "+f"(d[i][0]), "+f"(d[i][1]), "+f"(d[i][2]), "+f"(d[i][3])
#define SHEAF_D4(i) SHEAF_D1(i), SHEAF_D1((i) + 1), SHEAF_D1((i) + 2), SHEAF_D1((i) + 3)
#define SHEAF_D8(i) SHEAF_D4(i), SHEAF_D4((i) + 4)
#define SHEAF_D16(i) SHEAF_D8(i), SHEAF_D8((i) + 8)
#define SHEAF_D32(i) SHEAF_D16(i), SHEAF_D16((i) + 16)
#define SHEAF_R16 "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15"
#define SHEAF_R32 \
  SHEAF_R16 ", %16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31"
#define SHEAF_R64                                                                      \
  SHEAF_R32                                                                            \
  ", %32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, " \
  "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63"
#define SHEAF_R128                                                                             \
  SHEAF_R64                                                                                    \
  ", %64, %65, %66, %67, %68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, %79, "         \
  "%80, %81, %82, %83, %84, %85, %86, %87, %88, %89, %90, %91, %92, %93, %94, %95, "           \
  "%96, %97, %98, %99, %100, %101, %102, %103, %104, %105, %106, %107, %108, %109, %110, "     \
  "%111, "                                                                                     \
  "%112, %113, %114, %115, %116, %117, %118, %119, %120, %121, %122, %123, %124, %125, %126, " \
  "%127"

// Behind both: that no operand is negated; of operands in shared memory, whether they lie across.
#define SHEAF_BY_ROWS(columns, d_registers, a, b, flag, d_operands)                           \
  if constexpr (kColumns == columns)                                                          \
  asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, " flag                                       \
               ", 0;\n"                                                                       \
               "wgmma.mma_async.sync.aligned.m64n" #columns "k16.f32.bf16.bf16 {" d_registers \
               "}, " a ", " b ", p, 1, 1, 0, 0;\n}"                                           \
               : d_operands                                                                   \
               : "l"(first), "l"(second), "r"(std::uint32_t{add})                             \
               : "memory")
#define SHEAF_BY_REGISTERS(columns, d_registers, a, b, d_operands)                            \
  if constexpr (kColumns == columns)                                                          \
  asm volatile("wgmma.mma_async.sync.aligned.m64n" #columns "k16.f32.bf16.bf16 {" d_registers \
               "}, {" a "}, " b ", 1, 1, 1, 1;"                                               \
               : d_operands                                                                   \
               : "r"(a_registers[0]), "r"(a_registers[1]), "r"(a_registers[2]),               \
                 "r"(a_registers[3]), "l"(second)                                             \
               : "memory")

__device__ inline void show_to_products() {
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}
__device__ inline void begin_products() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
__device__ inline void commit_products() {
  asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
}
template <unsigned kPending>
__device__ void await_products() {
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(kPending) : "memory");
}
template <unsigned kColumns>
__device__ void compute_now(float (*d)[4]) {
  SHEAF_UNROLL
  for (unsigned n = 0; n < kColumns / 8; ++n)
    asm volatile("" : "+f"(d[n][0]), "+f"(d[n][1]), "+f"(d[n][2]), "+f"(d[n][3]));
}
template <unsigned kColumns>
__device__ void multiply_by_rows(float (*d)[4], SharedOperand first, SharedOperand second,
                                 bool add) {
  static_assert(kColumns == 64 || kColumns == 128 || kColumns == 256);
  SHEAF_BY_ROWS(64, SHEAF_R32, "%32", "%33", "%34", SHEAF_D8(0));
  SHEAF_BY_ROWS(128, SHEAF_R64, "%64", "%65", "%66", SHEAF_D16(0));
  SHEAF_BY_ROWS(256, SHEAF_R128, "%128", "%129", "%130", SHEAF_D32(0));
}
template <unsigned kColumns>
__device__ void multiply_add_registers(float (*d)[4], const std::uint32_t (&a_registers)[4],
                                       SharedOperand second) {
  static_assert(kColumns == 32 || kColumns == 64 || kColumns == 128);
  SHEAF_BY_REGISTERS(32, SHEAF_R16, "%16, %17, %18, %19", "%20", SHEAF_D4(0));
  SHEAF_BY_REGISTERS(64, SHEAF_R32, "%32, %33, %34, %35", "%36", SHEAF_D8(0));
  SHEAF_BY_REGISTERS(128, SHEAF_R64, "%64, %65, %66, %67", "%68", SHEAF_D16(0));
}

#undef SHEAF_BY_ROWS
#undef SHEAF_BY_REGISTERS
#undef SHEAF_R16
#undef SHEAF_R32
#undef SHEAF_R64
#undef SHEAF_R128
#undef SHEAF_D1
#undef SHEAF_D4
#undef SHEAF_D8
#undef SHEAF_D16
#undef SHEAF_D32

#else

inline void show_to_products() { emulation::show_to_products(); }
inline void begin_products() { emulation::begin_products(); }
inline void commit_products() { emulation::commit_products(); }
template <unsigned kPending>
void await_products() {
  emulation::await_products(kPending);
}
template <unsigned kColumns>
void compute_now(float (*)[4]) {}
template <unsigned kColumns>
void multiply_by_rows(float (*d)[4], SharedOperand a, SharedOperand b, bool add) {
  emulation::multiply_by_rows(d, kColumns, a, b, add);
}
template <unsigned kColumns>
void multiply_add_registers(float (*d)[4], const std::uint32_t (&a)[4], SharedOperand b) {
  emulation::multiply_add_registers(d, kColumns, a, b);
}

#endif

}  // namespace sheaf::kernels::cuda
