#include "tokenizer/metaspace_decoder.h"

#include "tokenizer/replace_all.h"

namespace sheaf::tokenizer {

Result<std::unique_ptr<const Decoder>> MetaspaceDecoder::parse(const JsonField& field) {
  SHEAF_ASSIGN(MetaspaceOptions options, MetaspaceOptions::parse(field));
  return std::unique_ptr<const Decoder>(std::make_unique<MetaspaceDecoder>(std::move(options)));
}

void MetaspaceDecoder::decode(std::vector<std::string>& tokens) const {
  const bool drops_first = options_.prepend != MetaspaceOptions::Prepend::never;
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    tokens[i] = replace_all(tokens[i], options_.replacement, i == 0 && drops_first ? "" : " ");
  }
}

}  // namespace sheaf::tokenizer
