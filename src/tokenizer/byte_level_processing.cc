#include "tokenizer/byte_level_processing.h"

namespace sheaf::tokenizer {

Result<PostProcessor> parse_byte_level_processing(const JsonField& field) {
  PostProcessor result;
  SHEAF_ASSIGN(const bool trims, field.boolean("trim_offsets"));
  SHEAF_ASSIGN(const bool add_prefix_space, field.boolean("add_prefix_space"));
  if (trims) result.trimmings.push_back({add_prefix_space, false});
  return result;
}

}  // namespace sheaf::tokenizer
