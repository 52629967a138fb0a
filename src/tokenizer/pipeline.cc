#include "tokenizer/pipeline.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/utf8.h"
#include "tokenizer/additions.h"
#include "tokenizer/space_trimming.h"
#include "tokenizer/unicode.h"

namespace sheaf::tokenizer {

// What the stages write on the way, kept between texts so that a text costs no allocation.
struct Pipeline::Scratch {
  std::vector<Segment> raw_segments;
  std::vector<Segment> normalized_segments;
  PreTokenized pre_tokenized;
  TextBuffer normalized;
};

namespace {

// Scratch that a huge text has grown is given back rather than kept by every thread.
constexpr std::size_t kKeptBytesMax = 1 << 20;

// The part of `count` items that a limit leaves: [first, second).
std::pair<std::size_t, std::size_t> kept_range(std::size_t count, std::size_t limit, Side cut) {
  if (count <= limit) return {0, count};
  if (cut == Side::left) return {count - limit, count};
  return {0, limit};
}

// Keeps of items[from, end) what kept_range says.
template <class Item>
void truncate(std::vector<Item>& items, std::size_t from, std::size_t limit, Side cut) {
  const auto [first, last] = kept_range(items.size() - from, limit, cut);
  const auto begin = items.begin() + static_cast<std::ptrdiff_t>(from);
  items.erase(begin + static_cast<std::ptrdiff_t>(last), items.end());
  items.erase(begin, begin + static_cast<std::ptrdiff_t>(first));
}

// Puts special tokens around the items from `from` on, cutting these so that all together keep the
// limit. Where not even the special tokens do, they are cut too. Returns how many items there were
// without limit.
template <class Item, class MakeSpecial>
std::size_t finish(std::vector<Item>& items, std::size_t from, const EncodeOptions& options,
                   const PostProcessor& post_processor, MakeSpecial make_special) {
  const std::size_t special = options.add_special_tokens ? post_processor.size() : 0;
  const std::size_t total = items.size() - from + special;
  const std::size_t limit = options.max_tokens == 0 ? total : options.max_tokens;
  truncate(items, from, limit - std::min(limit, special), options.truncation_side);
  if (!options.add_special_tokens) return total;
  std::vector<Item> before;
  for (const SpecialToken& token : post_processor.before) before.push_back(make_special(token));
  items.insert(items.begin() + static_cast<std::ptrdiff_t>(from), before.begin(), before.end());
  for (const SpecialToken& token : post_processor.after) items.push_back(make_special(token));
  truncate(items, from, limit, options.truncation_side);
  return total;
}

// How many tokens of two texts a limit leaves: the shorter keeps up to half of it, the longer gets
// the rest. Of texts of one length the second counts as longer, as Hugging Face has it.
std::pair<std::size_t, std::size_t> kept_of_pair(std::size_t first, std::size_t second,
                                                 std::size_t limit) {
  if (first + second <= limit) return {first, second};
  const std::size_t shorter = std::min({first, second, limit / 2});
  if (first <= second) return {shorter, limit - shorter};
  return {limit - shorter, shorter};
}

void append_ids(const std::vector<SpecialToken>& tokens, std::vector<std::int32_t>& ids) {
  for (const SpecialToken& token : tokens) ids.push_back(token.id);
}

// Appends the first `limit` of `text`, or with `cut` left the last.
void append_kept(std::span<const std::int32_t> text, std::size_t limit, Side cut,
                 std::vector<std::int32_t>& ids) {
  const auto [first, last] = kept_range(text.size(), limit, cut);
  ids.insert(ids.end(), text.begin() + static_cast<std::ptrdiff_t>(first),
             text.begin() + static_cast<std::ptrdiff_t>(last));
}

// A token made from the bytes `place` of text with these origins.
Token placed_token(std::int32_t id, std::string_view shown, std::span<const Piece> origins,
                   Piece place) {
  return {id, std::string(shown), false, static_cast<std::int64_t>(origins[place.begin].begin),
          static_cast<std::int64_t>(origins[place.end - 1].end)};
}

}  // namespace

Result<std::size_t> Pipeline::encode(std::string_view text, const EncodeOptions& options,
                                     std::vector<std::int32_t>& ids) const {
  const std::size_t from = ids.size();
  SHEAF_TRY(encode_bare(text, ids));
  return finish(ids, from, options, stages_.post_processor,
                [](const SpecialToken& t) { return t.id; });
}

// Where not even the special tokens keep the limit, they are cut too.
Result<EncodedPair> Pipeline::join_pair(std::span<const std::int32_t> first,
                                        std::span<const std::int32_t> second,
                                        const EncodeOptions& options,
                                        std::vector<std::int32_t>& ids) const {
  if (!stages_.post_processor.pair.ok()) return stages_.post_processor.pair.error();
  const PairTemplate& whole = *stages_.post_processor.pair;
  const PairTemplate special =
      options.add_special_tokens ? whole : PairTemplate{.texts_of_type_0 = whole.texts_of_type_0};
  const std::size_t total = first.size() + second.size() + special.size();
  const std::size_t limit = options.max_tokens == 0 ? total : options.max_tokens;
  const auto [first_kept, second_kept] =
      kept_of_pair(first.size(), second.size(), limit - std::min(limit, special.size()));

  const std::size_t from = ids.size();
  append_ids(special.before, ids);
  append_kept(first, first_kept, options.truncation_side, ids);
  append_ids(special.between, ids);
  append_kept(second, second_kept, options.truncation_side, ids);
  append_ids(special.after, ids);

  const std::size_t of_type_0 =
      special.special_of_type_0 + first_kept + (special.texts_of_type_0 == 2 ? second_kept : 0);
  const auto [begin, end] = kept_range(ids.size() - from, limit, options.truncation_side);
  truncate(ids, from, limit, options.truncation_side);
  return EncodedPair{total, of_type_0 < end ? of_type_0 - std::min(of_type_0, begin) : 0};
}

Status Pipeline::encode_bare(std::string_view text, std::vector<std::int32_t>& ids) const {
  thread_local Scratch scratch;
  const std::size_t from = ids.size();
  const Status status = find_invalid_utf8(text) == std::string_view::npos
                            ? encode_text(text, scratch, ids)
                            : encode_text(unicode::replace_invalid_utf8(text), scratch, ids);
  if (std::max(scratch.normalized.capacity(), scratch.pre_tokenized.rewritten.capacity()) >
      kKeptBytesMax) {
    scratch = Scratch{};
  }
  if (!status.ok()) ids.resize(from);
  return status;
}

Status Pipeline::encode_text(std::string_view text, Scratch& scratch,
                             std::vector<std::int32_t>& ids) const {
  const bool needs_origins = stages_.pre_tokenizer && stages_.pre_tokenizer->needs_origins();
  scratch.raw_segments.clear();
  stages_.added_tokens.split_raw(text, scratch.raw_segments);
  for (const Segment& segment : scratch.raw_segments) {
    if (segment.added_id >= 0) {
      ids.push_back(segment.added_id);
    } else if (needs_origins && segment.place.begin == 0) {
      SHEAF_TRY(encode_with_origins(segment.place.of(text), scratch, ids));
    } else {
      SHEAF_TRY(encode_unnormalized(segment.place.of(text), scratch, ids));
    }
  }
  return {};
}

Status Pipeline::encode_unnormalized(std::string_view text, Scratch& scratch,
                                     std::vector<std::int32_t>& ids) const {
  if (stages_.normalizer) {
    stages_.normalizer->normalize(text, scratch.normalized);
    text = scratch.normalized.view();
  }
  scratch.normalized_segments.clear();
  stages_.added_tokens.split_normalized(text, scratch.normalized_segments);
  for (const Segment& segment : scratch.normalized_segments) {
    if (segment.added_id >= 0) {
      ids.push_back(segment.added_id);
    } else {
      SHEAF_TRY(encode_normalized(segment.place.of(text), nullptr, scratch, ids));
    }
  }
  return {};
}

// The same for the text at the very beginning, where a pre-tokenizer asks for origins: slower.
Status Pipeline::encode_with_origins(std::string_view text, Scratch& scratch,
                                     std::vector<std::int32_t>& ids) const {
  AlignedText normalized(text);
  if (stages_.normalizer) normalized = stages_.normalizer->normalize_aligned(normalized);
  scratch.normalized_segments.clear();
  stages_.added_tokens.split_normalized(normalized.text, scratch.normalized_segments);
  for (const Segment& segment : scratch.normalized_segments) {
    if (segment.added_id >= 0) {
      ids.push_back(segment.added_id);
    } else {
      AlignedText part = normalized.part(segment.place);
      SHEAF_TRY(encode_normalized(part.text, &part.origins, scratch, ids));
    }
  }
  return {};
}

Status Pipeline::encode_normalized(std::string_view text, std::vector<Piece>* origins,
                                   Scratch& scratch, std::vector<std::int32_t>& ids) const {
  PreTokenized& pre_tokenized = scratch.pre_tokenized;
  pre_tokenized.origins = origins;
  pre_tokenized.start(text);
  if (stages_.pre_tokenizer) SHEAF_TRY(stages_.pre_tokenizer->apply(pre_tokenized));
  stages_.model->encode(pre_tokenized.text, pre_tokenized.pieces, ids);
  return {};
}

Result<std::vector<Token>> Pipeline::encode_tokens(std::string_view text,
                                                   const EncodeOptions& options) const {
  std::string replaced;
  std::vector<std::size_t> offsets;
  std::string_view valid = text;
  if (find_invalid_utf8(text) != std::string_view::npos) {
    replaced = unicode::replace_invalid_utf8(text, &offsets);
    valid = replaced;
  }
  SHEAF_ASSIGN(std::vector<Token> tokens, place_text(valid));
  const PostProcessor& post_processor = stages_.post_processor;
  finish(tokens, 0, options, post_processor,
         [](const SpecialToken& t) { return Token{.id = t.id, .text = t.text, .special = true}; });
  for (const SpaceTrimming& trimming : post_processor.trimmings)
    trim_spaces(trimming, valid, tokens);
  for (Token& token : tokens) {
    if (offsets.empty() || token.start < 0) continue;
    token.start = static_cast<std::int64_t>(offsets[static_cast<std::size_t>(token.start)]);
    token.stop = static_cast<std::int64_t>(offsets[static_cast<std::size_t>(token.stop)]);
  }
  return tokens;
}

Result<std::vector<Token>> Pipeline::place_text(std::string_view text) const {
  std::vector<Segment> segments;
  stages_.added_tokens.split_raw(text, segments);
  std::vector<Token> tokens;
  for (const Segment& segment : segments) {
    const std::string_view part = segment.place.of(text);
    if (segment.added_id < 0) {
      SHEAF_TRY(place_unnormalized(part, segment.place.begin, tokens));
    } else {
      tokens.push_back({segment.added_id, std::string(part), false,
                        static_cast<std::int64_t>(segment.place.begin),
                        static_cast<std::int64_t>(segment.place.end)});
    }
  }
  return tokens;
}

// The tokens of text that begins `offset` bytes into the whole.
Status Pipeline::place_unnormalized(std::string_view text, std::size_t offset,
                                    std::vector<Token>& tokens) const {
  AlignedText normalized(text, offset);
  if (stages_.normalizer) normalized = stages_.normalizer->normalize_aligned(normalized);
  std::vector<Segment> segments;
  stages_.added_tokens.split_normalized(normalized.text, segments);
  for (const Segment& segment : segments) {
    AlignedText part = normalized.part(segment.place);
    if (segment.added_id >= 0) {
      tokens.push_back(
          placed_token(segment.added_id, part.text, part.origins, {0, part.text.size()}));
    } else {
      SHEAF_TRY(place_normalized(std::move(part), tokens));
    }
  }
  return {};
}

Status Pipeline::place_normalized(AlignedText text, std::vector<Token>& tokens) const {
  PreTokenized pre_tokenized;
  pre_tokenized.origins = &text.origins;
  pre_tokenized.start(text.text);
  if (stages_.pre_tokenizer) SHEAF_TRY(stages_.pre_tokenizer->apply(pre_tokenized));
  std::vector<PlacedId> placed;
  stages_.model->encode_placed(pre_tokenized.text, pre_tokenized.pieces, placed);
  for (const PlacedId& p : placed) {
    const std::string_view shown = p.shown_as_place
                                       ? p.place.of(pre_tokenized.text)
                                       : stages_.model->vocabulary().token_of(p.id).value_or("");
    tokens.push_back(placed_token(p.id, shown, text.origins, p.place));
  }
  return {};
}

std::optional<std::string_view> Pipeline::text_of(std::int32_t id) const {
  if (const AddedToken* added = stages_.added_tokens.find(id)) return added->shown;
  return stages_.model->vocabulary().token_of(id);
}

Result<std::string> Pipeline::decode(const std::vector<std::int32_t>& ids,
                                     bool skip_special_tokens) const {
  std::vector<std::string> tokens;
  for (const std::int32_t id : ids) {
    const std::optional<std::string_view> text = text_of(id);
    if (!text) {
      return Error{ErrorCode::invalid_argument,
                   fmt::format("token id {} is not in the vocabulary of {} ids", id, vocab_size())};
    }
    const AddedToken* added = stages_.added_tokens.find(id);
    if (skip_special_tokens && added != nullptr && added->skipped) continue;
    tokens.emplace_back(*text);
  }
  if (stages_.decoder) stages_.decoder->decode(tokens);
  return fmt::format("{}", fmt::join(tokens, stages_.decoder ? "" : " "));
}

std::size_t Pipeline::vocab_size() const {
  return std::max(stages_.model->vocabulary().id_end(), stages_.added_tokens.id_end());
}

Result<std::shared_ptr<const Tokenizer>> Pipeline::parse(const JsonField& document,
                                                         const Additions& additions) {
  SHEAF_ASSIGN(const std::optional<JsonField> version, document.find("version"));
  if (version) {
    SHEAF_ASSIGN(const std::string_view text, version->string());
    if (text != "1.0")
      return version->error(fmt::format("must be \"1.0\", is {}", in_quotes(text)));
  }
  Stages stages;
  SHEAF_ASSIGN(const std::optional<JsonField> normalizer, document.find("normalizer"));
  if (normalizer) {
    SHEAF_ASSIGN(stages.normalizer, Normalizer::parse(*normalizer));
  }
  SHEAF_ASSIGN(const std::optional<JsonField> pre_tokenizer, document.find("pre_tokenizer"));
  if (pre_tokenizer) {
    SHEAF_ASSIGN(stages.pre_tokenizer, PreTokenizer::parse(*pre_tokenizer));
  }
  SHEAF_ASSIGN(const JsonField model, document.get("model"));
  const bool bytes = stages.pre_tokenizer && stages.pre_tokenizer->is_byte_level();
  SHEAF_ASSIGN(stages.model, Model::parse(model, bytes ? Alphabet::bytes : Alphabet::characters));
  const Vocabulary& vocabulary = stages.model->vocabulary();
  SHEAF_ASSIGN(const std::optional<JsonField> added, document.find("added_tokens"));
  if (added) {
    SHEAF_ASSIGN(stages.added_tokens,
                 AddedTokens::parse(*added, vocabulary, stages.normalizer.get()));
  }
  SHEAF_ASSIGN(const std::optional<JsonField> post_processor, document.find("post_processor"));
  if (post_processor) {
    const auto is_known = [&](std::int32_t id) {
      return vocabulary.token_of(id) || stages.added_tokens.find(id) != nullptr;
    };
    SHEAF_ASSIGN(stages.post_processor, PostProcessor::parse(*post_processor, is_known));
  }
  SHEAF_ASSIGN(const std::optional<JsonField> decoder, document.find("decoder"));
  if (decoder) {
    SHEAF_ASSIGN(stages.decoder, Decoder::parse(*decoder));
  }
  SHEAF_TRY(apply(additions, stages));
  return std::shared_ptr<const Tokenizer>(std::make_shared<Pipeline>(std::move(stages)));
}

}  // namespace sheaf::tokenizer
