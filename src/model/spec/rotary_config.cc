#include "model/spec/rotary_config.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <string>
#include <vector>

#include "model/spec/limits.h"

namespace sheaf::model {
namespace {

constexpr double kMaxTheta = 1e12;
constexpr double kMaxFactor = 1e6;
constexpr double kPhi3Trained = 4096;

class RotaryReader {
 public:
  RotaryReader(const JsonObject& config, const RotaryFields& fields, const ModelSpec& spec)
      : config_(config), fields_(fields), spec_(spec) {}

  Result<RotarySpec> read() {
    SHEAF_ASSIGN(rotary_.theta, config_.real_or(fields_.theta, 1, kMaxTheta, fields_.otherwise));
    SHEAF_TRY(read_fraction(config_));
    const nlohmann::json* older = config_.find(fields_.scaling);
    const bool scaled = older != nullptr && !older->empty();
    if (config_.has("rope_parameters")) SHEAF_TRY(read_parameters(scaled));
    if (scaled) {
      SHEAF_ASSIGN(const JsonObject scaling, config_.object(fields_.scaling));
      SHEAF_TRY(read_part(scaling, scaling));
    }
    return std::move(rotary_);
  }

 private:
  using ReadScaling = Status (RotaryReader::*)(const JsonObject&);
  struct Row {
    std::string_view type;
    ReadScaling read;
  };

  // Of parts by kind of layer an older field for the scaling leaves theta.
  Status read_parameters(bool scaled) {
    SHEAF_ASSIGN(const JsonObject whole, config_.object("rope_parameters"));
    by_kind_ = whole.has(fields_.kind);
    if (!by_kind_) return scaled ? Status() : read_part(whole, whole);
    SHEAF_ASSIGN(const JsonObject part, whole.object(fields_.kind));
    return scaled ? read_theta(part) : read_part(part, whole);
  }

  Status read_part(const JsonObject& part, const JsonObject& whole) {
    static constexpr std::array<Row, 4> kRows = {{{"linear", &RotaryReader::read_linear},
                                                  {"llama3", &RotaryReader::read_llama3},
                                                  {"longrope", &RotaryReader::read_longrope},
                                                  {"yarn", &RotaryReader::read_yarn}}};
    SHEAF_TRY(read_theta(part));
    SHEAF_TRY(read_fraction(part));
    SHEAF_ASSIGN(const std::string type, type_of(part));
    // "dynamic" stretches only texts beyond max_position_embeddings, and there are none.
    if (type == "default" || type == "dynamic") return {};
    const auto* row = std::ranges::find(kRows, type, &Row::type);
    if (row == kRows.end())
      return part.unsupported(
          "rope_type",
          "is '" + type + "'; built are: default, dynamic, linear, llama3, longrope, yarn");
    // null counts as false there.
    SHEAF_ASSIGN(rotary_.whole_pairs, whole.boolean_or("truncate", !whole.is_null("truncate")));
    return (this->*row->read)(part);
  }

  Status read_theta(const JsonObject& part) {
    SHEAF_ASSIGN(rotary_.theta, part.real_or("rope_theta", 1, kMaxTheta, rotary_.theta));
    return {};
  }

  Status read_fraction(const JsonObject& part) {
    constexpr std::string_view kField = "partial_rotary_factor";
    SHEAF_ASSIGN(rotary_.fraction, part.real_or(kField, 0, 1, rotary_.fraction));
    if (rotary_.fraction == 1) return {};
    if (!fields_.phi3)
      return part.unsupported(
          kField, fmt::format("is {}; built is: 1, since transformers turns whole heads of this "
                              "family whatever it says",
                              rotary_.fraction));
    const auto turned = static_cast<std::uint32_t>(spec_.head_size * rotary_.fraction);
    if (turned >= 2 && turned % 2 == 0) return {};
    return part.unsupported(
        kField,
        fmt::format("is {}, by which {} of a head's {} values turn; built is an even number of "
                    "them",
                    rotary_.fraction, turned, spec_.head_size));
  }

  Result<std::string> type_of(const JsonObject& part) const {
    SHEAF_ASSIGN(const std::string old_type, part.text_or("type", "default"));
    SHEAF_ASSIGN(const std::string type, part.text_or("rope_type", old_type));
    if (!fields_.phi3 || type == "default") return type;
    // What Phi-3's first files call "su" and "yarn" became known as longrope.
    if (type == "longrope" || type == "su" || type == "yarn") return std::string("longrope");
    return part.unsupported("rope_type",
                            "is '" + type + "'; built of Phi-3 are: default, longrope");
  }

  // The file itself goes before its part, but not before parts by kind of layer.
  Status read_trained(const JsonObject& part, double low) {
    constexpr std::string_view kField = "original_max_position_embeddings";
    const bool own = !by_kind_ && (fields_.phi3 || config_.has(kField));
    const double otherwise = own ? kPhi3Trained : std::max<double>(low, spec_.positions);
    SHEAF_ASSIGN(rotary_.trained_positions,
                 (own ? config_ : part).real_or(kField, low, kMaxPositions, otherwise));
    return {};
  }

  // Without it a text of all positions is squeezed into as many as were trained.
  Status read_factor(const JsonObject& part) {
    SHEAF_ASSIGN(rotary_.factor, part.real_or("factor", 1, kMaxFactor,
                                              spec_.positions / rotary_.trained_positions));
    return {};
  }

  Status read_linear(const JsonObject& part) {
    rotary_.scaling = RotaryScaling::linear;
    SHEAF_ASSIGN(rotary_.factor, part.real("factor", 1, kMaxFactor));
    return {};
  }

  Status read_llama3(const JsonObject& part) {
    rotary_.scaling = RotaryScaling::llama3;
    SHEAF_ASSIGN(rotary_.factor, part.real("factor", 1, kMaxFactor));
    SHEAF_ASSIGN(rotary_.low_turns, part.real("low_freq_factor", 0, kMaxFactor));
    SHEAF_ASSIGN(rotary_.high_turns, part.real("high_freq_factor", 0, kMaxFactor));
    if (rotary_.high_turns <= rotary_.low_turns)
      return part.error("high_freq_factor", fmt::format("is {}, not above low_freq_factor {}",
                                                        rotary_.high_turns, rotary_.low_turns));
    return read_trained(part, 1);
  }

  Status read_yarn(const JsonObject& part) {
    rotary_.scaling = RotaryScaling::yarn;
    if (rotary_.theta == 1)
      return part.error("rope_theta", "is 1, by which all pairs turn alike and yarn has no ramp");
    SHEAF_TRY(read_trained(part, 1));
    SHEAF_TRY(read_factor(part));
    SHEAF_ASSIGN(rotary_.high_turns, read_turns(part, "beta_fast", 32));
    SHEAF_ASSIGN(rotary_.low_turns, read_turns(part, "beta_slow", 1));
    if (rotary_.high_turns < rotary_.low_turns)
      return part.error("beta_fast", fmt::format("is {}, below beta_slow {}", rotary_.high_turns,
                                                 rotary_.low_turns));
    SHEAF_ASSIGN(const double scale, part.real_or("mscale", 0, kMaxFactor, 0));
    SHEAF_ASSIGN(const double all_scale, part.real_or("mscale_all_dim", 0, kMaxFactor, 0));
    const bool both = scale > 0 && all_scale > 0;
    return read_amplitude(part, both ? growth(scale) / growth(all_scale) : growth(1));
  }

  // 0 stands for what is usual.
  static Result<double> read_turns(const JsonObject& part, std::string_view field, double usual) {
    SHEAF_ASSIGN(const double turns, part.real_or(field, 0, kMaxFactor, usual));
    return turns == 0 ? usual : turns;
  }

  // Attention sharpens with the length (Peng et al., "YaRN", 2023, section 3.4).
  double growth(double scale) const {
    return rotary_.factor <= 1 ? 1 : 0.1 * scale * std::log(rotary_.factor) + 1;
  }

  Status read_longrope(const JsonObject& part) {
    rotary_.scaling = RotaryScaling::longrope;
    SHEAF_ASSIGN(rotary_.short_factors, read_factors(part, "short_factor"));
    SHEAF_ASSIGN(rotary_.long_factors, read_factors(part, "long_factor"));
    SHEAF_TRY(read_trained(part, 2));
    SHEAF_TRY(read_factor(part));
    const double longer = std::log(std::max(1.0, rotary_.factor));
    return read_amplitude(part, std::sqrt(1 + longer / std::log(rotary_.trained_positions)));
  }

  Result<std::vector<double>> read_factors(const JsonObject& part, std::string_view field) const {
    const std::size_t pairs = rotary_.pairs(spec_.head_size);
    const nlohmann::json* list = part.find(field);
    if (list == nullptr || !list->is_array() || list->size() != pairs)
      return part.error(
          field, fmt::format("is not a list of {} factors, one for each pair that turns", pairs));
    std::vector<double> factors;
    for (const nlohmann::json& value : *list) {
      const double factor = value.is_number() ? value.get<double>() : 0;
      if (!(factor >= 1 / kMaxFactor && factor <= kMaxFactor))
        return part.error(field, fmt::format("holds {}, not a number from {} to {}", value.dump(),
                                             1 / kMaxFactor, kMaxFactor));
      factors.push_back(factor);
    }
    return factors;
  }

  Status read_amplitude(const JsonObject& part, double otherwise) {
    SHEAF_ASSIGN(rotary_.amplitude, part.real_or("attention_factor", 0, kMaxFactor, otherwise));
    return {};
  }

  const JsonObject& config_;
  const RotaryFields& fields_;
  const ModelSpec& spec_;
  RotarySpec rotary_;
  bool by_kind_ = false;  // rope_parameters has parts
};

}  // namespace

Result<RotarySpec> read_rotary(const JsonObject& config, const RotaryFields& fields,
                               const ModelSpec& spec) {
  return RotaryReader(config, fields, spec).read();
}

}  // namespace sheaf::model
