#include "tokenizer/tokenizer.h"

#include <fmt/format.h>
#include <simdjson.h>

#include "base/mapping.h"
#include "tokenizer/json_field.h"
#include "tokenizer/pipeline.h"

namespace sheaf::tokenizer {

Result<std::shared_ptr<const Tokenizer>> Tokenizer::parse(std::string_view json,
                                                          const Additions& additions) {
  // simdjson neither recurses nor lets nesting go deeper than its limit of 1,024.
  simdjson::dom::parser parser;
  simdjson::dom::element document;
  if (const auto failure = parser.parse(json.data(), json.size()).get(document)) {
    return Error{ErrorCode::corrupt, fmt::format("tokenizer.json: not valid JSON: {}",
                                                 simdjson::error_message(failure))};
  }
  return Pipeline::parse(JsonField(document, ""), additions);
}

Result<std::shared_ptr<const Tokenizer>> Tokenizer::load(const std::string& path,
                                                         const Additions& additions) {
  SHEAF_ASSIGN(const Mapping file, Mapping::map_file(path));
  auto tokenizer = parse({reinterpret_cast<const char*>(file.data()), file.size()}, additions);
  if (!tokenizer.ok())
    tokenizer.error().message = fmt::format("{}: {}", path, tokenizer.error().message);
  return tokenizer;
}

Result<EncodedPair> Tokenizer::encode_pair(std::string_view first, std::string_view second,
                                           const EncodeOptions& options,
                                           std::vector<std::int32_t>& ids) const {
  std::vector<std::int32_t> first_ids, second_ids;
  SHEAF_TRY(encode_bare(first, first_ids));
  SHEAF_TRY(encode_bare(second, second_ids));
  return join_pair(first_ids, second_ids, options, ids);
}

}  // namespace sheaf::tokenizer
