#include "tokenizer/post_processor_sequence.h"

#include <fmt/format.h>

namespace sheaf::tokenizer {
namespace {

// Far beyond any real file; bounds what a hostile one can make of each text.
constexpr std::size_t kTokensMax = 256;
constexpr std::size_t kTrimmingsMax = 64;

void wrap(PostProcessor& inner, const PostProcessor& outer) {
  for (SpaceTrimming trimming : outer.trimmings) {
    trimming.behind_special = trimming.behind_special || !inner.before.empty();
    inner.trimmings.push_back(trimming);
  }
  inner.before.insert(inner.before.begin(), outer.before.begin(), outer.before.end());
  inner.after.insert(inner.after.end(), outer.after.begin(), outer.after.end());
}

}  // namespace

Result<PostProcessor> parse_post_processor_sequence(const JsonField& field,
                                                    const PostProcessor::IsKnownId& is_known) {
  SHEAF_ASSIGN(const JsonField list, field.get("processors"));
  SHEAF_ASSIGN(const std::vector<JsonField> items, list.array());
  PostProcessor result;
  for (const JsonField& item : items) {
    SHEAF_ASSIGN(const PostProcessor next, PostProcessor::parse(item, is_known));
    wrap(result, next);
    if (result.size() > kTokensMax)
      return list.error(fmt::format("adds more than {} tokens", kTokensMax));
    if (result.trimmings.size() > kTrimmingsMax)
      return list.error(fmt::format("holds more than {} post-processors", kTrimmingsMax));
  }
  return result;
}

}  // namespace sheaf::tokenizer
