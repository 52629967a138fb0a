#pragma once

#include <string>

#include "base/fd.h"

namespace sheaf::kernels {

// A copy of weights in a device's memory that processes on this device have in common, as one of
// them sees it. It lasts as long as anybody maps it or holds a descriptor of it.
struct SharedCopy {
  Fd given;             // of one that is there, to be mapped; none, or of no use: make one
  Fd made;              // of one that was made here, for others to map
  std::string trouble;  // why what was given is not mapped, or none could be made; a sentence
};

}  // namespace sheaf::kernels
