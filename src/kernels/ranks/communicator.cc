#include "kernels/ranks/communicator.h"

namespace sheaf::kernels {
namespace {

Error without_neighbours() {
  return {ErrorCode::unsupported, "ranks of this kind hand on no states to each other"};
}

}  // namespace

Status Communicator::send(std::size_t /*to*/, tensor::TypedView /*x*/) {
  return without_neighbours();
}

Status Communicator::receive(std::size_t /*from*/, tensor::TypedSpan /*x*/) {
  return without_neighbours();
}

}  // namespace sheaf::kernels
