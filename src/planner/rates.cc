#include "planner/rates.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

#include "planner/gpu.h"

namespace sheaf::planner {
namespace {

// Dense, without structured sparsity, from NVIDIA's data sheets of the cards: 10^12 operations a
// second in half precision on tensor cores and in float32 beside them, 10^9 bytes a second.
struct DataSheet {
  std::string_view card;
  double half_tflops;
  double float32_tflops;
  double bandwidth_gb_per_s;
};
constexpr DataSheet kSheets[] = {
    {"a30", 165, 10.3, 933},      {"a100-40", 312, 19.5, 1555},    {"a100-80", 312, 19.5, 2039},
    {"h100-80", 989, 67, 3350},   {"h100-80-pcie", 756, 51, 2000}, {"h200-141", 989, 67, 4800},
    {"b200-180", 2250, 75, 8000}, {"rtx-4090", 165, 82.6, 1008},   {"a10g", 70, 31.2, 600},
    {"l4", 121, 30.3, 300},
};

// Two for each number of a product that a token meets, and attention's. Of experts only those that
// are chosen.
double operations_per_token(const ModelFacts& model, const Load& load) {
  const model::ModelSpec& spec = model.spec;
  double products = static_cast<double>(model.parameters.products);
  for (std::uint32_t layer = 0; layer < spec.layers; ++layer)
    if (spec.has_experts(layer))
      products -=
          2.0 * spec.hidden_size * spec.intermediate_size * (spec.experts - spec.experts_chosen);
  const std::uint32_t longest = load.max_length > 0 ? load.max_length : spec.max_length;
  const double length = std::min(longest, kTextTokens);
  return 2 * products + 4.0 * spec.layers * spec.heads * spec.head_size * length;
}

// Weights once a batch; what a layer writes is written and read once.
double bytes_per_token(const ModelFacts& model, const Load& load) {
  const model::ModelSpec& spec = model.spec;
  const double numbers = 5.0 * spec.hidden_size +
                         2.0 * (spec.heads + spec.kv_heads) * spec.head_size +
                         (is_gated(spec) ? 3.0 : 1.0) * spec.intermediate_size;
  const auto weights = static_cast<double>(products_bytes(model, load));
  return weights / load.batch_tokens +
         2 * spec.layers * numbers * static_cast<double>(number_bytes(load.dtype));
}

double peak_tflops(const DataSheet& sheet, const ModelFacts& model, const Load& load) {
  if (load.dtype == Dtype::float32) return sheet.float32_tflops;
  const double doubled = load.dtype == Dtype::int8  ? 1
                         : load.dtype == Dtype::fp8 ? fp8_share(model, load)
                                                    : 0;
  return sheet.half_tflops / (1 - doubled / 2);
}

}  // namespace

Result<Rates> rates_of(const ModelFacts& model, const Load& load, const slices::CardModel& card,
                       double measured_tokens_per_s) {
  const auto* sheet = std::ranges::find(kSheets, card.key, &DataSheet::card);
  if (sheet == std::end(kSheets))
    return Error{ErrorCode::unsupported,
                 fmt::format("nothing is known of the speed of {}; plan for another card, or by "
                             "`sheaf plan model` for its memory alone",
                             card.key)};
  if (load.dtype == Dtype::fp8 && lacks_fp8(card))
    return Error{ErrorCode::unsupported,
                 lacks_fp8_text(model.name, card.key, compute_capability(card))};
  Rates rates;
  rates.compute_tokens_per_s = peak_tflops(*sheet, model, load) * 1e12 * kArithmeticEfficiency /
                               operations_per_token(model, load);
  rates.bandwidth_tokens_per_s =
      sheet->bandwidth_gb_per_s * 1e9 * kBandwidthEfficiency / bytes_per_token(model, load);
  if (measured_tokens_per_s > 0) {
    const double times =
        measured_tokens_per_s / std::min(rates.compute_tokens_per_s, rates.bandwidth_tokens_per_s);
    rates.compute_tokens_per_s *= times;
    rates.bandwidth_tokens_per_s *= times;
  }
  return rates;
}

}  // namespace sheaf::planner
