#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace sheaf::tokenizer {

enum class Side { left, right };

struct EncodeOptions {
  bool add_special_tokens = true;
  // At most this many ids, special tokens included; 0 means no limit.
  std::size_t max_tokens = 0;
  Side truncation_side = Side::right;  // which end is cut off
};

// What join_pair() made.
struct EncodedPair {
  std::size_t tokens = 0;  // that the pair has without truncation, special tokens included
  // Of the ids appended, the first of token type 1; 0: all are of type 0, or, where no token stands
  // before them, of type 1.
  std::size_t second_at = 0;
};

// What a model's other files say of its tokenizer and tokenizer.json leaves out.
struct Additions {
  bool lower_case = false;  // texts; nothing more where the normalizer does that already
  // Tokens around each text, on the sides where the post-processor puts none; empty: none.
  std::string before;
  std::string after;
};

// One token with everything a client may ask of it; the hot path never builds these.
struct Token {
  std::int32_t id = 0;
  std::string text;
  bool special = false;
  // Byte offsets into the text given, or -1, -1 for a token that no text produced.
  std::int64_t start = -1;
  std::int64_t stop = -1;
};

// A tokenizer.json, read as it is, but for its stored `truncation` and `padding`, which are
// leftovers of whoever saved the file. Ids equal those of Hugging Face's
// `tokenizers` for the same file, and those of transformers with the model's additions. Immutable
// after loading; every const member may be called from any number of threads.
class Tokenizer {
 public:
  // `json` is the file's content; errors name the field at fault. Bounded: no input, however
  // hostile, makes it crash, recurse without limit, or allocate more than a small multiple of
  // json.size().
  static Result<std::shared_ptr<const Tokenizer>> parse(std::string_view json,
                                                        const Additions& additions = {});
  static Result<std::shared_ptr<const Tokenizer>> load(const std::string& path,
                                                       const Additions& additions = {});

  virtual ~Tokenizer() = default;

  // Appends the ids of `text` to `ids`. Bytes that are not UTF-8 are read as U+FFFD each maximal
  // subpart (as Python's errors="replace" and the WHATWG decoder do). Returns the number of tokens
  // that the text has without truncation (special tokens included), so a caller can refuse a text
  // that is too long. Fails, with `ids` as before, where a regular expression of the file takes too
  // long or too much memory on this text; those of the popular models never do.
  virtual Result<std::size_t> encode(std::string_view text, const EncodeOptions& options,
                                     std::vector<std::int32_t>& ids) const = 0;

  // Appends the ids of `text` alone: no special token, no limit. Fails as encode() does.
  virtual Status encode_bare(std::string_view text, std::vector<std::int32_t>& ids) const = 0;

  // Appends the ids of two texts that a model reads together, as the post-processor joins them;
  // given are those of encode_bare(), so that a text of many pairs is encoded once.
  // What is too long is cut from the longer text first, as Hugging Face's "longest_first" does.
  // Fails, of kind unsupported, where the file's template for pairs is none of A before B whose
  // token types turn from 0 to 1 at most once.
  virtual Result<EncodedPair> join_pair(std::span<const std::int32_t> first,
                                        std::span<const std::int32_t> second,
                                        const EncodeOptions& options,
                                        std::vector<std::int32_t>& ids) const = 0;

  // Both in one.
  Result<EncodedPair> encode_pair(std::string_view first, std::string_view second,
                                  const EncodeOptions& options,
                                  std::vector<std::int32_t>& ids) const;

  // The same tokens with text, offsets and flags.
  virtual Result<std::vector<Token>> encode_tokens(std::string_view text,
                                                   const EncodeOptions& options) const = 0;

  // Text of `ids` as Hugging Face's decode() gives it; ids outside the vocabulary are an error.
  virtual Result<std::string> decode(const std::vector<std::int32_t>& ids,
                                     bool skip_special_tokens) const = 0;

  // One more than the largest id.
  virtual std::size_t vocab_size() const = 0;
  // Ids added by the post-processor to a single text (2 for BERT).
  virtual std::size_t special_tokens_added() const = 0;
};

}  // namespace sheaf::tokenizer
