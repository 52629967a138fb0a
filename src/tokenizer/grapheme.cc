#include "tokenizer/grapheme.h"

namespace sheaf::tokenizer {
namespace {

using Class = unicode::GraphemeClass;

bool is_control(Class c) {
  return c == Class::control || c == Class::carriage_return || c == Class::line_feed;
}
bool is_extend(Class c) {
  return c == Class::extend || c == Class::non_joiner || c == Class::linker;
}
bool is_hangul_start(Class c) {
  return c == Class::hangul_lead || c == Class::hangul_vowel || c == Class::hangul_open ||
         c == Class::hangul_closed;
}

// What the rules need to remember of the characters of a cluster read so far.
class Context {
 public:
  explicit Context(Class first) { add(first); }

  // Whether `next` continues the cluster; the comments name the rules of annex 29.
  bool joins(Class next) const {
    if (last_ == Class::carriage_return && next == Class::line_feed) return true;  // GB3
    if (is_control(last_) || is_control(next)) return false;                       // GB4, GB5
    if (is_extend(next) || next == Class::joiner || next == Class::spacing) return true;  // GB9, a
    if (last_ == Class::prepend) return true;                                             // GB9b
    switch (last_) {
      case Class::hangul_lead:  // GB6
        return is_hangul_start(next);
      case Class::hangul_vowel:  // GB7
      case Class::hangul_open:
        return next == Class::hangul_vowel || next == Class::hangul_tail;
      case Class::hangul_tail:  // GB8
      case Class::hangul_closed:
        return next == Class::hangul_tail;
      default:
        break;
    }
    if (next == Class::consonant) return conjunct_ == Conjunct::linked;     // GB9c
    return next == Class::pictograph && pictograph_ == Pictograph::joined;  // GB11
  }

  void add(Class next) {
    if (next == Class::consonant) {
      conjunct_ = Conjunct::consonant;
    } else if (next == Class::linker) {
      if (conjunct_ == Conjunct::consonant) conjunct_ = Conjunct::linked;
    } else if (next != Class::extend && next != Class::joiner) {
      conjunct_ = Conjunct::none;
    }
    if (next == Class::pictograph) {
      pictograph_ = Pictograph::extended;
    } else if (next == Class::joiner && pictograph_ == Pictograph::extended) {
      pictograph_ = Pictograph::joined;
    } else if (!is_extend(next) || pictograph_ == Pictograph::joined) {
      pictograph_ = Pictograph::none;
    }
    last_ = next;
  }

 private:
  enum class Conjunct { none, consonant, linked };
  enum class Pictograph { none, extended, joined };

  Class last_ = Class::other;
  Conjunct conjunct_ = Conjunct::none;
  Pictograph pictograph_ = Pictograph::none;
};

}  // namespace

GraphemeScanner::GraphemeScanner() : classes_(Class::other) {
  for (const auto& range : unicode::grapheme_class()) {
    classes_.set(range.first, range.last, range.grapheme_class);
  }
}

const char* GraphemeScanner::cluster_end(const char* begin, const char* end) const {
  const char* p = begin;
  Context context(class_of(unicode::decode_utf8(p)));
  while (p < end) {
    const char* next = p;
    const Class next_class = class_of(unicode::decode_utf8(next));
    if (!context.joins(next_class)) break;
    context.add(next_class);
    p = next;
  }
  return p;
}

}  // namespace sheaf::tokenizer
