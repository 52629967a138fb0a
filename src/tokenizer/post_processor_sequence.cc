#include "tokenizer/post_processor_sequence.h"

#include <fmt/format.h>

namespace sheaf::tokenizer {
namespace {

constexpr std::size_t kTrimmingsMax = 64;

void append(const PostProcessor& next, PostProcessor& result) {
  for (SpaceTrimming trimming : next.trimmings) {
    trimming.behind_special = result.counts_special;
    result.trimmings.push_back(trimming);
  }
  if (next.joins_pairs) {
    result.pair = next.pair;
    result.joins_pairs = true;
  }
  if (next.size() == 0) return;
  result.before = next.before;
  result.after = next.after;
  result.counts_special = next.counts_special;
}

}  // namespace

Result<PostProcessor> parse_post_processor_sequence(const JsonField& field,
                                                    const PostProcessor::IsKnownId& is_known) {
  SHEAF_ASSIGN(const JsonField list, field.get("processors"));
  SHEAF_ASSIGN(const std::vector<JsonField> items, list.array());
  PostProcessor result;
  for (const JsonField& item : items) {
    SHEAF_ASSIGN(const PostProcessor next, PostProcessor::parse(item, is_known));
    if (result.size() > 0 && next.size() > 0) {
      return item.unsupported("a second post-processor that adds tokens is not supported");
    }
    const bool joins_twice = result.joins_pairs && next.joins_pairs;
    append(next, result);
    if (joins_twice)
      result.pair = item.unsupported("a second post-processor that joins pairs is not supported");
    if (result.trimmings.size() > kTrimmingsMax)
      return list.error(fmt::format("holds more than {} post-processors", kTrimmingsMax));
  }
  return result;
}

}  // namespace sheaf::tokenizer
