#include "tokenizer/precompiled.h"

#include <algorithm>
#include <cstring>

#include "tokenizer/plain_ascii.h"

namespace sheaf::tokenizer {
namespace {

using unicode::CodePoint;

constexpr std::size_t kWholeClusterMax = 5;

std::size_t count_characters(std::string_view text) {
  return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xC0) != 0x80;
  }));
}

// How Hugging Face accounts for `from` becoming `to`: characters go over one by one; those too many
// are added at the end, those missing are taken out behind the last one written, which may be that
// of another rule, or not exist.
void replace(std::string_view from, std::string_view to, std::vector<Edit>& edits) {
  const auto change =
      static_cast<int>(count_characters(to)) - static_cast<int>(count_characters(from));
  for (const char* p = to.data(); p < to.data() + to.size();)
    edits.push_back({unicode::decode_utf8(p), 0});
  if (change > 0) {
    for (auto edit = edits.end() - change; edit != edits.end(); ++edit) edit->change = 1;
  } else if (!edits.empty()) {
    edits.back().change += change;
  }
}

}  // namespace

Result<std::unique_ptr<const Normalizer>> Precompiled::parse(const JsonField& field) {
  SHEAF_ASSIGN(const JsonField charsmap, field.get("precompiled_charsmap"));
  SHEAF_ASSIGN(std::vector<CharsmapRule> rules, parse_charsmap(charsmap));
  std::sort(rules.begin(), rules.end(),
            [](const CharsmapRule& a, const CharsmapRule& b) { return a.key < b.key; });
  std::unique_ptr<Precompiled> result(new Precompiled(rules));
  if (!result->sequence_trie_) return charsmap.error("has too many rules");
  return std::unique_ptr<const Normalizer>(std::move(result));
}

Precompiled::Precompiled(const std::vector<CharsmapRule>& rules) : characters_(Replacement{}) {
  std::vector<ByteTrie::Entry> sequences;
  for (const CharsmapRule& rule : rules) {
    const Replacement replacement = add_text(rule.text);
    const std::size_t growth = (rule.text.size() + rule.key.size() - 1) / rule.key.size();
    growth_max_ = std::max(growth_max_, growth);
    const char* p = rule.key.data();
    const CodePoint first = unicode::decode_utf8(p);
    if (p == rule.key.data() + rule.key.size()) {
      characters_.set(first, replacement);
      if (first >= ' ' && first <= '~') keeps_printable_ascii_ = false;
    } else {
      sequences.push_back({rule.key, static_cast<std::int32_t>(sequences_.size())});
      sequences_.push_back(replacement);
    }
  }
  sequence_trie_ = ByteTrie::build(sequences);
}

Precompiled::Replacement Precompiled::add_text(std::string_view text) {
  const auto offset = static_cast<std::uint32_t>(texts_.size());
  texts_ += text;
  return {offset, static_cast<std::uint8_t>(text.size()), true};
}

std::optional<Precompiled::Replacement> Precompiled::find_whole(std::string_view cluster) const {
  if (cluster.size() > kWholeClusterMax) return std::nullopt;
  const char* p = cluster.data();
  const Replacement first = characters_[unicode::decode_utf8(p)];
  if (first.exists) return first;
  const ByteTrie::Match match = sequence_trie_->longest_match(sequence_trie_->root(), cluster);
  if (match.value < 0) return std::nullopt;
  return sequences_[static_cast<std::size_t>(match.value)];
}

// Writes what the character at `p` becomes; leaves `p` behind it.
char* Precompiled::write_character(const char*& p, char* out) const {
  const char* const begin = p;
  const Replacement replacement = characters_[unicode::decode_utf8(p)];
  if (replacement.exists) {
    std::memcpy(out, texts_.data() + replacement.offset, replacement.size);
    return out + replacement.size;
  }
  for (const char* from = begin; from < p; ++from) *out++ = *from;
  return out;
}

// Writes what the cluster [p, end) becomes; leaves `p` at its end.
char* Precompiled::write_cluster(const char*& p, const char* end, char* out) const {
  const char* const begin = p;
  char* const start = out;
  out = write_character(p, out);
  if (p == end) return out;  // nearly always
  if (const auto whole = find_whole({begin, static_cast<std::size_t>(end - begin)})) {
    p = end;
    std::memcpy(start, texts_.data() + whole->offset, whole->size);
    return start + whole->size;
  }
  while (p < end) out = write_character(p, out);
  return out;
}

void Precompiled::normalize(std::string_view text, TextBuffer& buffer) const {
  // Eight more, since words are written whole.
  char* out = buffer.reserve(text.size() * growth_max_ + 8);
  const char* p = text.data();
  const char* const end = p + text.size();
  while (p < end) {
    // No two printable ASCII characters are one cluster, but the last may begin one.
    std::uint64_t word;
    while (keeps_printable_ascii_ && end - p > 8 &&
           (std::memcpy(&word, p, 8), is_plain_ascii(word))) {
      std::memcpy(out, &word, 8);
      const int kept = static_cast<unsigned char>(p[8]) < 0x80 ? 8 : 7;
      p += kept;
      out += kept;
      if (kept == 7) break;
    }
    out = write_cluster(p, graphemes_.cluster_end(p, end), out);
  }
  buffer.finish(out);
}

AlignedText Precompiled::normalize_aligned(const AlignedText& text) const {
  std::vector<Edit> edits;
  const char* const end = text.text.data() + text.text.size();
  for (const char* p = text.text.data(); p < end;) {
    const char* const cluster_end = graphemes_.cluster_end(p, end);
    const std::string_view cluster(p, static_cast<std::size_t>(cluster_end - p));
    if (const auto whole = find_whole(cluster)) {
      replace(cluster, text_of(*whole), edits);
      p = cluster_end;
    }
    while (p < cluster_end) {
      const char* const begin = p;
      const CodePoint c = unicode::decode_utf8(p);
      const Replacement replacement = characters_[c];
      if (replacement.exists) {
        replace({begin, static_cast<std::size_t>(p - begin)}, text_of(replacement), edits);
      } else {
        edits.push_back({c, 0});
      }
    }
  }
  return apply_edits(edits, text);
}

}  // namespace sheaf::tokenizer
