#include "channel/layout.h"

#include <algorithm>
#include <bit>
#include <string>

namespace sheaf::channel {
namespace {

constexpr std::size_t kPage = 4096;
// Bounds on what a header may claim, so that no sum below can overflow.
constexpr std::uint32_t kMaxTokens = 1 << 22;
constexpr std::uint32_t kMaxItems = 1 << 20;
constexpr std::uint32_t kMaxRowFloats = 1 << 20;

Status check(const char* name, std::uint32_t value, std::uint32_t max) {
  if (value >= 1 && value <= max) return {};
  return Error{ErrorCode::corrupt, std::string("channel: ") + name + " is " +
                                       std::to_string(value) + ", must be 1 to " +
                                       std::to_string(max)};
}

}  // namespace

Result<Geometry> geometry_of(const Limits& limits) {
  SHEAF_TRY(check("max_batch_tokens", limits.max_batch_tokens, kMaxTokens));
  SHEAF_TRY(check("max_batch_items", limits.max_batch_items, kMaxItems));
  SHEAF_TRY(check("row_floats", limits.row_floats, kMaxRowFloats));

  const std::size_t submit_frame = sizeof(FrameHead) + sizeof(SubmitBody) +
                                   std::size_t{limits.max_batch_items} * sizeof(WireItem) +
                                   std::size_t{limits.max_batch_tokens} * sizeof(std::int32_t);
  const std::size_t rows_frame =
      std::max(kRowsFrameBytes, sizeof(FrameHead) + sizeof(RowsBody) +
                                    std::size_t{limits.row_floats} * sizeof(float)) +
      kFrameAlignment;
  Geometry geometry;
  // Room for eight of the largest batches: the core keeps fewer in flight, so a full ring means a
  // replica that no longer reads. Pages are touched only as the ring is used.
  geometry.submit_bytes = std::bit_ceil(std::max(8 * submit_frame, kPage));
  geometry.result_bytes = std::bit_ceil(std::max(8 * rows_frame, kPage));
  geometry.total_bytes = kHeaderBytes + geometry.submit_bytes + geometry.result_bytes;
  return geometry;
}

}  // namespace sheaf::channel
