#pragma once

#include <memory>
#include <string>

#include "base/result.h"
#include "kernels/cuda/nccl_abi.h"
#include "kernels/ranks/communicator.h"
#include "kernels/ranks/sums.h"

namespace sheaf::kernels::cuda {

// Opens NCCL, for as long as the process lives: the file that SHEAF_NCCL names, else libnccl.so.2
// where the loader finds it, or where pip puts it beside the CUDA libraries that this program uses.
// Error of kind unsupported: it is not there, or lacks a function; says what helps.
Result<nccl::Functions> open_nccl();

// "2.32.3"
std::string version_text(const nccl::Functions& library);

struct NcclPatience {
  int start_ms = 30'000;  // until all ranks have come
  int sum_ms = 30'000;    // until the library has taken a sum; not until it is made
};

// Sums of ranks that have a whole card each, on `stream` of this process's present device, in its
// turn. The ranks find each other by what the first one shares with the group; a thread looks
// whether the library lost one, and then ends what the stream waits for (ncclCommAbort). That a
// rank merely hangs the library never says: whoever watches the processes has to.
//
// Error of kind unavailable: another rank is gone or did not come; internal: the library refuses.
Result<std::unique_ptr<Sums>> join_by_nccl(const nccl::Functions& library, Communicator& group,
                                           nccl::Stream stream, NcclPatience patience = {});

}  // namespace sheaf::kernels::cuda
