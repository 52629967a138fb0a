#include "tokenizer/charsmap.h"

#include <fmt/format.h>

#include <cstdint>
#include <cstring>
#include <optional>
#include <string_view>

#include "base/base64.h"
#include "base/utf8.h"

namespace sheaf::tokenizer {
namespace {

constexpr std::size_t kKeyMax = 5;
constexpr std::size_t kTextMax = 255;

std::uint32_t read_u32(const char* bytes) {
  const auto byte = [&](int i) { return std::uint32_t{static_cast<unsigned char>(bytes[i])}; };
  return byte(0) | byte(1) << 8 | byte(2) << 16 | byte(3) << 24;
}

// The untrusted double array; every step is checked.
class Units {
 public:
  explicit Units(std::string_view bytes) : bytes_(bytes) {}

  std::size_t size() const { return bytes_.size() / 4; }
  // Where the root's children are counted from.
  std::uint32_t root() const { return offset(unit(0)); }

  struct Child {
    std::uint32_t node;  // where its own children are counted from
    bool is_leaf;
  };
  std::optional<Child> child(std::uint32_t node, unsigned char label) const {
    const std::uint32_t index = node ^ label;
    if (index >= size()) return std::nullopt;
    constexpr std::uint32_t kLabelBits = 1U << 31 | 0xFF;
    const std::uint32_t found = unit(index);
    if ((found & kLabelBits) != label) return std::nullopt;
    return Child{index ^ offset(found), (found >> 8 & 1) != 0};
  }
  std::optional<std::uint32_t> value(std::uint32_t leaf) const {
    if (leaf >= size()) return std::nullopt;
    return unit(leaf) & ~(1U << 31);
  }

 private:
  std::uint32_t unit(std::uint32_t index) const {
    return read_u32(bytes_.data() + 4 * std::size_t{index});
  }
  static std::uint32_t offset(std::uint32_t unit) { return unit >> 10 << ((unit & 1U << 9) >> 6); }

  std::string_view bytes_;
};

// Walks all keys that well-formed text can begin with.
class RuleReader {
 public:
  RuleReader(const JsonField& field, Units units, std::string_view texts)
      : field_(field), units_(units), texts_(texts) {}

  Result<std::vector<CharsmapRule>> read() {
    waiting_.push_back({"", units_.root(), 0});
    while (!waiting_.empty()) {
      // In a tree each unit is a child once; more means that it bites its tail.
      if (++visited_ > units_.size()) return field_.error("its double array is no tree");
      const Place place = std::move(waiting_.back());
      waiting_.pop_back();
      SHEAF_TRY(visit(place));
    }
    return std::move(rules_);
  }

 private:
  struct Place {
    std::string key;
    std::uint32_t node;
    int missing;  // bytes until its last character is whole
  };

  Status visit(const Place& place) {
    if (place.missing > 0) {
      for (unsigned label = 0x80; label < 0xC0; ++label)
        SHEAF_TRY(visit_child(place, static_cast<unsigned char>(label), place.missing - 1));
      return {};
    }
    for (unsigned label = 1; label < 0xF5; ++label) {
      if (label >= 0x80 && label < 0xC2) continue;
      const int missing = label < 0x80 ? 0 : label < 0xE0 ? 1 : label < 0xF0 ? 2 : 3;
      if (place.key.size() + 1 + static_cast<std::size_t>(missing) > kKeyMax) continue;
      SHEAF_TRY(visit_child(place, static_cast<unsigned char>(label), missing));
    }
    return {};
  }

  Status visit_child(const Place& place, unsigned char label, int missing) {
    const std::optional<Units::Child> child = units_.child(place.node, label);
    if (!child) return {};
    std::string key = place.key + static_cast<char>(label);
    if (!child->is_leaf) {
      waiting_.push_back({std::move(key), child->node, missing});
      return {};
    }
    if (missing > 0) return field_.error("has a rule for a part of a character");
    return add_rule(std::move(key), child->node);
  }

  Status add_rule(std::string key, std::uint32_t leaf) {
    if (find_invalid_utf8(key) != std::string_view::npos) return {};  // no text has it
    const std::optional<std::uint32_t> begin = units_.value(leaf);
    if (!begin || *begin > texts_.size())
      return field_.error("has a rule that points outside its texts");
    std::string_view text = texts_.substr(*begin, kTextMax + 1);
    text = text.substr(0, text.find('\0'));
    if (text.size() > kTextMax)
      return field_.error(fmt::format("has a rule for more than {} bytes", kTextMax));
    if (find_invalid_utf8(text) != std::string_view::npos)
      return field_.error("has a rule that points into a character");
    rules_.push_back({std::move(key), std::string(text)});
    return {};
  }

  const JsonField& field_;
  Units units_;
  std::string_view texts_;
  std::vector<Place> waiting_;
  std::vector<CharsmapRule> rules_;
  std::size_t visited_ = 0;
};

}  // namespace

Result<std::vector<CharsmapRule>> parse_charsmap(const JsonField& field) {
  SHEAF_ASSIGN(const std::string_view text, field.string());
  const std::optional<std::string> decoded = decode_base64(text);
  if (!decoded) return field.error("is not base64");
  std::string_view bytes = *decoded;
  if (bytes.size() < 4) return field.error("is too short");
  const std::size_t size = read_u32(bytes.data());
  bytes.remove_prefix(4);
  if (size == 0 || size % 4 != 0 || size > bytes.size()) {
    return field.error(
        fmt::format("its double array has {} bytes, but {} are left", size, bytes.size()));
  }
  const std::string_view texts = bytes.substr(size);
  if (find_invalid_utf8(texts) != std::string_view::npos)
    return field.error("its texts are not UTF-8");
  return RuleReader(field, Units(bytes.substr(0, size)), texts).read();
}

}  // namespace sheaf::tokenizer
