#include "model/stored_weights.h"

#include <fmt/core.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <span>
#include <utility>

#include "model/bounds.h"
#include "model/packed_weights.h"
#include "tensor/bfloat16.h"
#include "tensor/buffer.h"

namespace sheaf::model {
namespace {

float from_f16(std::uint16_t bits) {
  const std::uint32_t sign = (std::uint32_t{bits} & 0x8000) << 16;
  const std::uint32_t rest = std::uint32_t{bits} & 0x7fff;
  if (rest >= 0x7c00) return std::bit_cast<float>(sign | 0x7f800000 | (rest & 0x3ff) << 13);
  // Shifted into place the exponent is 112 too small; the product corrects it for subnormal numbers
  // too.
  const float magnitude = std::bit_cast<float>(rest << 13) * 0x1p112f;
  return std::bit_cast<float>(sign | std::bit_cast<std::uint32_t>(magnitude));
}

// Elements [first, first + count) of a tensor.
struct Piece {
  const StoredTensor* tensor = nullptr;
  std::size_t first = 0;
  std::size_t count = 0;
};

template <float (*convert)(std::uint16_t)>
void widen(const Piece& piece, float* out) {
  const std::byte* from = piece.tensor->data + piece.first * sizeof(std::uint16_t);
  for (std::size_t i = 0; i < piece.count; ++i) {
    std::uint16_t bits = 0;  // tensors need not be aligned in the file
    std::memcpy(&bits, from + i * sizeof bits, sizeof bits);
    out[i] = convert(bits);
  }
}

void read(const Piece& piece, float* out) {
  const std::string& dtype = piece.tensor->entry.dtype;
  if (dtype == "F32")
    std::memcpy(out, piece.tensor->data + piece.first * sizeof(float), piece.count * sizeof(float));
  if (dtype == "F16") widen<from_f16>(piece, out);
  if (dtype == "BF16") widen<tensor::from_bfloat16>(piece, out);
}

void read_all(const std::vector<Piece>& pieces, float* out) {
  for (const Piece& piece : pieces) {
    read(piece, out);
    out += piece.count;
  }
}

// Which inputs of a product are wanted.
struct Inputs {
  std::size_t stored = 0;
  std::size_t first = 0;
  std::size_t count = 0;

  bool all() const { return count == stored; }
};

// out [outputs, inputs.count]; a transposed part, of which all inputs are wanted, is stored as
// [inputs, outputs].
void read_part(const LinearPart& part, const Piece& piece, const Inputs& wanted, float* out) {
  const std::size_t inputs = wanted.stored;
  if (!wanted.all()) {
    for (std::size_t row = 0; row < piece.count / inputs; ++row)
      read({piece.tensor, piece.first + row * inputs + wanted.first, wanted.count},
           out + row * wanted.count);
    return;
  }
  if (!part.transposed) return read(piece, out);
  std::vector<float> stored(piece.count);
  read(piece, stored.data());
  constexpr std::size_t kLine = 16;  // floats that are written while their cache line is near
  for (std::size_t first = 0; first < inputs; first += kLine)
    for (std::size_t j = 0; j < part.outputs; ++j)
      for (std::size_t i = first; i < std::min(first + kLine, inputs); ++i)
        out[j * inputs + i] = stored[i * part.outputs + j];
}

std::vector<float> values_of(const Piece& piece) {
  std::vector<float> values(piece.count);
  read(piece, values.data());
  return values;
}

std::vector<float> values_of(const StoredTensor* tensor) {
  return values_of({tensor, 0, element_count(tensor->entry)});
}

std::vector<float> row_of(const StoredTensor* table, std::uint32_t row, std::size_t columns) {
  return values_of({table, row * columns, columns});
}

// Infinities and NaNs have all bits of the exponent set. Compared by sixteen, which compilers turn
// into wide instructions: all of a model's weights pass here.
bool all_finite(std::span<const float> values) {
  constexpr std::size_t kWide = 16;
  constexpr std::uint32_t kExponent = 0x7f80'0000;
  std::array<std::uint32_t, kWide> found = {};
  const auto look = [&](const float* at, std::size_t i) {
    found[i] |= (std::bit_cast<std::uint32_t>(at[i]) & kExponent) == kExponent ? 1 : 0;
  };
  std::size_t first = 0;
  for (; first + kWide <= values.size(); first += kWide)
    for (std::size_t i = 0; i < kWide; ++i) look(values.data() + first, i);
  for (std::size_t i = 0; first + i < values.size(); ++i) look(values.data() + first, i);
  return std::ranges::all_of(found, [](std::uint32_t one) { return one == 0; });
}

float adjusted(float value, Adjust adjust) { return (value + adjust.plus) * adjust.times; }

// Part by part, each looked at while it is in the nearest cache.
bool copy_finite(const StoredTensor* tensor, std::size_t count, Adjust adjust, float* out) {
  constexpr std::size_t kNear = 4096;
  const bool as_it_is = adjust.plus == 0 && adjust.times == 1;
  bool finite = true;
  for (std::size_t first = 0; first < count; first += kNear) {
    const std::span<float> part(out + first, std::min(kNear, count - first));
    read({tensor, first, part.size()}, part.data());
    if (!as_it_is)
      for (float& value : part) value = adjusted(value, adjust);
    finite = all_finite(part) && finite;
  }
  return finite;
}

NormValues values_of(const StoredNorm& norm) {
  NormValues values = {.scale = values_of(norm.scale)};
  for (float& scale : values.scale) scale = adjusted(scale, norm.of_scale);
  if (norm.shift != nullptr) values.shift = values_of(norm.shift);
  return values;
}

// How large what a norm writes usually is: the root of its mean square, if what it multiplies has
// a variance of one.
std::vector<float> sizes_of(const StoredNorm* norm) {
  if (norm == nullptr) return {};
  auto [sizes, shifts] = values_of(*norm);
  for (float& size : sizes) size = std::abs(size);
  for (std::size_t i = 0; i < shifts.size(); ++i) sizes[i] = std::hypot(sizes[i], shifts[i]);
  return sizes;
}

// What is stored as it is wanted, in place; null: it has to be read.
const float* in_place(const std::vector<LinearPart>& parts, const std::vector<Piece>& weights,
                      const Inputs& wanted) {
  const StoredTensor& tensor = *weights.front().tensor;
  const std::byte* at = tensor.data + weights.front().first * sizeof(float);
  const bool aligned = reinterpret_cast<std::uintptr_t>(at) % alignof(float) == 0;
  const bool whole = parts.size() == 1 && !parts.front().transposed && wanted.all();
  return whole && aligned && tensor.entry.dtype == "F32" ? reinterpret_cast<const float*>(at)
                                                         : nullptr;
}

}  // namespace

// One product as it is stored.
struct StoredLinear {
  std::vector<LinearPart> parts;
  std::vector<Piece> weights;  // of each part
  std::vector<Piece> biases;   // likewise, or none
  Inputs inputs;
  std::size_t outputs = 0;
  const StoredNorm* norm = nullptr;            // whose output it takes; null: none, or unknown
  std::shared_ptr<const StoredLinear> before;  // likewise, of another product
  Role role = Role::other;
};

namespace {

// Its weights [outputs, inputs.count], where they are stored or in `room`.
tensor::MatrixView weights_of(const StoredLinear& stored, tensor::Buffer& room) {
  const std::size_t inputs = stored.inputs.count;
  const float* whole = in_place(stored.parts, stored.weights, stored.inputs);
  if (whole == nullptr) {
    float* rest = room.reserve(stored.outputs * inputs);
    whole = rest;
    for (std::size_t i = 0; i < stored.parts.size(); ++i) {
      read_part(stored.parts[i], stored.weights[i], stored.inputs, rest);
      rest += stored.weights[i].count / stored.inputs.stored * inputs;
    }
  }
  return {whole, stored.outputs, inputs};
}

float largest_output(const StoredLinear& stored, tensor::MatrixView weight) {
  std::vector<float> biases(stored.biases.empty() ? 0 : stored.outputs);
  read_all(stored.biases, biases.data());
  return largest_of_product(values_of(*stored.norm), weight,
                            biases.empty() ? nullptr : biases.data());
}

// None for backends that ask for none: weights are looked through for them.
kernels::Known bounds_of(const StoredLinear& stored, tensor::MatrixView weight,
                         const kernels::Backend& backend) {
  const bool asked = backend.dtype() == tensor::Dtype::fp8;
  if (!asked || stored.role != Role::bounded_feed_forward) return {};
  if (stored.before == nullptr)
    return {.largest_input = largest_of(values_of(*stored.norm)),
            .largest_output = largest_output(stored, weight)};
  tensor::Buffer room;
  return {.largest_input = largest_output(*stored.before, weights_of(*stored.before, room))};
}

// False if not all weights are finite.
bool pack_stored(const StoredLinear& stored, const kernels::Backend& backend, float* out) {
  tensor::Buffer room;
  const tensor::MatrixView weight = weights_of(stored, room);
  const std::vector<float> sizes = sizes_of(stored.inputs.all() ? stored.norm : nullptr);
  kernels::Known known = bounds_of(stored, weight, backend);
  known.input_sizes = sizes.empty() ? nullptr : sizes.data();
  backend.pack_linear(weight, known, out, stored.role);
  return all_finite({weight.data, weight.rows * weight.columns});
}

// x W^T + b
std::vector<float> apply_layer(kernels::Backend& backend, tensor::MatrixView x,
                               const StoredTensor* weight, const StoredTensor* bias) {
  const std::size_t outputs = element_count(bias->entry);
  tensor::Buffer packed;
  backend.pack_linear({values_of(weight).data(), outputs, x.columns}, {},
                      packed.reserve(backend.packed_floats(x.columns, outputs)));
  const std::vector<float> biases = values_of(bias);
  std::vector<float> out(x.rows * outputs);
  backend.linear(x, {packed.reserve(0), biases.data(), x.columns, outputs},
                 kernels::Activation::none, {}, {out.data(), x.rows, outputs});
  return out;
}

}  // namespace

StoredWeights::StoredWeights(Checkpoint checkpoint, std::string folder, Shard shard,
                             Fp8Layers fp8_layers)
    : checkpoint_(std::move(checkpoint)),
      folder_(std::move(folder)),
      shard_(shard),
      fp8_layers_(std::move(fp8_layers)) {}

Result<StoredWeights> StoredWeights::open(const std::string& folder, const ModelSpec& spec,
                                          Shard shard, Fp8Layers fp8_layers) {
  SHEAF_TRY(check_shard(spec, shard));
  SHEAF_TRY(check_fp8_layers(spec, fp8_layers));
  SHEAF_ASSIGN(Checkpoint checkpoint, Checkpoint::open(folder, files_of_parts(spec)));
  return StoredWeights(std::move(checkpoint), folder, shard, std::move(fp8_layers));
}

// Saved from within a larger model, all names bear its prefix: "bert.", "roberta.", "model.", ...
void StoredWeights::find_prefix(const std::string& first_name) {
  prefix_known_ = checkpoint_.find(first_name) != nullptr;
  if (prefix_known_) return;
  for (const StoredTensor& tensor : checkpoint_.tensors()) {
    if (!tensor.name.ends_with("." + first_name)) continue;
    const std::string prefix = tensor.name.substr(0, tensor.name.size() - first_name.size());
    if (!prefix_.empty())
      return keep_first(
          {ErrorCode::unsupported,
           fmt::format("{}: holds two models, '{}' and '{}', and nobody says which it is",
                       tensor.file, prefix_ + first_name, tensor.name)});
    prefix_ = prefix;
    prefix_known_ = true;
  }
}

const StoredTensor* StoredWeights::need(const std::string& name, const std::string& old_name,
                                        std::vector<std::uint64_t> shape) {
  if (!prefix_known_) find_prefix(name);
  if (!prefix_known_ && !old_name.empty()) find_prefix(old_name);
  const StoredTensor* tensor = checkpoint_.find(prefix_ + name);
  if (tensor == nullptr && !old_name.empty()) tensor = checkpoint_.find(prefix_ + old_name);
  if (tensor == nullptr) tensor = checkpoint_.find(name);  // of a module, whose names bear none
  const auto refuse = [&](const std::string& complaint) -> const StoredTensor* {
    const std::string file = tensor == nullptr ? folder_ + "/model.safetensors" : tensor->file;
    keep_first({ErrorCode::corrupt,
                fmt::format("{}: tensor '{}' {}", file,
                            tensor == nullptr ? prefix_ + name : tensor->name, complaint)});
    return nullptr;
  };
  if (tensor == nullptr) return refuse("is missing");
  const TensorEntry* entry = &tensor->entry;
  if (entry->shape != shape)
    return refuse(fmt::format("has shape [{}] where config.json says [{}]",
                              fmt::join(entry->shape, ", "), fmt::join(shape, ", ")));
  if (entry->dtype != "F32" && entry->dtype != "F16" && entry->dtype != "BF16")
    return refuse(fmt::format("has dtype {}; taken are F32, F16, BF16", entry->dtype));
  return tensor;
}

void StoredWeights::plan_copy(const std::string& name, const StoredTensor* tensor, std::size_t rows,
                              std::size_t columns, Adjust adjust) {
  if (tensor == nullptr) return;
  tensors_.push_back({{.name = name, .rows = rows, .columns = columns, .floats = rows * columns},
                      [tensor, adjust, count = rows * columns](float* out) {
                        return copy_finite(tensor, count, adjust, out);
                      }});
}

const StoredNorm* StoredWeights::find_norm(const std::string& name) {
  if (name.empty()) return nullptr;
  const auto found = norms_.find(name);
  if (found != norms_.end()) return &found->second;
  keep_first(
      {ErrorCode::internal, fmt::format("norm '{}' is not bound before what takes it", name)});
  return nullptr;
}

void StoredWeights::find_input(const std::string& name, StoredLinear& linear) {
  const auto found = behind_norms_.find(name);
  if (found != behind_norms_.end())
    linear.before = found->second;
  else
    linear.norm = find_norm(name);
  if (linear.role == Role::bounded_feed_forward && name.empty())
    keep_first({ErrorCode::internal, "a product with bounds does not say what it takes"});
}

kernels::Linear StoredWeights::linear(const std::vector<LinearPart>& parts, std::size_t inputs,
                                      Bias bias, Split split, const std::string& input, Role role) {
  StoredLinear stored{.parts = parts, .inputs = {inputs, 0, inputs}, .role = role};
  find_input(input, stored);
  if (split == Split::inputs)
    stored.inputs = {inputs, shard_.rank * share_of(inputs), share_of(inputs)};
  const std::size_t ranks = split == Split::outputs ? shard_.ranks : 1;
  for (const LinearPart& part : parts) {
    const std::size_t rows = part.transposed ? inputs : part.outputs;
    const std::size_t columns = part.transposed ? part.outputs : inputs;
    const std::size_t stored_rows = part.stored_rows > 0 ? part.stored_rows : rows;
    const std::size_t first_row = part.first_row + (ranks > 1 ? shard_.rank * rows / ranks : 0);
    const auto* weight = need(part.name + ".weight", part.name, {stored_rows, columns});
    stored.weights.push_back({weight, first_row * columns, rows / ranks * columns});
    if (bias == Bias::stored)
      stored.biases.push_back(
          {need(part.name + ".bias", "", {stored_rows}), first_row, part.outputs / ranks});
    stored.outputs += part.outputs / ranks;
  }
  if (!status().ok()) return {};
  const std::string name = packed_name(parts);
  if (stored.norm != nullptr) behind_norms_[name] = std::make_shared<const StoredLinear>(stored);
  // What is bound twice, as words that are looked up and multiplied by, is packed once.
  if (std::ranges::any_of(tensors_, [&](const PackedTensorSource& source) {
        return source.tensor.name == name + ".weight";
      }))
    return {};
  const std::size_t outputs = stored.outputs;
  tensors_.push_back({{.name = name + ".weight",
                       .rows = outputs,
                       .columns = stored.inputs.count,
                       .floats = backend_->packed_floats(stored.inputs.count, outputs, role)},
                      [this, stored](float* out) { return pack_stored(stored, *backend_, out); }});
  if (bias == Bias::none) return {};
  tensors_.push_back({{.name = name + ".bias", .rows = 1, .columns = outputs, .floats = outputs},
                      [biases = stored.biases, outputs](float* out) {
                        read_all(biases, out);
                        return all_finite({out, outputs});
                      }});
  return {};
}

kernels::Norm StoredWeights::norm(const std::string& name, std::size_t columns, float /*epsilon*/,
                                  NormKind kind, Adjust adjust) {
  StoredNorm& norm = norms_[name];
  norm = {.scale = need(name + ".weight", name + ".gamma", {columns}), .of_scale = adjust};
  if (kind == NormKind::layer) norm.shift = need(name + ".bias", name + ".beta", {columns});
  plan_copy(name + ".weight", norm.scale, 1, columns, adjust);
  plan_copy(name + ".bias", norm.shift, 1, columns, {});
  return {};
}

tensor::MatrixView StoredWeights::table(const std::string& name, std::size_t rows,
                                        std::size_t columns, Adjust adjust) {
  plan_copy(name + ".weight", need(name + ".weight", "", {rows, columns}), rows, columns, adjust);
  return {};
}

const float* StoredWeights::vector(const std::string& name, std::size_t columns) {
  plan_copy(name, need(name, "", {columns}), 1, columns, {});
  return nullptr;
}

kernels::Linear StoredWeights::row_product(const std::string& table, std::size_t rows,
                                           std::size_t columns,
                                           const std::vector<std::uint32_t>& chosen) {
  const StoredTensor* stored = need(table + ".weight", "", {rows, columns});
  if (!status().ok()) return {};
  tensors_.push_back({{.name = table + ".rows",
                       .rows = 1,
                       .columns = columns,
                       .floats = backend_->packed_floats(columns, 1)},
                      [this, stored, columns, chosen](float* out) {
                        std::vector<float> row = row_of(stored, chosen.front(), columns);
                        if (chosen.size() > 1) {
                          const std::vector<float> less = row_of(stored, chosen[1], columns);
                          for (std::size_t i = 0; i < columns; ++i) row[i] -= less[i];
                        }
                        backend_->pack_linear({row.data(), 1, columns}, {}, out);
                        return all_finite(row);
                      }});
  return {};
}

const float* StoredWeights::head_weights(const StoredVectors& vectors, const LinearPart& part,
                                         std::size_t heads) {
  const std::size_t columns = vectors.columns;
  const StoredTensor* table = need(vectors.table + ".weight", "", {vectors.rows, columns});
  const StoredTensor* weight = need(part.name + ".weight", "", {part.outputs, columns});
  const StoredTensor* bias = need(part.name + ".bias", "", {part.outputs});
  const bool normalized = !vectors.norm.empty();
  const StoredTensor* scale = normalized ? need(vectors.norm + ".weight", "", {columns}) : nullptr;
  const StoredTensor* shift = normalized ? need(vectors.norm + ".bias", "", {columns}) : nullptr;
  if (!status().ok()) return nullptr;
  const std::size_t size = part.outputs / heads;
  const std::size_t head_floats = backend_->packed_table_floats(size, vectors.rows);
  const auto fill = [=, this, rows = vectors.rows, epsilon = vectors.epsilon,
                     outputs = part.outputs](float* out) {
    std::vector<float> values = values_of(table);
    const tensor::MatrixSpan x = {values.data(), rows, columns};
    const auto exact = kernels::make_host_backend();
    if (normalized)
      exact->normalize(x, {values_of(scale).data(), values_of(shift).data(), epsilon}, {}, x);
    const std::vector<float> made = apply_layer(*exact, x, weight, bias);
    const tensor::MatrixView of_heads = {made.data(), rows, outputs};
    for (std::size_t head = 0; head < heads; ++head)
      backend_->pack_table(of_heads.slice_columns(head * size, size), out + head * head_floats);
    return all_finite(made);
  };
  tensors_.push_back({{.name = packed_name(vectors, part),
                       .rows = vectors.rows,
                       .columns = part.outputs,
                       .floats = heads * head_floats},
                      fill});
  return nullptr;
}

}  // namespace sheaf::model
