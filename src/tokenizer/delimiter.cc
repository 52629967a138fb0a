#include "tokenizer/delimiter.h"

#include <fmt/format.h>

#include <algorithm>

namespace sheaf::tokenizer {
namespace {

// The pieces of all stretches, where joins(is this a delimiter, was the last one) says whether a
// stretch belongs to the piece of the one before it.
template <class Joins>
void append_joined(const std::vector<Stretch>& stretches, Joins joins, std::vector<Piece>& pieces) {
  const std::size_t first = pieces.size();
  bool previous = false;
  for (const Stretch& stretch : stretches) {
    if (pieces.size() > first && joins(stretch.is_delimiter, previous)) {
      pieces.back().end = stretch.place.end;
    } else {
      pieces.push_back(stretch.place);
    }
    previous = stretch.is_delimiter;
  }
}

// As append_joined, from the last stretch to the first.
void append_merged_with_next(const std::vector<Stretch>& stretches, std::vector<Piece>& pieces) {
  const auto first = static_cast<std::ptrdiff_t>(pieces.size());
  bool next = false;
  for (auto stretch = stretches.rbegin(); stretch != stretches.rend(); ++stretch) {
    if (static_cast<std::ptrdiff_t>(pieces.size()) > first && stretch->is_delimiter && !next) {
      pieces.back().begin = stretch->place.begin;
    } else {
      pieces.push_back(stretch->place);
    }
    next = stretch->is_delimiter;
  }
  std::reverse(pieces.begin() + first, pieces.end());
}

}  // namespace

Result<DelimiterBehavior> parse_delimiter_behavior(const JsonField& field) {
  SHEAF_ASSIGN(const std::string_view name, field.string());
  if (name == "Removed") return DelimiterBehavior::removed;
  if (name == "Isolated") return DelimiterBehavior::isolated;
  if (name == "MergedWithPrevious") return DelimiterBehavior::merged_with_previous;
  if (name == "MergedWithNext") return DelimiterBehavior::merged_with_next;
  if (name == "Contiguous") return DelimiterBehavior::contiguous;
  return field.error(
      fmt::format("must be Removed, Isolated, MergedWithPrevious, MergedWithNext or Contiguous, "
                  "is {}",
                  in_quotes(name)));
}

void append_pieces(const std::vector<Stretch>& stretches, DelimiterBehavior behavior,
                   std::vector<Piece>& pieces) {
  const auto first = static_cast<std::ptrdiff_t>(pieces.size());
  switch (behavior) {
    case DelimiterBehavior::removed:
      for (const Stretch& s : stretches) {
        if (!s.is_delimiter) pieces.push_back(s.place);
      }
      break;
    case DelimiterBehavior::isolated:
      append_joined(
          stretches, [](bool, bool) { return false; }, pieces);
      break;
    case DelimiterBehavior::merged_with_previous:
      append_joined(
          stretches, [](bool delimiter, bool previous) { return delimiter && !previous; }, pieces);
      break;
    case DelimiterBehavior::merged_with_next:
      append_merged_with_next(stretches, pieces);
      break;
    case DelimiterBehavior::contiguous:
      append_joined(
          stretches, [](bool delimiter, bool previous) { return delimiter == previous; }, pieces);
      break;
  }
  pieces.erase(std::remove_if(pieces.begin() + first, pieces.end(),
                              [](const Piece& piece) { return piece.size() == 0; }),
               pieces.end());
}

}  // namespace sheaf::tokenizer
