#include "kernels/cuda/backend.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdlib>
#include <type_traits>
#include <utility>
#include <vector>

#include "kernels/cuda/attention_choice.h"
#include "kernels/cuda/embedding.cuh"
#include "kernels/cuda/experts.cuh"
#include "kernels/cuda/feed_forward_choice.h"
#include "kernels/cuda/gate.cuh"
#include "kernels/cuda/gated_choice.h"
#include "kernels/cuda/heads.cuh"
#include "kernels/cuda/int8_product.h"
#include "kernels/cuda/launcher.h"
#include "kernels/cuda/norm.cuh"
#include "kernels/cuda/operands.h"
#include "kernels/cuda/pooling.cuh"
#include "kernels/cuda/position_table.h"
#include "kernels/cuda/product.h"
#include "kernels/cuda/text_layout.h"
#include "kernels/cuda/weight_layout.h"
#include "kernels/cuda/words.cuh"
#include "kernels/expert_routes.h"
#include "tensor/buffer.h"

namespace sheaf::kernels::cuda {
namespace {

// Rows of the tiles of most products.
constexpr std::size_t kRowStep = 128;
// A product of so many rows fills any card, and what lies between two of them stays below a
// gigabyte. Of narrow states twice as many: their products are small, the kernel that has all
// columns of 128 rows leaves few of an H200's 132 multiprocessors without some, and what lies
// between still fits into its L2 (docs/cuda.md).
constexpr std::size_t kRowsPerBlockOfModel = 8192;
constexpr std::size_t kNarrowColumns = 384;
std::size_t rows_per_block_of_model(std::size_t columns) {
  const char* const wanted = std::getenv("SHEAF_CUDA_BLOCK_ROWS");  // to measure others
  if (wanted != nullptr) {
    const auto rows = static_cast<std::size_t>(std::strtoul(wanted, nullptr, 10));
    return std::clamp<std::size_t>(rows / kRowStep * kRowStep, kRowStep, 8 * kRowsPerBlockOfModel);
  }
  return columns <= kNarrowColumns ? 2 * kRowsPerBlockOfModel : kRowsPerBlockOfModel;
}
// Logits of a strip of rows: 120 MB for 30,000 words.
constexpr std::size_t kWordRows = 1024;
// A batch of more costs far more to compute than to launch, whatever the model.
constexpr std::size_t kRowsRepeated = 8192;

template <class T>
constexpr Dtype dtype_of_type() {
  if constexpr (std::is_same_v<T, float>) return Dtype::float32;
  return std::is_same_v<T, Half> ? Dtype::float16 : Dtype::bfloat16;
}

// In what a backend with products in T keeps states. Not in float16, whose largest number is 65504:
// the residual sums of trained models (Gemma, and single columns of others) pass it, and what was
// finite would come out as infinity.
template <class T>
struct StateOf {
  using Type = float;
};
template <>
struct StateOf<Bfloat16> {
  using Type = Bfloat16;
};

// What is not multiplied in fp8 or int8, where some products are, is multiplied in T.
template <class T>
class Cuda final : public Backend {
  using S = typename StateOf<T>::Type;
  using Layout = WeightLayout<T>;

 public:
  Cuda(std::unique_ptr<Device> device, std::string name, const CardPrecision& precision,
       const BackendOptions& options, std::shared_ptr<CardFindings> findings)
      : name_(std::move(name)),
        weights_(precision),
        progress_(options.progress),
        findings_(std::move(findings)),
        device_(std::move(device)) {
    if (!device_->computes()) return;
    product_ = make_product<T>(*device_, workspace_, *findings_);
    if (precision.dtype == Dtype::int8)
      quantized_product_ = std::make_unique<Int8Product>(*device_);
    if (precision.dtype != Dtype::fp8) return;
    const int capability = device_->compute_capability();
    if (capability < kFp8Capability)
      device_->fail({ErrorCode::unsupported,
                     "fp8 needs a card of compute capability 8.9 or later, and this one has " +
                         std::to_string(capability / 10) + "." + std::to_string(capability % 10)});
    quantized_product_ = make_product<Fp8>(*device_, workspace_, *findings_);
  }

  std::string name() const override { return name_; }
  Dtype dtype() const override { return weights_.dtype(); }
  Dtype state_dtype() const override { return dtype_of_type<S>(); }
  tensor::Memory& memory() const override { return *device_; }
  Status status() const override { return device_->status(); }
  Result<std::unique_ptr<Sums>> join(Communicator& group) override { return device_->join(group); }

  std::size_t packed_floats(std::size_t inputs, std::size_t outputs, Role role) const override {
    return weights_.packed_floats(inputs, outputs, role);
  }
  void pack_linear(MatrixView weight, const Known& known, float* packed, Role role) const override {
    weights_.pack(weight, known, packed, role);
  }
  std::size_t packed_table_floats(std::size_t inputs, std::size_t outputs) const override {
    return PositionTable<T>::packed_floats(inputs, outputs);
  }
  void pack_table(MatrixView table, float* packed) const override {
    PositionTable<T>::pack(table, packed);
  }

  std::size_t preferred_rows(std::size_t columns) const override {
    return rows_per_block_of_model(columns);
  }
  std::size_t row_step() const override { return kRowStep; }
  std::size_t linear_floats(std::size_t rows, std::size_t inputs) const override {
    return operands_.most_floats(rows, inputs);
  }
  std::size_t attention_floats(const AttentionShape&, std::size_t) const override { return 0; }
  std::size_t word_floats(std::size_t rows, std::size_t words) const override {
    return std::min(rows, kWordRows) * words;
  }
  std::size_t part_floats(std::size_t rows, std::size_t columns,
                          std::size_t chosen) const override {
    return rows * chosen * columns;
  }
  // The sums of the first product, and the second's operand.
  std::size_t middle_floats(std::size_t rows, std::size_t columns) const override {
    const std::size_t sums = (rows * columns * sizeof(S) + sizeof(float) - 1) / sizeof(float);
    return sums + operands_.most_floats(rows, columns);
  }
  std::size_t second_linear_floats(std::size_t, std::size_t) const override { return 0; }

  void begin_pass(std::span<const std::uint32_t> shape,
                  std::span<const std::uint32_t> cu_seqlens) override {
    if (!device_->computes() || !device_->status().ok()) return;
    if (shape.empty() || cu_seqlens.back() > kRowsRepeated) return device_->begin_pass({});
    const TextLayout::Form form = TextLayout::form_of(cu_seqlens);
    pass_shape_.assign(shape.begin(), shape.end());
    pass_shape_.insert(pass_shape_.end(), {form.tile_count, form.tile_queries});
    // Where texts lie is written within such a pass, whatever the one before has left.
    layout_.forget();
    device_->begin_pass(pass_shape_);
  }
  std::size_t fill_step(std::size_t rows) const override {
    constexpr std::size_t kLeast = 32;
    return std::max(kLeast, std::bit_floor(rows) / 64);
  }

  void embed(const Embedding& table, const Texts& texts, TypedSpan out) override {
    if (!begin()) return;
    const TokenPlace* places = places_of(table, texts);
    const auto run = [&](auto words) {
      using W = std::remove_const_t<std::remove_pointer_t<decltype(words.data)>>;
      const EmbeddingTask<W, S> task{.words = words,
                                     .positions = rows_of(table.positions),
                                     .types = rows_of(table.types),
                                     .places = places,
                                     .tokens = narrow(out.rows),
                                     .norm = parameters_of(table.norm, out.columns),
                                     .out = rows_of<S>(out)};
      const bool wide = is_wide(task.norm) &&
                        is_wide(out.columns, task.words, task.positions, task.types, task.out);
      launcher_.rows(wide ? embed_tokens<kWide, W, S> : embed_tokens<1, W, S>, out.rows, task);
    };
    if (table.words.data != nullptr) return run(rows_of(table.words));
    const Factor words = weight_of(table.packed_words);
    run(Rows<const T>{static_cast<const T*>(words.data), words.stride});
  }

  void linear(TypedView x, const Linear& weight, Activation activation, TypedView residual,
              TypedSpan out) override {
    if (!begin()) return;
    const Factor operand = operand_of(x, weight);
    with_element(out.dtype, [&](auto element) {
      using E = decltype(element);
      multiply<E>(operand, x.rows, weight, activation, rows_of<E>(residual), rows_of<E>(out));
    });
  }

  void feed_forward(TypedView x, const Linear& up, Activation activation, const Linear& down,
                    TypedView residual, TypedSpan out) override {
    if (!begin()) return;
    const TypedSpan sums = states(sums_, x.rows, up.outputs);
    const Factor middle = multiply_up(operand_of(x, up), x.rows, up, activation, sums, down);
    multiply<S>(middle, x.rows, down, Activation::none, rows_of<S>(residual), rows_of<S>(out));
  }

  void feed_forward_normalized(TypedSpan x, const Linear& up, Activation activation,
                               const Linear& down, const Norm& norm, TypedSpan sum) override {
    const auto apart = [&](TypedSpan out) {
      feed_forward(x, up, activation, down, x, sum);
      normalize(sum, norm, {}, out);
    };
    if (!run_fused(x, up, activation, down, norm, sum, apart)) apart(x);
  }

  void attention(TypedView qkv, std::span<const std::uint32_t> cu_seqlens,
                 const AttentionShape& shape, TypedSpan out) override {
    if (!begin()) return;
    layout_.update(cu_seqlens, memory());
    const AttentionTask<S> task = attention_task(qkv, shape, out);
    attention_.run(task, layout_);
  }

  void add_residual(MatrixView x, TypedView residual, TypedSpan out) override {
    if (!begin()) return;
    with_element(out.dtype, [&](auto element) {
      using E = decltype(element);
      launch_finish(FinishTask<float, E>{.x = rows_of(x),
                                         .out = rows_of<E>(out),
                                         .residual = rows_of<E>(residual),
                                         .rows = narrow(x.rows),
                                         .columns = narrow(x.columns)});
    });
  }

  void normalize(TypedView x, const Norm& norm, TypedView residual, TypedSpan out) override {
    if (!begin()) return;
    with_element(out.dtype, [&](auto element) {
      using E = decltype(element);
      const NormTask<E> task{.x = rows_of<E>(x),
                             .residual = rows_of<E>(residual),
                             .out = rows_of<E>(out),
                             .rows = narrow(x.rows),
                             .norm = parameters_of(norm, x.columns)};
      const bool wide = is_wide(task.norm) && is_wide(x.columns, task.x, task.residual, task.out);
      launcher_.rows(wide ? normalize_rows<kWide, E> : normalize_rows<1, E>, x.rows, task);
    });
  }

  void turn_heads(TypedSpan x, std::span<const std::uint32_t> cu_seqlens, std::size_t heads,
                  const HeadNorms& norms, const Rotary& rotary) override {
    if (!begin()) return;
    layout_.update(cu_seqlens, memory());
    const std::size_t first = cu_seqlens.front();
    const std::size_t rows = cu_seqlens.back() - first;
    const std::size_t size = x.columns / heads;
    const HeadsTask<S> task{.x = rows_of<S>(x.slice_rows(first, rows)),
                            .places = layout_.places() + first,
                            .count = narrow(rows * heads),
                            .heads = narrow(heads),
                            .head_size = narrow(size),
                            .query_norm = parameters_of(norms.query, size),
                            .key_norm = parameters_of(norms.key, size),
                            .queries = narrow(norms.queries),
                            .cosines = checked(rotary.cosines),
                            .sines = checked(rotary.sines),
                            .pairs = narrow(rotary.pairs)};
    const bool wide = is_wide(size, task.x) && is_wide(task.query_norm) && is_wide(task.key_norm) &&
                      is_wide(rotary.pairs, vector_of(task.cosines), vector_of(task.sines));
    if (rows > 0)
      launcher_.blocks(wide ? turn_each_head<kWide, S> : turn_each_head<1, S>,
                       {blocks_of(task.count, kHeadsPerBlock)}, task);
  }

  void gate(TypedView x, Activation activation, TypedSpan out) override {
    if (!begin()) return;
    const GateTask<S> task{rows_of<S>(x), rows_of<S>(out), narrow(out.rows), narrow(out.columns),
                           activation};
    launcher_.columns(is_wide(out.columns, task.x, task.out), gate_rows<kWide, S>, gate_rows<1, S>,
                      out.rows, out.columns, task);
  }

  void linear_gated(TypedView x, const Linear& weight, Activation activation, TypedSpan halves,
                    TypedSpan out) override {
    const auto apart = [&] {
      linear(x, weight, Activation::none, {}, halves);
      gate(halves, activation, out);
    };
    if (!run_gated(x, weight, activation, out, apart)) apart();
  }

  void feed_forward_gated(TypedView x, const Linear& up, Activation activation, const Linear& down,
                          TypedView residual, TypedSpan halves, TypedSpan gated,
                          TypedSpan out) override {
    if (!weights_.is_quantized(up) || !operands_.can_gate(down))
      return Backend::feed_forward_gated(x, up, activation, down, residual, halves, gated, out);
    if (!begin()) return;
    multiply<S>(operand_of(x, up), x.rows, up, Activation::none, {}, rows_of<S>(halves));
    // In the place of the first product's operand, which is not needed any more.
    const Factor codes =
        operands_.gated(rows_of<S>(TypedView(halves)), activation, x.rows, down, operand_);
    with_element(out.dtype, [&](auto element) {
      using E = decltype(element);
      multiply<E>(codes, x.rows, down, Activation::none, rows_of<E>(residual), rows_of<E>(out));
    });
  }

  // Which rows go to which expert is settled on the host, by the same code as on its own backends:
  // that costs one wait for the device.
  void mix_experts(TypedView x, MatrixView logits, const Experts& experts, TypedView residual,
                   TypedSpan out) override {
    if (!begin()) return;
    route_rows(logits, experts);
    const std::uint32_t* const routed = hold(routes_.rows(), routed_rows_);
    const MatrixSpan parts = expert_parts_.matrix(x.rows * experts.chosen, out.columns, memory());
    routes_.for_each_expert(
        preferred_rows(x.columns), [&](std::size_t expert, std::size_t first, std::size_t count) {
          run_expert(x, routed + first, experts, expert, parts.slice_rows(first, count));
        });
    const MixTask<S> task{.parts = rows_of(MatrixView(parts)),
                          .places = hold(routes_.places(), part_places_),
                          .shares = hold(routes_.shares(), part_shares_),
                          .chosen = narrow(experts.chosen),
                          .bias = checked(experts.bias),
                          .residual = rows_of<S>(residual),
                          .out = rows_of<S>(out),
                          .rows = narrow(out.rows),
                          .columns = narrow(out.columns)};
    launcher_.columns(
        is_wide(out.columns, task.parts, vector_of(task.bias), task.residual, task.out),
        mix_parts<kWide, S>, mix_parts<1, S>, out.rows, out.columns, task);
  }

  void pool(TypedView x, std::span<const std::uint32_t> cu_seqlens,
            std::span<const Reduction> reductions, std::span<const PoolItem> items,
            MatrixSpan out) override {
    if (!begin()) return;
    layout_.update(cu_seqlens, memory());
    const PoolItem* on_device = hold(items, pool_items_);
    with_element(x.dtype, [&](auto element) {
      using E = decltype(element);
      for (std::size_t i = 0; i < reductions.size(); ++i) {
        const PoolTask<E> task{.x = rows_of<E>(x),
                               .bounds = layout_.bounds(),
                               .items = on_device,
                               .columns = narrow(x.columns),
                               .reduction = reductions[i],
                               .out = rows_of(out.slice_columns(i * x.columns, x.columns))};
        if (is_wide(x.columns, task.x, task.out))
          launch_pooling<kWide>(pool_texts<kWide, E>, items.size(), task);
        else
          launch_pooling<1>(pool_texts<1, E>, items.size(), task);
      }
    });
    const UnitLengthTask task{rows_of(out), on_device, narrow(items.size())};
    launcher_.rows(to_unit_length, items.size(), task);
  }

  // Strips of rows one after the other, so that only their logits exist.
  void weigh_words(TypedView x, std::span<const std::uint32_t> cu_seqlens, const Linear& words,
                   WordWeights how, MatrixSpan out) override {
    if (!begin()) return;
    layout_.update(cu_seqlens, memory());
    for (std::size_t first = 0; first < x.rows; first += kWordRows) {
      const TypedView strip = x.slice_rows(first, std::min(kWordRows, x.rows - first));
      const MatrixSpan logits = logits_.matrix(strip.rows, words.outputs, memory());
      multiply<float>(operand_of(strip, words), strip.rows, words, Activation::none, {},
                      rows_of(logits));
      const WordsTask task{rows_of(MatrixView(logits)),
                           layout_.bounds(),
                           narrow(first),
                           narrow(strip.rows),
                           narrow(words.outputs),
                           how,
                           rows_of(out)};
      launcher_.blocks(weigh_strip, {narrow(out.rows), blocks_of(words.outputs, kThreadsPerBlock)},
                       task);
    }
  }

 private:
  // Whether the operation should run.
  bool begin() {
    if (progress_ != nullptr) progress_->fetch_add(1, std::memory_order_relaxed);
    if (!device_->computes() || !device_->status().ok()) return false;
    device_->begin_operation();
    return true;
  }

  template <class Number>
  const Number* checked(const Number* address) {
    return cuda::checked(*device_, address);
  }
  Rows<const float> rows_of(MatrixView x) { return {checked(x.data), x.stride}; }
  Rows<float> rows_of(MatrixSpan x) {
    checked(x.data);
    return {x.data, x.stride};
  }
  template <class E>
  Rows<const E> rows_of(TypedView x) {
    if (x.data != nullptr && x.dtype != dtype_of_type<E>())
      device_->fail({ErrorCode::internal, "an operand is of another dtype than it has to be"});
    return {reinterpret_cast<const E*>(checked(x.data)), x.stride};
  }
  template <class E>
  Rows<E> rows_of(TypedSpan x) {
    const Rows<const E> rows = rows_of<E>(TypedView(x));
    return {const_cast<E*>(rows.data), rows.stride};
  }
  NormParameters parameters_of(const Norm& norm, std::size_t columns) {
    return {.columns = narrow(columns),
            .scale = checked(norm.scale),
            .shift = checked(norm.shift),
            .epsilon = norm.epsilon,
            .centered = norm.centered};
  }
  // Calls run(E()) for the type of the elements of what may be float32 or a state.
  template <class Run>
  static auto with_element(Dtype dtype, Run run) {
    if constexpr (!std::is_same_v<S, float>)
      if (dtype != Dtype::float32) return run(S());
    return run(float());
  }

  Factor weight_of(const Linear& weight) {
    checked(weight.weight);
    return weights_.factor_of(weight);
  }

  template <unsigned kCount, class Task>
  void launch_pooling(void (*kernel)(Task), std::size_t texts, const Task& task) {
    constexpr unsigned kColumns = kWarpSize * kCount;
    launcher_.give(kernel, Grid{narrow(texts), blocks_of(task.columns, kColumns)},
                   kPoolWarps * kWarpSize, kPoolWarps * kColumns * sizeof(float), task);
  }

  // A copy on the device.
  template <class Item>
  const Item* hold(std::span<const Item> items, tensor::Buffer& buffer) {
    static_assert(sizeof(Item) % sizeof(std::uint32_t) == 0);
    const auto* words = reinterpret_cast<const std::uint32_t*>(items.data());
    return reinterpret_cast<const Item*>(
        buffer.hold(std::span(words, items.size_bytes() / sizeof(std::uint32_t)), memory()));
  }

  const TokenPlace* places_of(const Embedding& table, const Texts& texts) {
    token_places_.clear();
    for (std::size_t text = 0; text + 1 < texts.cu_seqlens.size(); ++text) {
      const std::size_t first = texts.cu_seqlens[text];
      std::size_t counted = 0;
      for (std::size_t t = first; t < texts.cu_seqlens[text + 1]; ++t) {
        const float* position = table.position_of(texts.ids[t], counted);
        const std::size_t row = position == nullptr
                                    ? 0
                                    : static_cast<std::size_t>(position - table.positions.data) /
                                          table.positions.stride;
        token_places_.push_back({.word = static_cast<std::uint32_t>(texts.ids[t]),
                                 .position = narrow(row),
                                 .type = narrow(texts.type_of(text, t - first))});
      }
    }
    return hold(std::span<const TokenPlace>(token_places_), token_memory_);
  }

  Factor operand_of(TypedView x, const Linear& weight) {
    return with_element(x.dtype, [&](auto element) {
      return operands_.of_rows(rows_of<decltype(element)>(x), nullptr, x.rows, weight, operand_);
    });
  }
  // activation(x W^T + b) as the product with `down` takes it. Sums that are states the product may
  // activate itself; of others an operand has to be made, which does it too.
  Factor multiply_up(const Factor& x, std::size_t rows, const Linear& up, Activation activation,
                     TypedSpan sums, const Linear& down) {
    constexpr bool kStates = !std::is_same_v<S, float>;
    if (weights_.is_bounded(up))
      if (const Factor codes = multiply_to_codes(x, rows, up, activation, down); codes.data)
        return codes;
    multiply<S>(x, rows, up, kStates ? activation : Activation::none, {}, rows_of<S>(sums));
    return operands_.of_sums(rows_of<S>(sums), kStates ? Activation::none : activation, rows, down,
                             middle_);
  }
  // The same where the library writes it in fp8 at once; without data where it does not.
  Factor multiply_to_codes(const Factor& x, std::size_t rows, const Linear& up,
                           Activation activation, const Linear& down) {
    const Factor packed = weight_of(up);
    const Factor codes = operands_.codes(rows, down, middle_);
    const void* bias = bias_of<Bfloat16>(up);
    if (!status().ok() || rows == 0) return codes;
    ProductTask task = product_task(x, rows, packed, up.outputs);
    task.results = Dtype::fp8;
    task.out_scale_inverse = &weights_.scales_of(up)->outputs_inverse;
    task.bias = bias;
    task.activation = activation;
    task.out = const_cast<void*>(codes.data);
    task.out_stride = codes.stride;
    return quantized_product_->run(task) == Left::nothing ? codes : Factor();
  }
  template <class E>
  const void* bias_of(const Linear& weight) {
    if constexpr (std::is_same_v<E, float>) return checked(weight.bias);
    if (weight.bias != nullptr && weight.state_bias == nullptr)
      device_->fail({ErrorCode::internal, "a bias is not there in the dtype of states"});
    return checked(weight.state_bias);
  }

  // All but what becomes of the sums. What is missing to a row of the packed weight is 0 on both
  // sides.
  static ProductTask product_task(const Factor& x, std::size_t rows, const Factor& packed,
                                  std::size_t outputs) {
    return {.x = x.data,
            .x_stride = x.stride,
            .weight = packed.data,
            .weight_stride = packed.stride,
            .x_scales = x.scales,
            .weight_scales = packed.scales,
            .one_scale = packed.one_scale,
            .rows = rows,
            .inputs = packed.stride,
            .outputs = outputs};
  }
  // out = activation(x W^T + b) + residual
  template <class E>
  void multiply(const Factor& x, std::size_t rows, const Linear& weight, Activation activation,
                Rows<const E> residual, Rows<E> out) {
    // Behind states the library's approximation is as good as theirs.
    const bool states = !std::is_same_v<E, float> && residual.data == nullptr;
    const Factor packed = weight_of(weight);
    Product& product = packed.scales == nullptr ? *product_ : *quantized_product_;
    const bool in_one = activation == Activation::none || states || product.finishes_all();
    const void* bias = bias_of<E>(weight);
    if (!status().ok() || rows == 0) return;
    ProductTask task = product_task(x, rows, packed, weight.outputs);
    task.results = dtype_of_type<E>();
    task.bias = bias;
    task.residual = in_one ? residual.data : nullptr;
    task.residual_stride = residual.stride;
    task.activation = in_one ? activation : Activation::none;
    task.out = out.data;
    task.out_stride = out.stride;
    const Left left = product.run(task);
    if (in_one && left == Left::nothing) return;
    FinishTask<E, E> rest{.x = {out.data, out.stride},
                          .out = out,
                          .residual = residual,
                          .activation = activation,
                          .rows = narrow(rows),
                          .columns = narrow(weight.outputs)};
    if (left == Left::scales_and_all_behind) {
      rest.row_scales = x.scales;
      rest.column_scales = packed.scales;
      rest.one_scale = packed.one_scale;
      rest.bias = static_cast<const E*>(bias);
    }
    launch_finish(rest);
  }
  template <class X, class E>
  void launch_finish(const FinishTask<X, E>& task) {
    launcher_.columns(is_wide(task.columns, task.x, task.out, task.residual, vector_of(task.bias)),
                      finish_rows<kWide, X, E>, finish_rows<1, X, E>, task.rows, task.columns,
                      task);
  }

  // False where it can be done `apart` alone.
  template <class Apart>
  bool run_gated(TypedView x, const Linear& weight, Activation activation, TypedSpan out,
                 const Apart& apart) {
    if constexpr (std::is_same_v<S, Bfloat16>) {
      const Factor packed = weight_of(weight);
      if (packed.scales != nullptr || weight.bias != nullptr || x.dtype != out.dtype || x.rows == 0)
        return false;
      const GatedTask task{.x = rows_of<S>(x),
                           .weight = {static_cast<const S*>(packed.data), packed.stride},
                           .out = rows_of<S>(out),
                           .rows = narrow(out.rows),
                           .columns = narrow(out.columns),
                           .inputs = narrow(x.columns)};
      if (!gated_.takes(task, activation)) return false;
      gated_.run(task, activation, apart);
      return true;
    }
    return false;
  }

  // False where it can be done `apart` alone, or is so faster. What is timed leaves x as it is.
  template <class Apart>
  bool run_fused(TypedSpan x, const Linear& up, Activation activation, const Linear& down,
                 const Norm& norm, TypedSpan sum, const Apart& apart) {
    if constexpr (std::is_same_v<S, Bfloat16>) {
      const Factor first = weight_of(up), second = weight_of(down);
      if (first.scales != nullptr || second.scales != nullptr || x.rows == 0) return false;
      FeedForwardTask task{.x = rows_of<S>(TypedView(x)),
                           .up = static_cast<const S*>(first.data),
                           .up_bias = static_cast<const S*>(bias_of<S>(up)),
                           .down = static_cast<const S*>(second.data),
                           .down_bias = static_cast<const S*>(bias_of<S>(down)),
                           .norm = parameters_of(norm, x.columns),
                           .out = rows_of<S>(sum),
                           .rows = narrow(x.rows),
                           .middle = narrow(up.outputs)};
      if (!fused_.takes(task, activation) || !fused_.is_in_one(task, [&] { apart(sum); }))
        return false;
      task.out = rows_of<S>(x);
      fused_.run(task);
      return true;
    }
    return false;
  }

  AttentionTask<S> attention_task(TypedView qkv, const AttentionShape& shape, TypedSpan out) {
    const RelativePositions& relative = shape.relative;
    const std::size_t tables = 1 + relative.tables();
    const Rows<const S> rows = rows_of<S>(qkv);
    return {.qkv = rows,
            .out = rows_of<S>(out),
            .aligned = lies_at<16>(rows),
            .tiles = layout_.tiles(),
            .heads = narrow(shape.heads),
            .kv_heads = narrow(shape.kv_heads),
            .head_size = narrow(shape.head_size),
            .before = narrow(std::min(shape.before, AttentionShape::kAll)),
            .after = narrow(std::min(shape.after, AttentionShape::kAll)),
            .scale = 1 / std::sqrt(static_cast<float>(shape.head_size * tables)),
            .bias = checked(shape.bias.values),
            .bias_reach = shape.bias.reach,
            .position_rows = checked(relative.rows),
            .position_reach = relative.reach,
            .position_keys = checked(relative.keys),
            .position_queries = checked(relative.queries),
            .table_floats = packed_table_floats(shape.head_size, relative.count)};
  }

  void route_rows(MatrixView logits, const Experts& experts) {
    const MatrixView on_host = tensor::on_host(logits, memory(), logits_on_host_);
    routes_.resize(logits.rows, experts.chosen);
    for (std::size_t t = 0; t < logits.rows; ++t)
      largest_shares({on_host.row(t), logits.columns}, routes_.of_row(t));
    routes_.sort(experts.up.size());
  }

  // out = down(activation(up(x[row]))) for as many of the routed rows as it has.
  void run_expert(TypedView x, const std::uint32_t* routed, const Experts& experts,
                  std::size_t expert, MatrixSpan out) {
    const Linear& up = experts.up[expert];
    const TypedSpan sums = states(sums_, out.rows, up.outputs);
    const Linear& down = experts.down[expert];
    const Factor chosen = operands_.of_rows(rows_of<S>(x), routed, out.rows, up, operand_);
    const Factor middle = multiply_up(chosen, out.rows, up, experts.activation, sums, down);
    multiply<float>(middle, out.rows, down, Activation::none, {}, rows_of(out));
  }

  const std::string name_;
  const WeightLayout<T> weights_;
  std::atomic<std::uint64_t>* const progress_;
  const std::shared_ptr<CardFindings> findings_;
  const std::unique_ptr<Device> device_;
  const Launcher launcher_{*device_};
  const Operands<T, S> operands_{*device_, weights_};
  const AttentionChoice<T, S> attention_{*device_};
  tensor::Buffer workspace_;
  std::unique_ptr<Product> product_, quantized_product_;
  GatedChoice gated_{*device_, findings_->gated_in_one};
  FeedForwardChoice fused_{*device_, findings_->fed_forward_in_one};
  TextLayout layout_;
  std::vector<std::uint32_t> pass_shape_;
  std::vector<TokenPlace> token_places_;
  std::vector<float> logits_on_host_;  // of experts
  ExpertRoutes routes_;
  tensor::Buffer token_memory_, pool_items_;
  tensor::Buffer routed_rows_, part_places_, part_shares_;
  tensor::Buffer operand_, middle_, sums_, logits_, expert_parts_;
};

}  // namespace

std::unique_ptr<Backend> make_backend_on(std::unique_ptr<Device> device, std::string name,
                                         const CardPrecision& precision,
                                         const BackendOptions& options,
                                         std::shared_ptr<CardFindings> findings) {
  const auto make = [&](auto element) -> std::unique_ptr<Backend> {
    return std::make_unique<Cuda<decltype(element)>>(std::move(device), std::move(name), precision,
                                                     options, std::move(findings));
  };
  if (precision.dtype == Dtype::float32) return make(float());
  if (precision.dtype == Dtype::float16) return make(Half());
  return make(Bfloat16());
}

}  // namespace sheaf::kernels::cuda
