#include "tokenizer/word_scanner.h"

#include <array>
#include <cstdint>

#include "tokenizer/code_point_map.h"

namespace sheaf::tokenizer {
namespace {

using unicode::CodePoint;

// What the expressions tell apart: \p{L}, \p{N}, \s and the rest.
enum class Class : std::uint8_t { letter, number, space, other };

class Classes {
 public:
  Classes() : map_(Class::other) {
    map_.set(unicode::letter(), Class::letter);
    map_.set(unicode::number(), Class::number);
    map_.set(unicode::white_space(), Class::space);
    for (CodePoint c = 0; c < 128; ++c) ascii_[c] = map_[c];
  }
  // Of the character at `p`; moves `p` behind it.
  Class read(const char*& p) const {
    const auto byte = static_cast<unsigned char>(*p);
    if (byte < 0x80) {
      ++p;
      return ascii_[byte];
    }
    return map_[unicode::decode_utf8(p)];
  }

 private:
  CodePointMap<Class> map_;
  std::array<Class, 128> ascii_;
};

const Classes& classes() {
  static const Classes instance;
  return instance;
}

// A place in the text, and what the expressions ask about it.
class Cursor {
 public:
  Cursor(std::string_view text, const Classes& classes)
      : p_(text.data()), end_(text.data() + text.size()), classes_(classes) {}

  bool at_end() const { return p_ == end_; }
  const char* place() const { return p_; }
  char byte() const { return *p_; }  // not at the end
  bool is(const char* p, char c) const { return p < end_ && *p == c; }

  // Moves over all characters of a class, at most `characters_max`.
  void skip(Class wanted, std::size_t characters_max = ~std::size_t{0}) {
    for (const char* next = p_; p_ < end_ && characters_max > 0; p_ = next, --characters_max) {
      if (classes_.read(next) != wanted) return;
    }
  }
  void skip_line_ends() {
    while (p_ < end_ && (*p_ == '\r' || *p_ == '\n')) ++p_;
  }
  void move_to(const char* p) { p_ = p; }
  // The class of the character here; `next` gets the place behind it.
  Class read(const char*& next) const {
    next = p_;
    return classes_.read(next);
  }
  // Whether the character at `p` is of a class; false at the end.
  bool is_class(const char* p, Class wanted) const {
    return p < end_ && classes_.read(p) == wanted;
  }

  // White space, where no other rule has taken it: \s+(?!\S)|\s+. All of it at the end of the text;
  // elsewhere all but its last character, which goes to the next word, unless it is the only one.
  void skip_white_space() {
    const char* last = p_;  // the last character of the run
    const char* const start = p_;
    for (const char* next = p_; p_ < end_; p_ = next) {
      if (classes_.read(next) != Class::space) break;
      last = p_;
    }
    if (p_ < end_ && last > start) p_ = last;
  }

 private:
  const char* p_;
  const char* end_;
  const Classes& classes_;
};

// The size of 's, 't, 're, 've, 'm, 'll or 'd at `p`, or 0. Without regard to case if `any_case`,
// when an s may also be U+017F.
std::size_t contraction_size(const Cursor& text, const char* p, bool any_case) {
  if (!text.is(p, '\'')) return 0;
  const auto is = [&](const char* q, char lower) {
    return text.is(q, lower) || (any_case && text.is(q, static_cast<char>(lower - 'a' + 'A')));
  };
  for (const char letter : {'s', 't', 'm', 'd'}) {
    if (is(p + 1, letter)) return 2;
  }
  if (any_case && text.is(p + 1, '\xC5') && text.is(p + 2, '\xBF')) return 3;
  for (const std::string_view letters : {"re", "ve", "ll"}) {
    if (is(p + 1, letters[0]) && is(p + 2, letters[1])) return 3;
  }
  return 0;
}

// '(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
void next_gpt2_word(Cursor& text) {
  if (const std::size_t size = contraction_size(text, text.place(), false)) {
    text.move_to(text.place() + size);
    return;
  }
  const char* next;
  Class here = text.read(next);
  if (text.byte() == ' ' && !text.is_class(next, Class::space)) {
    const char* const space = text.place();
    text.move_to(next);
    if (text.at_end()) return;
    here = text.read(next);
    text.move_to(space + 1);
  }
  if (here == Class::space) {
    text.skip_white_space();
  } else {
    text.skip(here);
  }
}

// \s*[\r\n]+: up to the last line end of the white space here. False if there is none.
bool skip_lines(Cursor& text) {
  const char* const start = text.place();
  text.skip(Class::space);
  const char* end = text.place();
  while (end > start && end[-1] != '\n' && end[-1] != '\r') --end;
  text.move_to(end);
  return end > start;
}

// (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|
// \s*[\r\n]+|\s+(?!\S)|\s+
void next_cl100k_word(Cursor& text, std::size_t digits_max) {
  if (const std::size_t size = contraction_size(text, text.place(), true)) {
    text.move_to(text.place() + size);
    return;
  }
  const char* next;
  const Class here = text.read(next);
  if (here == Class::letter) return text.skip(Class::letter);
  if (here == Class::number) return text.skip(Class::number, digits_max);
  const char byte = text.byte();
  if (byte != '\r' && byte != '\n' && text.is_class(next, Class::letter)) {
    text.move_to(next);
    return text.skip(Class::letter);
  }
  if (here == Class::other || (byte == ' ' && text.is_class(next, Class::other))) {
    if (here != Class::other) text.move_to(next);
    text.skip(Class::other);
    return text.skip_line_ends();
  }
  if (!skip_lines(text)) text.skip_white_space();
}

}  // namespace

std::string_view WordScanner::expression_of(Kind kind) {
  switch (kind) {
    case Kind::gpt2:
      return R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
    case Kind::llama3:
      return R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
    case Kind::qwen2:
      return R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
  }
  return "";
}

std::optional<WordScanner> WordScanner::find(std::string_view expression) {
  for (const Kind kind : {Kind::gpt2, Kind::llama3, Kind::qwen2}) {
    if (expression == expression_of(kind)) return WordScanner(kind);
  }
  return std::nullopt;
}

void WordScanner::split(std::string_view text, std::vector<Piece>& words) const {
  Cursor cursor(text, classes());
  while (!cursor.at_end()) {
    const auto begin = static_cast<std::size_t>(cursor.place() - text.data());
    if (kind_ == Kind::gpt2) {
      next_gpt2_word(cursor);
    } else {
      next_cl100k_word(cursor, kind_ == Kind::llama3 ? 3 : 1);
    }
    words.push_back({begin, static_cast<std::size_t>(cursor.place() - text.data())});
  }
}

}  // namespace sheaf::tokenizer
