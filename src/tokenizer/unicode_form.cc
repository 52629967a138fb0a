#include "tokenizer/unicode_form.h"

#include <algorithm>
#include <cstring>

namespace sheaf::tokenizer {
namespace {

using unicode::CodePoint;

// Into how many times its bytes a character may grow: U+FDFA, of three bytes, becomes 18 characters
// of 33 bytes in the compatible forms; in the others U+0390, of two, becomes three of two each.
constexpr std::size_t kFormGrowthMax = 11;

// Unicode 15, section 3.12.
constexpr CodePoint kLeadFirst = 0x1100, kVowelFirst = 0x1161, kTailBase = 0x11A7;
constexpr CodePoint kLeads = 19, kVowels = 21, kTails = 28;

CodePoint compose_hangul(CodePoint a, CodePoint b) {
  if (a - kLeadFirst < kLeads && b - kVowelFirst < kVowels)
    return unicode::kHangulFirst + ((a - kLeadFirst) * kVowels + (b - kVowelFirst)) * kTails;
  const bool is_open_syllable = a >= unicode::kHangulFirst && a <= unicode::kHangulLast &&
                                (a - unicode::kHangulFirst) % kTails == 0;
  // The tail of index 0 is none.
  if (is_open_syllable && b > kTailBase && b - kTailBase < kTails) return a + (b - kTailBase);
  return 0;
}

// What two characters compose into, or 0.
CodePoint compose(CodePoint a, CodePoint b) {
  if (const CodePoint syllable = compose_hangul(a, b)) return syllable;
  const auto table = unicode::composition();
  const auto found = std::lower_bound(
      table.begin(), table.end(), std::pair(a, b),
      [](const unicode::Composition& c, const std::pair<CodePoint, CodePoint>& wanted) {
        return std::pair(c.first, c.second) < wanted;
      });
  if (found == table.end() || found->first != a || found->second != b) return 0;
  return found->composed;
}

// The compatible decomposition of `c` where it is not the canonical one, else nothing.
std::span<const CodePoint> compatible_decomposition(CodePoint c) {
  const auto table = unicode::compatibility();
  const auto found = std::lower_bound(
      table.begin(), table.end(), c,
      [](const unicode::LongMapping& m, CodePoint wanted) { return m.from < wanted; });
  if (found == table.end() || found->from != c) return {};
  return unicode::compatibility_text().subspan(found->offset, found->size);
}

// Sorts each run of marks by combining class.
void reorder(std::span<Edit> edits) {
  const auto class_of = [](const Edit& e) { return unicode::combining_class_of(e.c); };
  const auto is_starter = [&](const Edit& e) { return class_of(e) == 0; };
  for (auto run = edits.begin(); run != edits.end();) {
    run = std::find_if_not(run, edits.end(), is_starter);
    const auto end = std::find_if(run, edits.end(), is_starter);
    if (end - run > 1) {
      std::stable_sort(run, end,
                       [&](const Edit& a, const Edit& b) { return class_of(a) < class_of(b); });
    }
    run = end;
  }
}

// Joins marks, and starters, to the starter before them that they compose with and that nothing
// keeps them from. A character that joins is one that disappears behind the starter, or one added
// less.
void recompose(std::vector<Edit>& edits, std::size_t from) {
  std::size_t kept = from;
  std::size_t starter = edits.size();  // in what is kept; edits.size(): none yet
  int last_class = 0;                  // of what is kept behind the starter; 0: nothing is
  for (std::size_t i = from; i < edits.size(); ++i) {
    const Edit edit = edits[i];
    const int own_class = unicode::combining_class_of(edit.c);
    const bool reachable =
        starter != edits.size() && (kept == starter + 1 || last_class < own_class);
    const CodePoint composed = reachable ? compose(edits[starter].c, edit.c) : 0;
    if (composed != 0) {
      edits[starter] = {composed, edits[starter].change + edit.change - 1};
      continue;
    }
    if (own_class == 0) starter = kept;
    last_class = own_class;
    edits[kept++] = edit;
  }
  edits.resize(kept);
}

}  // namespace

UnicodeForm::UnicodeForm(Kind kind) : kind_(kind), is_inert_(true) {
  for (const auto& range : unicode::combining_class())
    is_inert_.set(range.first, range.last, false);
  const auto check = [&](CodePoint c) {
    std::vector<Edit> edits;
    edit(std::span(&c, 1), edits);
    if (edits.size() != 1 || edits[0].c != c) is_inert_.set(c, false);
  };
  for (const auto& mapping : unicode::decomposition()) check(mapping.from);
  if (is_compatible()) {
    for (const auto& mapping : unicode::compatibility()) check(mapping.from);
  }
  if (composes()) {
    for (const auto& composition : unicode::composition()) is_inert_.set(composition.second, false);
    is_inert_.set(kVowelFirst, kVowelFirst + kVowels - 1, false);
    is_inert_.set(kTailBase + 1, kTailBase + kTails - 1, false);
  } else {
    is_inert_.set(unicode::kHangulFirst, unicode::kHangulLast, false);
  }
}

void UnicodeForm::decompose(CodePoint c, std::vector<Edit>& edits) const {
  int change = 0;  // the first takes the place of `c`, the others are added
  if (is_compatible()) {
    const std::span<const CodePoint> parts = compatible_decomposition(c);
    for (const CodePoint part : parts) edits.push_back({part, std::exchange(change, 1)});
    if (!parts.empty()) return;
  }
  for (const CodePoint part : unicode::decompose(c))
    edits.push_back({part, std::exchange(change, 1)});
}

void UnicodeForm::edit(std::span<const CodePoint> characters, std::vector<Edit>& edits) const {
  const std::size_t from = edits.size();
  for (const CodePoint c : characters) decompose(c, edits);
  reorder(std::span(edits).subspan(from));
  if (composes()) recompose(edits, from);
}

bool UnicodeForm::is_inert(const char* p) const {
  return static_cast<unsigned char>(*p) < 0x80 || is_inert_[unicode::decode_utf8(p)] != 0;
}

// The first character from `p` on that is not inert, or the end.
const char* UnicodeForm::skip_inert(const char* p, const char* end) const {
  constexpr std::uint64_t kHighBits = 0x8080808080808080;
  while (p < end) {
    std::uint64_t word;
    while (end - p >= 8 && (std::memcpy(&word, p, 8), (word & kHighBits) == 0)) p += 8;
    if (p == end) break;
    const char* next = p;
    if (static_cast<unsigned char>(*p) < 0x80) {
      ++next;
    } else if (is_inert_[unicode::decode_utf8(next)] == 0) {
      return p;
    }
    p = next;
  }
  return end;
}

// Text between inert characters is edited together with the one before it, which may change with
// what follows.
void UnicodeForm::normalize(std::string_view text, TextBuffer& out) const {
  const char* p = text.data();
  const char* const end = p + text.size();
  const char* stop = skip_inert(p, end);
  if (stop == end) {
    char* const to = out.reserve(text.size());
    if (!text.empty()) std::memcpy(to, text.data(), text.size());
    return out.finish(to + text.size());
  }
  std::string result;
  result.reserve(text.size() + text.size() / 8);
  std::vector<CodePoint> characters;
  std::vector<Edit> edits;
  while (stop < end) {
    const char* first = stop;
    while (first > p && (--first, (static_cast<unsigned char>(*first) & 0xC0) == 0x80)) {
    }
    result.append(p, first);
    characters.clear();
    edits.clear();
    for (p = first; p < end && (p <= stop || !is_inert(p));)
      characters.push_back(unicode::decode_utf8(p));
    edit(characters, edits);
    for (const Edit& e : edits) unicode::append_utf8(e.c, result);
    stop = skip_inert(p, end);
  }
  result.append(p, end);
  char* const to = out.reserve(result.size());
  std::memcpy(to, result.data(), result.size());
  out.finish(to + result.size());
}

AlignedText UnicodeForm::normalize_aligned(const AlignedText& text) const {
  std::vector<CodePoint> characters;
  for (const char* p = text.text.data(); p < text.text.data() + text.text.size();)
    characters.push_back(unicode::decode_utf8(p));
  std::vector<Edit> edits;
  edit(characters, edits);
  return apply_edits(edits, text);
}

std::size_t UnicodeForm::size_max(std::size_t size) const { return size * kFormGrowthMax; }

}  // namespace sheaf::tokenizer
