#pragma once

#include <cstddef>

// NCCL's C interface, as far as sheaf uses it, declared anew after nccl.h of 2.32.3 (PyPI's
// nvidia-nccl-cu13), which the calls and numbers here have been the same in since 2.14: building
// needs no header of it, and the library is opened at run time.
namespace sheaf::kernels::cuda::nccl {

using Return = int;
constexpr Return kSuccess = 0;
constexpr Return kInProgress = 7;  // of communicators that do not block

using Comm = struct CommTag*;      // opaque
using Stream = struct StreamTag*;  // a cudaStream_t

struct UniqueId {
  char bytes[128];
};

// ncclConfig_t as 2.14 had it first. Each library takes all layouts that were before its own, by
// `version`, and gives what a layout lacks its default.
struct Config {
  std::size_t size = sizeof(Config);
  unsigned magic = 0xcafebeef;
  unsigned version = 21400;
  int blocking = 0;
  int unused = 0;
};
static_assert(sizeof(Config) == 24 && offsetof(Config, blocking) == 16);

constexpr int kFloat32 = 7;  // of ncclDataType_t
constexpr int kSum = 0;      // of ncclRedOp_t

// X(function, result, parameters)
#define SHEAF_NCCL_FUNCTIONS(X)                                                          \
  X(ncclGetVersion, Return, (int* version))                                              \
  X(ncclGetErrorString, const char*, (Return code))                                      \
  X(ncclGetLastError, const char*, (Comm comm))                                          \
  X(ncclGetUniqueId, Return, (UniqueId * id))                                            \
  X(ncclCommInitRankConfig, Return,                                                      \
    (Comm * comm, int ranks, UniqueId id, int rank, Config* config))                     \
  X(ncclCommGetAsyncError, Return, (Comm comm, Return * code))                           \
  X(ncclCommAbort, Return, (Comm comm))                                                  \
  X(ncclAllReduce, Return,                                                               \
    (const void* from, void* to, std::size_t count, int dtype, int operation, Comm comm, \
     Stream stream))

struct Functions {
#define SHEAF_NCCL_DECLARE(function, result, parameters) result(*function) parameters = nullptr;
  SHEAF_NCCL_FUNCTIONS(SHEAF_NCCL_DECLARE)
#undef SHEAF_NCCL_DECLARE
};

}  // namespace sheaf::kernels::cuda::nccl
