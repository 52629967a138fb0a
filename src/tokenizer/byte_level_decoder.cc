#include "tokenizer/byte_level_decoder.h"

#include "tokenizer/byte_level.h"

namespace sheaf::tokenizer {

void ByteLevelDecoder::decode(std::vector<std::string>& tokens) const {
  std::string bytes;
  for (const std::string& token : tokens) bytes += byte_level::bytes_of(token).value_or(token);
  tokens.assign(1, unicode::replace_invalid_utf8(bytes));
}

}  // namespace sheaf::tokenizer
