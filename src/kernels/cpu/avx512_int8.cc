// Compiled for AVX-512 VNNI (cmake/Sheaf.cmake).
#include "kernels/cpu/vnni.h"

namespace sheaf::kernels::cpu {

#if defined(__AVX512VNNI__)
namespace {

struct Avx512Int8 : Avx512VnniShape {};
constexpr LinearKernels kKernels = make_vnni_kernels<Avx512Int8>("avx512 int8");

}  // namespace

const LinearKernels* avx512_int8_kernels() { return &kKernels; }
#else
const LinearKernels* avx512_int8_kernels() { return nullptr; }
#endif

}  // namespace sheaf::kernels::cpu
