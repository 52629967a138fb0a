#include "tokenizer/fuse_decoder.h"

#include <fmt/format.h>

namespace sheaf::tokenizer {

void FuseDecoder::decode(std::vector<std::string>& tokens) const {
  tokens = {fmt::format("{}", fmt::join(tokens, ""))};
}

}  // namespace sheaf::tokenizer
