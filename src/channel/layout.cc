#include "channel/layout.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <string>

namespace sheaf::channel {
namespace {

constexpr std::size_t kPage = 4096;
// Bounds on what a header may claim, so that no sum below can overflow.
constexpr std::uint32_t kMaxTokens = 1 << 22;
constexpr std::uint32_t kMaxItems = 1 << 20;
constexpr std::uint32_t kMaxRowFloats = 1 << 20;
constexpr std::uint32_t kMaxTerms = 1 << 24;  // so that a float holds every id

Status check(const char* name, std::uint32_t value, std::uint32_t min, std::uint32_t max) {
  if (value >= min && value <= max) return {};
  return corrupt(std::string(name) + " is " + std::to_string(value) + ", must be " +
                 std::to_string(min) + " to " + std::to_string(max));
}

}  // namespace

Error corrupt(const std::string& what) { return Error{ErrorCode::corrupt, "channel: " + what}; }

std::uint64_t longest_row(const Limits& limits, Output output, std::uint32_t tokens) {
  if (output == Output::vector) return limits.row_floats;
  if (output == Output::sparse) return std::uint64_t{2} * limits.sparse_terms;
  return std::uint64_t{limits.token_floats} * tokens;
}

bool is_row(const Limits& limits, Output output, std::uint32_t tokens, std::uint64_t floats) {
  if (floats > longest_row(limits, output, tokens)) return false;
  if (output == Output::vector) return floats == limits.row_floats;
  return floats % (output == Output::sparse ? 2 : std::max(limits.token_floats, 1u)) == 0;
}

bool are_terms(const Limits& limits, std::span<const float> row) {
  double before = -1;
  for (std::size_t i = 0; i + 1 < row.size(); i += 2) {
    const double id = row[i];
    if (!(id > before && id < limits.sparse_terms) || id != std::floor(id)) return false;
    before = id;
  }
  return row.size() % 2 == 0;
}

Result<Geometry> geometry_of(const Limits& limits) {
  SHEAF_TRY(check("max_batch_tokens", limits.max_batch_tokens, 1, kMaxTokens));
  SHEAF_TRY(check("max_batch_items", limits.max_batch_items, 1, kMaxItems));
  SHEAF_TRY(check("row_floats", limits.row_floats, 0, kMaxRowFloats));
  SHEAF_TRY(check("sparse_terms", limits.sparse_terms, 0, kMaxTerms));
  SHEAF_TRY(check("token_floats", limits.token_floats, 0, kMaxRowFloats));
  if (limits.row_floats + limits.sparse_terms + limits.token_floats == 0)
    return Error{ErrorCode::corrupt, "channel: it carries no kind of row"};

  const std::size_t submit_frame = sizeof(FrameHead) + sizeof(SubmitBody) +
                                   std::size_t{limits.max_batch_items} * sizeof(WireItem) +
                                   std::size_t{limits.max_batch_tokens} * sizeof(std::int32_t);
  Geometry geometry;
  // Room for as many of the largest batches as the core keeps in flight at most, one more than are
  // computed at once: a full ring means a replica that no longer reads. Pages are touched only as
  // the ring is used.
  geometry.submit_bytes = std::bit_ceil(std::max((kLanesMax + 1) * submit_frame, kPage));
  geometry.result_bytes = std::bit_ceil(8 * kRowsFrameBytes);
  geometry.total_bytes = kHeaderBytes + geometry.submit_bytes + geometry.result_bytes;
  return geometry;
}

}  // namespace sheaf::channel
