#include "tokenizer/bert_normalizer.h"

#include <algorithm>
#include <cassert>
#include <cstring>

#include "tokenizer/plain_ascii.h"

namespace sheaf::tokenizer {
namespace {

using unicode::CodePoint;

// No character grows by more: three bytes become at most nine (Hangul syllables, musical symbols),
// a Chinese character gets two spaces. The constructor asserts it.
constexpr std::size_t kBertGrowthMax = 3;

struct AlignedCharacter {
  CodePoint c;
  Piece origin;
};
using AlignedCharacters = std::vector<AlignedCharacter>;

bool is_line_or_tab(CodePoint c) { return c == '\t' || c == '\n' || c == '\r'; }
bool is_removed(CodePoint c) { return unicode::contains(unicode::other(), c); }
bool is_space(CodePoint c) {
  return is_line_or_tab(c) || unicode::contains(unicode::white_space(), c);
}
bool is_chinese(CodePoint c) { return unicode::contains(unicode::chinese(), c); }
bool is_nonspacing(CodePoint c) { return unicode::contains(unicode::nonspacing_mark(), c); }

AlignedCharacters characters_of(const AlignedText& text) {
  AlignedCharacters result;
  const char* const begin = text.text.data();
  for (const char* p = begin; p < begin + text.text.size();) {
    const Piece origin = text.origins[static_cast<std::size_t>(p - begin)];
    result.push_back({unicode::decode_utf8(p), origin});
  }
  return result;
}

void clean(AlignedCharacters& characters) {
  std::erase_if(characters, [](const AlignedCharacter& a) { return is_removed(a.c); });
  for (AlignedCharacter& a : characters) {
    if (is_space(a.c)) a.c = ' ';
  }
}

AlignedCharacters surround_chinese(const AlignedCharacters& characters) {
  AlignedCharacters result;
  for (const AlignedCharacter& a : characters) {
    const bool chinese = is_chinese(a.c);
    if (chinese) result.push_back({' ', a.origin});
    result.push_back(a);
    if (chinese) result.push_back({' ', a.origin});
  }
  return result;
}

// NFD. Origins are handed out by position and not by character where marks change places, as
// Hugging Face does: the first part of each decomposition takes the next origin, the other parts
// repeat the last one.
AlignedCharacters decompose(const AlignedCharacters& characters) {
  struct Part {
    CodePoint c;
    std::uint8_t combining_class;
    bool first;
  };
  std::vector<Part> parts;
  for (const AlignedCharacter& a : characters) {
    bool first = true;
    for (const CodePoint c : unicode::decompose(a.c)) {
      parts.push_back({c, unicode::combining_class_of(c), std::exchange(first, false)});
    }
  }
  const auto is_starter = [](const Part& part) { return part.combining_class == 0; };
  for (auto run = parts.begin(); run != parts.end();) {
    run = std::find_if_not(run, parts.end(), is_starter);
    const auto run_end = std::find_if(run, parts.end(), is_starter);
    std::stable_sort(run, run_end, [](const Part& a, const Part& b) {
      return a.combining_class < b.combining_class;
    });
    run = run_end;
  }
  AlignedCharacters result;
  std::size_t taken = 0;
  for (const Part& part : parts) {
    if (part.first) ++taken;
    result.push_back({part.c, taken == 0 ? Piece{} : characters[taken - 1].origin});
  }
  return result;
}

AlignedCharacters lower(const AlignedCharacters& characters) {
  AlignedCharacters result;
  for (const AlignedCharacter& a : characters) {
    for (const CodePoint c : unicode::lower_case_of(a.c)) result.push_back({c, a.origin});
  }
  return result;
}

std::uint64_t lower_ascii(std::uint64_t word) {
  const std::uint64_t from_a = word + repeat(0x80 - 'A');
  const std::uint64_t beyond_z = word + repeat(0x80 - 'Z' - 1);
  return word | (from_a & ~beyond_z & repeat(0x80)) >> 2;
}

}  // namespace

BertNormalizer::BertNormalizer(BertNormalizerOptions options)
    : options_(options), entries_(Entry{}) {
  // From the last step to the first: where steps compete for a character the earlier one wins.
  set_replacements();
  if (options_.strip_accents) set_combining();
  if (options_.handle_chinese_chars) set_chinese();
  if (options_.clean_text) set_cleaning();
  set_ascii();
}

Result<std::unique_ptr<const Normalizer>> BertNormalizer::parse(const JsonField& field) {
  BertNormalizerOptions options;
  SHEAF_ASSIGN(options.clean_text, field.boolean("clean_text"));
  SHEAF_ASSIGN(options.handle_chinese_chars, field.boolean("handle_chinese_chars"));
  SHEAF_ASSIGN(options.lowercase, field.boolean("lowercase"));
  SHEAF_ASSIGN(const std::optional<JsonField> strip, field.find("strip_accents"));
  options.strip_accents = options.lowercase;
  if (strip) {
    SHEAF_ASSIGN(options.strip_accents, strip->boolean());
  }
  return std::unique_ptr<const Normalizer>(std::make_unique<BertNormalizer>(options));
}

bool BertNormalizer::is_stripped(CodePoint c) const {
  return options_.strip_accents && is_nonspacing(c);
}

std::string BertNormalizer::replacement(CodePoint c) const {
  const unicode::ShortSequence parts =
      options_.strip_accents ? unicode::decompose(c) : unicode::ShortSequence{1, {c}};
  std::string result;
  for (const CodePoint part : parts) {
    if (is_stripped(part)) continue;
    const unicode::ShortSequence lowered =
        options_.lowercase ? unicode::lower_case_of(part) : unicode::ShortSequence{1, {part}};
    for (const CodePoint l : lowered) unicode::append_utf8(l, result);
  }
  return result;
}

BertNormalizer::Entry BertNormalizer::replace_by(std::string_view text) {
  if (text.empty()) return {Action::drop};
  const std::size_t offset = replacements_.size();
  assert(offset + text.size() <= 0x10000);
  replacements_ += text;
  return {Action::replace, static_cast<std::uint8_t>(text.size()),
          static_cast<std::uint16_t>(offset)};
}

void BertNormalizer::set_replacements() {
  const auto set = [&](CodePoint c) {
    const std::string text = replacement(c);
    assert(text.size() <= kBertGrowthMax * unicode::utf8_size(c));
    entries_.set(c, replace_by(text));
  };
  if (options_.lowercase) {
    for (const auto& mapping : unicode::lower_case()) set(mapping.from);
  }
  if (options_.strip_accents) {
    for (const auto& mapping : unicode::decomposition()) set(mapping.from);
    entries_.set(unicode::kHangulFirst, unicode::kHangulLast, {Action::hangul});
    entries_.set(unicode::nonspacing_mark(), {Action::drop});
  }
}

// Does a mark that NFD may have to move survive in what `c` becomes?
bool BertNormalizer::keeps_marks(CodePoint c) const {
  const unicode::ShortSequence parts = unicode::decompose(c);
  return std::any_of(parts.begin(), parts.end(), [&](CodePoint part) {
    return !is_stripped(part) && unicode::combining_class_of(part) != 0;
  });
}

// Marks that are dropped need no sorting: the sort is stable, so those that stay keep their order.
void BertNormalizer::set_combining() {
  const auto check = [&](CodePoint c) {
    if (keeps_marks(c)) entries_.set(c, {Action::marks});
  };
  for (const auto& range : unicode::combining_class()) {
    for (CodePoint c = range.first; c <= range.last; ++c) check(c);
  }
  for (const auto& mapping : unicode::decomposition()) check(mapping.from);
}

void BertNormalizer::set_chinese() {
  entries_.set(unicode::chinese(), {Action::surround});
  if (!options_.strip_accents) return;
  for (const auto& mapping : unicode::decomposition()) {
    if (is_chinese(mapping.from)) {
      entries_.set(mapping.from, replace_by(" " + replacement(mapping.from) + " "));
    }
  }
}

void BertNormalizer::set_cleaning() {
  entries_.set(unicode::white_space(), {Action::space});
  entries_.set(unicode::other(), {Action::drop});
  for (const CodePoint c : {'\t', '\n', '\r'}) entries_.set(c, {Action::space});
}

void BertNormalizer::set_ascii() {
  for (CodePoint c = 0; c < 128; ++c) {
    const Entry entry = entries_[c];
    ascii_size_[c] = entry.action == Action::drop ? 0 : 1;
    ascii_byte_[c] = entry.action == Action::space     ? ' '
                     : entry.action == Action::replace ? replacements_[entry.offset]
                                                       : static_cast<char>(c);
  }
}

void BertNormalizer::normalize(std::string_view text, TextBuffer& buffer) const {
  // Eight more, since words are written whole.
  char* out = buffer.reserve(text.size() * kBertGrowthMax + 8);
  const char* p = text.data();
  const char* const end = p + text.size();
  while (p < end) {
    std::uint64_t word;
    while (end - p >= 8 && (std::memcpy(&word, p, 8), is_plain_ascii(word))) {
      if (options_.lowercase) word = lower_ascii(word);
      std::memcpy(out, &word, 8);
      p += 8;
      out += 8;
    }
    // The bytes that stopped the loop above, and what little follows the last of them.
    for (const char* const stop = std::min(p + 8, end); p < stop;) {
      const auto byte = static_cast<unsigned char>(*p);
      if (byte < 0x80) {
        *out = ascii_byte_[byte];
        out += ascii_size_[byte];
        ++p;
      } else {
        p = write_character(p, end, out);
      }
    }
  }
  buffer.finish(out);
}

// Writes what the character at `p`, which is not ASCII, becomes. Returns where to read on.
const char* BertNormalizer::write_character(const char* p, const char* end, char*& out) const {
  const char* const start = p;
  const CodePoint c = unicode::decode_utf8(p);
  const auto copy = [&] {
    for (const char* from = start; from < p; ++from) *out++ = *from;
  };
  const Entry entry = entries_[c];
  switch (entry.action) {
    case Action::keep:
      copy();
      break;
    case Action::drop:
      break;
    case Action::space:
      *out++ = ' ';
      break;
    case Action::surround:
      *out++ = ' ';
      copy();
      *out++ = ' ';
      break;
    case Action::replace:
      std::memcpy(out, replacements_.data() + entry.offset, entry.size);
      out += entry.size;
      break;
    case Action::hangul:
      for (const CodePoint letter : unicode::decompose(c)) out = unicode::encode_utf8(letter, out);
      break;
    case Action::marks:
      return write_sorted_marks(start, end, out);
  }
  return p;
}

void BertNormalizer::write_lowered(CodePoint c, char*& out) const {
  const unicode::ShortSequence lowered =
      options_.lowercase ? unicode::lower_case_of(c) : unicode::ShortSequence{1, {c}};
  for (const CodePoint l : lowered) out = unicode::encode_utf8(l, out);
}

// Writes the character at `p` and all marks that follow it, in canonical order. Rare: nearly all
// marks are dropped.
const char* BertNormalizer::write_sorted_marks(const char* p, const char* end, char*& out) const {
  struct Mark {
    std::uint8_t combining_class;
    CodePoint c;
  };
  std::vector<Mark> marks;
  for (const char* const start = p; p < end;) {
    const char* next = p;
    const CodePoint c = unicode::decode_utf8(next);
    const bool removed = options_.clean_text && is_removed(c);
    const unicode::ShortSequence parts = unicode::decompose(c);
    if (!removed && p != start && unicode::combining_class_of(*parts.begin()) == 0) break;
    p = next;
    if (removed) continue;
    for (const CodePoint part : parts) {
      const std::uint8_t combining_class = unicode::combining_class_of(part);
      if (is_stripped(part)) continue;
      if (combining_class == 0) {
        write_lowered(part, out);  // only the first part of the first character
      } else {
        marks.push_back({combining_class, part});
      }
    }
  }
  std::stable_sort(marks.begin(), marks.end(), [](const Mark& a, const Mark& b) {
    return a.combining_class < b.combining_class;
  });
  for (const Mark& mark : marks) write_lowered(mark.c, out);
  return p;
}

std::size_t BertNormalizer::size_max(std::size_t size) const { return size * kBertGrowthMax; }

AlignedText BertNormalizer::normalize_aligned(const AlignedText& text) const {
  AlignedCharacters characters = characters_of(text);
  if (options_.clean_text) clean(characters);
  if (options_.handle_chinese_chars) characters = surround_chinese(characters);
  if (options_.strip_accents) {
    characters = decompose(characters);
    std::erase_if(characters, [](const AlignedCharacter& a) { return is_nonspacing(a.c); });
  }
  if (options_.lowercase) characters = lower(characters);
  AlignedText result;
  for (const AlignedCharacter& a : characters) result.append(a.c, a.origin);
  return result;
}

}  // namespace sheaf::tokenizer
