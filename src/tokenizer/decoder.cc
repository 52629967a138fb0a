#include "tokenizer/decoder.h"

#include "tokenizer/byte_fallback_decoder.h"
#include "tokenizer/byte_level_decoder.h"
#include "tokenizer/decoder_sequence.h"
#include "tokenizer/fuse_decoder.h"
#include "tokenizer/metaspace_decoder.h"
#include "tokenizer/replace_decoder.h"
#include "tokenizer/strip_decoder.h"
#include "tokenizer/wordpiece_decoder.h"

namespace sheaf::tokenizer {

Result<std::unique_ptr<const Decoder>> Decoder::parse(const JsonField& field) {
  SHEAF_ASSIGN(const std::string_view type, field.string("type"));
  if (type == "ByteFallback") {
    return std::unique_ptr<const Decoder>(std::make_unique<ByteFallbackDecoder>());
  }
  if (type == "ByteLevel") {
    return std::unique_ptr<const Decoder>(std::make_unique<ByteLevelDecoder>());
  }
  if (type == "Fuse") return std::unique_ptr<const Decoder>(std::make_unique<FuseDecoder>());
  if (type == "Metaspace") return MetaspaceDecoder::parse(field);
  if (type == "Replace") return ReplaceDecoder::parse(field);
  if (type == "Sequence") return DecoderSequence::parse(field);
  if (type == "Strip") return StripDecoder::parse(field);
  if (type == "WordPiece") return WordPieceDecoder::parse(field);
  return field.unknown_type(type,
                            "ByteFallback, ByteLevel, Fuse, Metaspace, Replace, Sequence, Strip, "
                            "WordPiece");
}

}  // namespace sheaf::tokenizer
