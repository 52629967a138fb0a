#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <map>
#include <string>

#include "base/error.h"

namespace sheaf::kernels::cuda {

// What a replica may have of a card's memory that several share in turns, where no hardware divides
// it: SHEAF_DEVICE_MEMORY_BYTES, as whoever places replicas sets it (slices/placement.h). Counts
// the blocks of one Device, and the weights that it has in common with others, as placement does;
// the context and libraries come on top, and placement counts them in. Of several Devices of one
// replica each has an even part of what the weights leave.
class MemoryShare {
 public:
  // Of the environment; without it there is no limit.
  explicit MemoryShare(int devices) : devices_(static_cast<std::size_t>(devices)) {
    const char* limit = std::getenv("SHEAF_DEVICE_MEMORY_BYTES");
    if (limit != nullptr) limit_bytes_ = std::strtoull(limit, nullptr, 10);
  }

  bool has_room(std::size_t bytes) const {
    return bytes <= own_bytes() && used_bytes_ <= own_bytes() - bytes;
  }
  Error refusal(std::size_t bytes) const {
    if (devices_ > 1 && common_bytes_ > 0)
      return {ErrorCode::too_large, "a stream's part of this replica's share of the card, " +
                                        std::to_string(own_bytes()) + " bytes, has no room for " +
                                        std::to_string(bytes) + " more beside " +
                                        std::to_string(used_bytes_)};
    return {ErrorCode::too_large, "this replica's share of the card, " +
                                      std::to_string(limit_bytes_) + " bytes, has no room for " +
                                      std::to_string(bytes) + " more beside " +
                                      std::to_string(common_bytes_ + used_bytes_)};
  }
  // What it has in common with others.
  void add_common(std::size_t bytes) { common_bytes_ += bytes; }
  void add(const void* block, std::size_t bytes) {
    blocks_[block] = bytes;
    used_bytes_ += bytes;
  }
  void remove(const void* block) {
    const auto found = blocks_.find(block);
    if (found == blocks_.end()) return;
    used_bytes_ -= found->second;
    blocks_.erase(found);
  }

 private:
  // Of a replica that has nothing in common with others there is one Device alone.
  std::size_t own_bytes() const {
    if (common_bytes_ == 0) return limit_bytes_;
    return (limit_bytes_ - std::min(common_bytes_, limit_bytes_)) / devices_;
  }

  std::size_t devices_;
  std::size_t limit_bytes_ = static_cast<std::size_t>(-1);
  std::size_t common_bytes_ = 0, used_bytes_ = 0;
  std::map<const void*, std::size_t> blocks_;
};

}  // namespace sheaf::kernels::cuda
