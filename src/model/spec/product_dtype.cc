#include "model/spec/product_dtype.h"

#include <fmt/core.h>

#include <algorithm>
#include <charconv>

#include "model/spec/limits.h"

namespace sheaf::model {
namespace {

Error wrong(std::string message) { return {ErrorCode::invalid_argument, std::move(message)}; }

Status check_ascending(const std::vector<std::uint32_t>& layers) {
  const auto at = std::ranges::adjacent_find(layers, std::ranges::greater_equal());
  if (at == layers.end()) return {};
  return wrong(fmt::format("layers in fp8 ascend, and {} comes behind {}", at[1], at[0]));
}

std::optional<std::uint32_t> number_in(std::string_view text) {
  std::uint32_t number = 0;
  const char* const end = text.data() + text.size();
  const auto [read, error] = std::from_chars(text.data(), end, number);
  if (error != std::errc() || read != end) return std::nullopt;
  return number;
}

// "3" or "2-4", behind those that are there.
Status add_run(std::string_view text, std::vector<std::uint32_t>& layers) {
  const std::size_t dash = text.find('-');
  const auto first = number_in(text.substr(0, dash));
  const auto last = dash == text.npos ? first : number_in(text.substr(dash + 1));
  if (!first || !last || *last < *first)
    return wrong(fmt::format("'{}' is no layer in fp8, nor layers as 2-4", text));
  if (*last >= kMaxLayers)
    return wrong(fmt::format("there is no layer {}: models have {} at most", *last, kMaxLayers));
  if (layers.size() >= kMaxLayers)
    return wrong(fmt::format("more than {} layers are named", kMaxLayers));
  for (std::uint32_t layer = *first; layer <= *last; ++layer) layers.push_back(layer);
  return {};
}

}  // namespace

bool is_in_fp8(const Fp8Layers& layers, std::uint32_t layer) {
  return !layers || std::ranges::binary_search(*layers, layer);
}

Status check_fp8_layers(const ModelSpec& spec, const Fp8Layers& layers) {
  if (!layers) return {};
  SHEAF_TRY(check_ascending(*layers));
  if (layers->empty() || layers->back() < spec.layers) return {};
  return wrong(fmt::format("layer {} cannot be in fp8: the model's {} layers are numbered from 0",
                           layers->back(), spec.layers));
}

Result<ProductDtype> parse_product_dtype(std::string_view text) {
  ProductDtype dtype{std::string(dtype_name_in(text))};
  if (dtype.name.size() == text.size()) return dtype;
  if (dtype.name != "fp8")
    return wrong(fmt::format("'{}' names layers, and only fp8 is of some of them", text));
  std::vector<std::uint32_t> layers;
  for (std::string_view rest = text.substr(dtype.name.size()); !rest.empty();) {
    rest.remove_prefix(1);  // a colon, then commas
    const std::string_view run = rest.substr(0, rest.find(','));
    if (run.empty()) return wrong(fmt::format("'{}' does not name its layers as fp8:0,2-4", text));
    SHEAF_TRY(add_run(run, layers));
    rest.remove_prefix(run.size());
  }
  SHEAF_TRY(check_ascending(layers));
  dtype.fp8_layers = std::move(layers);
  return dtype;
}

std::string text_of(const ProductDtype& dtype) {
  std::string text = dtype.name;
  if (!dtype.fp8_layers) return text;
  const std::vector<std::uint32_t>& layers = *dtype.fp8_layers;
  char before = ':';
  for (std::size_t first = 0, next = 0; first < layers.size(); first = next) {
    for (next = first + 1; next < layers.size() && layers[next] == layers[next - 1] + 1;) ++next;
    text += fmt::format("{}{}", before, layers[first]);
    if (next - first > 1) text += fmt::format("-{}", layers[next - 1]);
    before = ',';
  }
  return layers.empty() ? text + before : text;
}

std::string_view dtype_name_in(std::string_view text) { return text.substr(0, text.find(':')); }

}  // namespace sheaf::model
