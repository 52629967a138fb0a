#include "tokenizer/metaspace.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "tokenizer/unicode.h"

namespace sheaf::tokenizer {

using PrependScheme = MetaspaceOptions::Prepend;

namespace {

Result<PrependScheme> parse_scheme(const JsonField& field) {
  SHEAF_ASSIGN(const std::string_view scheme, field.string());
  if (scheme == "always") return PrependScheme::always;
  if (scheme == "first") return PrependScheme::first;
  if (scheme == "never") return PrependScheme::never;
  return field.error(
      fmt::format("must be \"always\", \"first\" or \"never\", is {}", in_quotes(scheme)));
}

Result<PrependScheme> parse_prepend(const JsonField& field) {
  PrependScheme prepend = PrependScheme::always;
  SHEAF_ASSIGN(const std::optional<JsonField> scheme, field.find("prepend_scheme"));
  if (scheme) {
    SHEAF_ASSIGN(prepend, parse_scheme(*scheme));
  }
  SHEAF_ASSIGN(const std::optional<JsonField> legacy, field.find("add_prefix_space"));
  if (!legacy) return prepend;
  SHEAF_ASSIGN(const bool add, legacy->boolean());
  if (add) return prepend;
  // Hugging Face's reader wants "never" spelled out beside it.
  if (prepend != PrependScheme::never)
    return legacy->error("is false, but prepend_scheme is not \"never\"");
  return PrependScheme::never;
}

}  // namespace

Result<MetaspaceOptions> MetaspaceOptions::parse(const JsonField& field) {
  MetaspaceOptions options;
  SHEAF_ASSIGN(const JsonField replacement, field.get("replacement"));
  SHEAF_ASSIGN(options.replacement, replacement.string());
  if (!unicode::is_one_character(options.replacement)) {
    return replacement.error(
        fmt::format("must be one character, is {}", in_quotes(options.replacement)));
  }
  SHEAF_ASSIGN(options.prepend, parse_prepend(field));
  SHEAF_ASSIGN(const std::optional<JsonField> split, field.find("split"));
  if (split) {
    SHEAF_ASSIGN(options.split, split->boolean());
  }
  return options;
}

Result<std::unique_ptr<const PreTokenizer>> Metaspace::parse(const JsonField& field) {
  SHEAF_ASSIGN(MetaspaceOptions options, MetaspaceOptions::parse(field));
  return std::unique_ptr<const PreTokenizer>(std::make_unique<Metaspace>(std::move(options)));
}

Status Metaspace::split(std::string_view text, std::vector<Piece>& pieces) const {
  if (!options_.split) {
    pieces.push_back({0, text.size()});
    return {};
  }
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find(options_.replacement, begin + 1), text.size());
    pieces.push_back({begin, end});
    begin = end;
  }
  return {};
}

bool Metaspace::wants_prefix(const PreTokenized& text, Piece piece) const {
  if (options_.prepend == PrependScheme::never) return false;
  const bool begins_text = text.origins != nullptr && (*text.origins)[piece.begin].begin == 0;
  if (options_.prepend == PrependScheme::first && !begins_text) return false;
  const std::string_view content = piece.of(text.text);
  return content[0] != ' ' && !content.starts_with(options_.replacement);
}

// Writes `piece` to `out` as the model shall see it; returns the end.
char* Metaspace::rewrite(const PreTokenized& text, Piece piece, char* out) const {
  const auto put_replacement = [&] {
    std::memcpy(out, options_.replacement.data(), options_.replacement.size());
    out += options_.replacement.size();
  };
  if (wants_prefix(text, piece)) put_replacement();
  for (const char c : piece.of(text.text)) {
    if (c == ' ') {
      put_replacement();
    } else {
      *out++ = c;
    }
  }
  return out;
}

void Metaspace::rewrite_origins(PreTokenized& text) const {
  std::vector<Piece> origins;
  const std::size_t size = options_.replacement.size();
  for (const Piece& piece : text.pieces) {
    if (wants_prefix(text, piece)) {
      origins.insert(origins.end(), size, (*text.origins)[piece.begin]);
    }
    for (std::size_t i = piece.begin; i < piece.end; ++i) {
      origins.insert(origins.end(), text.text[i] == ' ' ? size : 1, (*text.origins)[i]);
    }
  }
  *text.origins = std::move(origins);
}

Status Metaspace::apply(PreTokenized& text) const {
  std::string rewritten;
  const char* const in = text.text.data();
  // Reuses the memory kept there, unless the text to be read lies in it.
  const bool reads_rewritten =
      in >= text.rewritten.data() && in <= text.rewritten.data() + text.rewritten.size();
  if (!reads_rewritten) rewritten.swap(text.rewritten);
  const std::size_t size_max =
      (text.text.size() + text.pieces.size()) * options_.replacement.size();
  if (rewritten.size() < size_max) rewritten.resize(size_max);
  char* const begin = rewritten.data();
  char* out = begin;
  text.spare.clear();
  for (const Piece& piece : text.pieces) {
    char* const start = out;
    out = rewrite(text, piece, out);
    const std::size_t before = text.spare.size();
    SHEAF_TRY(split({start, static_cast<std::size_t>(out - start)}, text.spare));
    const auto offset = static_cast<std::size_t>(start - begin);
    for (std::size_t i = before; i < text.spare.size(); ++i) {
      text.spare[i].begin += offset;
      text.spare[i].end += offset;
    }
  }
  if (text.origins != nullptr) rewrite_origins(text);
  const auto size = static_cast<std::size_t>(out - begin);
  text.rewritten.swap(rewritten);
  text.text = {text.rewritten.data(), size};
  text.pieces.swap(text.spare);
  return {};
}

}  // namespace sheaf::tokenizer
