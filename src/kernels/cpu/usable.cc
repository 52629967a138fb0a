#if defined(__x86_64__)
#include <cpuid.h>
#endif
#include <sys/syscall.h>
#include <unistd.h>

#include "kernels/cpu/cpu.h"

// Which of the build's kernels this processor, and its operating system, can run.
namespace sheaf::kernels {
namespace {

#if defined(__x86_64__)

// Linux keeps the tiles' state only for processes that ask (Documentation/arch/x86/xstate.rst).
bool may_use_tiles() {
  constexpr long kRequestPermission = 0x1023;  // ARCH_REQ_XCOMP_PERM
  constexpr long kTileData = 18;
  static const bool may = ::syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
  return may;
}

struct Features {
  bool avx2, avx512, avx512_bf16, avx512_vnni, avx_vnni, amx_bf16, amx_int8;
};

// Bits of CPUID leaf 7 that GCC 12's __builtin_cpu_supports does not know.
Features features() {
  // The compiler's runtime asks the operating system too whether it saves the wide registers.
  __builtin_cpu_init();
  Features f{};
  f.avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  f.avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
             __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq");
  f.avx512_vnni = f.avx512 && __builtin_cpu_supports("avx512vnni");
  f.avx512_bf16 = f.avx512 && __builtin_cpu_supports("avx512bf16");
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  if (__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) != 0) {
    constexpr unsigned kAmxBf16 = 1u << 22, kAmxTile = 1u << 24, kAmxInt8 = 1u << 25;
    f.amx_bf16 = f.avx512_bf16 && (edx & kAmxBf16) != 0 && (edx & kAmxTile) != 0 && may_use_tiles();
    f.amx_int8 = f.amx_bf16 && (edx & kAmxInt8) != 0;  // both: its attention is in bfloat16
  }
  if (__get_cpuid_count(7, 1, &eax, &ebx, &ecx, &edx) != 0)
    f.avx_vnni = f.avx2 && (eax & 1u << 4) != 0;
  return f;
}

#endif

}  // namespace

std::vector<CpuBackend> usable_cpu_backends() {
  std::vector<CpuBackend> usable;
  const auto add_float32 = [&usable](const cpu::Kernels* kernels) {
    if (kernels != nullptr) usable.push_back({kernels->name, kernels, &kernels->float32});
  };
#if defined(__x86_64__)
  const auto add = [&usable](const cpu::Kernels* kernels, const cpu::LinearKernels* linear) {
    if (kernels != nullptr && linear != nullptr)
      usable.push_back({std::string("cpu ") + linear->name, kernels, linear});
  };
  const Features has = features();
  if (has.avx512) add_float32(cpu::avx512_kernels());
  if (has.avx2) add_float32(cpu::avx2_kernels());
  if (has.amx_bf16) add(cpu::avx512_kernels(), cpu::amx_bf16_kernels());
  if (has.avx512_bf16) add(cpu::avx512_kernels(), cpu::avx512_bf16_kernels());
  if (has.amx_int8) add(cpu::avx512_kernels(), cpu::amx_int8_kernels());
  if (has.avx512_vnni && has.avx512_bf16)
    add(cpu::avx512_kernels(), cpu::avx512_bf16_int8_kernels());
  if (has.avx512_vnni) add(cpu::avx512_kernels(), cpu::avx512_int8_kernels());
  if (has.avx_vnni)
    add(has.avx512 ? cpu::avx512_kernels() : cpu::avx2_kernels(), cpu::avx2_int8_kernels());
  // All of it by AVX2, so that it is tested and measured anywhere as it runs where it is the best.
  if (has.avx2) add(cpu::avx2_kernels(), cpu::avx2_madd_int8_kernels());
#endif
  add_float32(cpu::portable_kernels());
  return usable;
}

}  // namespace sheaf::kernels
