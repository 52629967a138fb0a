#include "kernels/cuda/backend.h"

#include <algorithm>
#include <cmath>
#include <type_traits>
#include <utility>
#include <vector>

#include "kernels/cuda/attention.cuh"
#include "kernels/cuda/embedding.cuh"
#include "kernels/cuda/experts.cuh"
#include "kernels/cuda/gate.cuh"
#include "kernels/cuda/mma_attention.cuh"
#include "kernels/cuda/norm.cuh"
#include "kernels/cuda/operand.cuh"
#include "kernels/cuda/pooling.cuh"
#include "kernels/cuda/product.h"
#include "kernels/cuda/rotary.cuh"
#include "kernels/cuda/text_layout.h"
#include "kernels/cuda/words.cuh"
#include "kernels/expert_shares.h"
#include "tensor/buffer.h"

namespace sheaf::kernels::cuda {
namespace {

// A product of so many rows fills any card, and what lies between two of them stays below a
// gigabyte.
constexpr std::size_t kRowsPerBlockOfModel = 8192;
// Logits of a strip of rows: 120 MB for 30,000 words.
constexpr std::size_t kWordRows = 1024;

constexpr std::size_t round_up(std::size_t n, std::size_t to) { return (n + to - 1) / to * to; }
unsigned narrow(std::size_t n) { return static_cast<unsigned>(n); }
unsigned blocks_of(std::size_t n, std::size_t per_block) {
  return narrow((n + per_block - 1) / per_block);
}

template <class T>
constexpr Dtype dtype_of_type() {
  if constexpr (std::is_same_v<T, float>) return Dtype::float32;
  return std::is_same_v<T, Half> ? Dtype::float16 : Dtype::bfloat16;
}

template <class T>
class Cuda final : public Backend {
 public:
  Cuda(std::unique_ptr<Device> device, std::string name, const BackendOptions& options)
      : name_(std::move(name)),
        progress_(options.progress),
        device_(std::move(device)),
        product_(device_->computes() ? make_product<T>(*device_) : nullptr) {}

  std::string name() const override { return name_; }
  Dtype dtype() const override { return dtype_of_type<T>(); }
  tensor::Memory& memory() const override { return *device_; }
  Status status() const override { return device_->status(); }

  // [outputs, stride_of(inputs)] in T; columns beyond the inputs are 0.
  std::size_t packed_floats(std::size_t inputs, std::size_t outputs) const override {
    return round_up(operand_floats(outputs, inputs), 16);
  }
  void pack_linear(MatrixView weight, float* packed) const override {
    const std::size_t stride = stride_of(weight.columns);
    T* out = reinterpret_cast<T*>(packed);
    for (std::size_t n = 0; n < weight.rows; ++n, out += stride)
      for (std::size_t i = 0; i < stride; ++i)
        out[i] = from_float<T>(i < weight.columns ? weight.row(n)[i] : 0);
  }
  // Row-major, as it is.
  std::size_t packed_table_floats(std::size_t inputs, std::size_t outputs) const override {
    return round_up(inputs * outputs, 16);
  }
  void pack_table(MatrixView table, float* packed) const override {
    for (std::size_t i = 0; i < table.rows; ++i)
      std::copy_n(table.row(i), table.columns, packed + i * table.columns);
  }

  std::size_t preferred_rows() const override { return kRowsPerBlockOfModel; }
  std::size_t row_step() const override { return 1; }
  std::size_t linear_floats(std::size_t rows, std::size_t inputs) const override {
    return operand_floats(rows, inputs);
  }
  std::size_t attention_floats(const AttentionShape&, std::size_t) const override { return 0; }
  // The sums of the first product, and the second's operand.
  std::size_t middle_floats(std::size_t rows, std::size_t columns) const override {
    return rows * columns + operand_floats(rows, columns);
  }
  std::size_t second_linear_floats(std::size_t, std::size_t) const override { return 0; }

  void embed(const Embedding& table, const Texts& texts, MatrixSpan out) override {
    if (!begin()) return;
    const TokenPlace* places = places_of(table, texts);
    const NormTask norm{.x = rows_of(MatrixView(out)),
                        .out = rows_of(out),
                        .count = out.rows,
                        .columns = narrow(out.columns),
                        .scale = checked(table.norm.scale),
                        .shift = checked(table.norm.shift),
                        .epsilon = table.norm.epsilon,
                        .centered = table.norm.centered};
    const auto run = [&](auto words) {
      using W = std::remove_const_t<std::remove_pointer_t<decltype(words.data)>>;
      const EmbeddingTask<W> task{words, rows_of(table.positions), rows_of(table.types), places,
                                  norm};
      launch_rows(embed_tokens<W>, out.rows, task);
    };
    if (table.words.data != nullptr)
      run(rows_of(table.words));
    else
      run(weight_of(table.packed_words));
  }

  void linear(MatrixView x, const Linear& weight, Activation activation, MatrixView residual,
              MatrixSpan out) override {
    if (!begin()) return;
    multiply(operand_of(x, operand_), x.rows, weight, activation, residual, out);
  }

  void feed_forward(MatrixView x, const Linear& up, Activation activation, const Linear& down,
                    MatrixView residual, MatrixSpan out) override {
    if (!begin()) return;
    const MatrixSpan sums = sums_.matrix(x.rows, up.outputs, memory());
    multiply(operand_of(x, operand_), x.rows, up, Activation::none, {}, sums);
    const Rows<const T> middle =
        make_operand_of(rows_of(MatrixView(sums)), sums.rows, sums.columns, activation, middle_);
    multiply(middle, x.rows, down, Activation::none, residual, out);
  }

  void attention(MatrixView qkv, std::span<const std::uint32_t> cu_seqlens,
                 const AttentionShape& shape, MatrixSpan out) override {
    if (!begin()) return;
    layout_.update(cu_seqlens, memory());
    const AttentionTask task = attention_task(qkv, shape, out);
    if (!attend_by_matrix_units(task)) attend_exactly(task);
  }

  void normalize(MatrixView x, const Norm& norm, MatrixView residual, MatrixSpan out) override {
    normalize_parts(x, 1, norm, residual, out);
  }
  void normalize_heads(MatrixSpan x, std::size_t heads, const Norm& norm) override {
    normalize_parts(x, heads, norm, {}, x);
  }

  void rotate(MatrixSpan x, std::span<const std::uint32_t> cu_seqlens, std::size_t heads,
              const Rotary& rotary) override {
    if (!begin()) return;
    layout_.update(cu_seqlens, memory());
    const std::size_t first = cu_seqlens.front();
    const std::size_t rows = cu_seqlens.back() - first;
    const RotaryTask task{.x = rows_of(x.slice_rows(first, rows)),
                          .places = layout_.places() + first,
                          .heads = narrow(heads),
                          .head_size = narrow(x.columns / heads),
                          .cosines = checked(rotary.cosines),
                          .sines = checked(rotary.sines),
                          .pairs = narrow(rotary.pairs)};
    launch_blocks(rotate_rows, {narrow(rows)}, task);
  }

  void gate(MatrixView x, Activation activation, MatrixSpan out) override {
    if (!begin()) return;
    const GateTask task{rows_of(x), rows_of(out), narrow(out.columns), activation};
    launch_blocks(gate_rows, {narrow(x.rows)}, task);
  }

  // Which rows go to which expert is settled on the host, by the same code as on its own backends:
  // that costs one wait for the device.
  void mix_experts(MatrixView x, MatrixView logits, const Experts& experts, MatrixView residual,
                   MatrixSpan out) override {
    if (!begin()) return;
    const StartTask start{rows_of(out), checked(experts.bias), rows_of(residual),
                          narrow(out.columns)};
    launch_blocks(start_rows, {narrow(out.rows)}, start);
    route_rows(logits, experts);
    for (std::size_t expert = 0; expert < experts.up.size(); ++expert)
      for (std::size_t first = begins_[expert]; first < begins_[expert + 1];
           first += kRowsPerBlockOfModel)
        add_expert(x, first, std::min(begins_[expert + 1], first + kRowsPerBlockOfModel), experts,
                   expert, out);
  }

  void pool(MatrixView x, std::span<const std::uint32_t> cu_seqlens,
            std::span<const Reduction> reductions, std::span<const PoolItem> items,
            MatrixSpan out) override {
    if (!begin()) return;
    layout_.update(cu_seqlens, memory());
    const PoolItem* on_device = hold(items, pool_items_);
    for (std::size_t i = 0; i < reductions.size(); ++i) {
      const PoolTask task{.x = rows_of(x),
                          .bounds = layout_.bounds(),
                          .items = on_device,
                          .columns = narrow(x.columns),
                          .reduction = reductions[i],
                          .out = rows_of(out.slice_columns(i * x.columns, x.columns))};
      launch_blocks(pool_texts, {narrow(items.size()), blocks_of(x.columns, kThreadsPerRow)}, task);
    }
    const UnitLengthTask task{rows_of(out), on_device, narrow(items.size())};
    launch_rows(to_unit_length, items.size(), task);
  }

  // Strips of rows one after the other, so that only their logits exist.
  void weigh_words(MatrixView x, std::span<const std::uint32_t> cu_seqlens, const Linear& words,
                   WordWeights how, MatrixSpan out) override {
    if (!begin()) return;
    layout_.update(cu_seqlens, memory());
    const StartTask start{.out = rows_of(out), .columns = narrow(out.columns)};
    launch_blocks(start_rows, {narrow(out.rows)}, start);
    for (std::size_t first = 0; first < x.rows; first += kWordRows) {
      const MatrixView strip = x.slice_rows(first, std::min(kWordRows, x.rows - first));
      const MatrixSpan logits = sums_.matrix(strip.rows, words.outputs, memory());
      multiply(operand_of(strip, operand_), strip.rows, words, Activation::none, {}, logits);
      const WordsTask task{rows_of(MatrixView(logits)),
                           layout_.bounds(),
                           narrow(first),
                           narrow(strip.rows),
                           narrow(words.outputs),
                           how,
                           rows_of(out)};
      launch_blocks(weigh_strip, {narrow(out.rows), blocks_of(words.outputs, kThreadsPerRow)},
                    task);
    }
  }

 private:
  // Of an operand's rows; the library wants each to begin at a multiple of 16 bytes.
  static std::size_t stride_of(std::size_t columns) { return round_up(columns, 16 / sizeof(T)); }
  static std::size_t operand_floats(std::size_t rows, std::size_t columns) {
    return (rows * stride_of(columns) * sizeof(T) + sizeof(float) - 1) / sizeof(float);
  }

  // Whether the operation should run.
  bool begin() {
    if (progress_ != nullptr) progress_->fetch_add(1, std::memory_order_relaxed);
    return device_->computes() && device_->status().ok();
  }

  template <class Number>
  const Number* checked(const Number* address) {
    if (address != nullptr && !device_->owns(address))
      device_->fail({ErrorCode::internal, "an operand is not in the device's memory"});
    return address;
  }
  Rows<const float> rows_of(MatrixView x) { return {checked(x.data), x.stride}; }
  Rows<float> rows_of(MatrixSpan x) {
    checked(x.data);
    return {x.data, x.stride};
  }
  Rows<const T> weight_of(const Linear& weight) {
    return {reinterpret_cast<const T*>(checked(weight.weight)), stride_of(weight.inputs)};
  }

  template <class Task, class Argument>
  void launch_blocks(void (*kernel)(Task), Grid grid, const Argument& task) {
    if (status().ok()) launch(device_->stream(), kernel, grid, kThreadsPerRow, 0, task);
  }
  // One warp a row.
  template <class Task>
  void launch_rows(void (*kernel)(Task), std::size_t rows, const Task& task) {
    if (!status().ok()) return;
    launch(device_->stream(), kernel, Grid{blocks_of(rows, kRowsPerBlock)},
           kRowsPerBlock * kWarpSize, 0, task);
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

  // x as a product takes it: as it is where that will do, else made in `buffer`.
  Rows<const T> operand_of(MatrixView x, tensor::Buffer& buffer) {
    if constexpr (std::is_same_v<T, float>) {
      const bool aligned = reinterpret_cast<std::uintptr_t>(x.data) % 16 == 0 && x.stride % 4 == 0;
      if (aligned && x.columns == stride_of(x.columns)) return rows_of(x);
    }
    return make_operand_of(rows_of(x), x.rows, x.columns, Activation::none, buffer);
  }
  Rows<const T> make_operand_of(Rows<const float> x, std::size_t rows, std::size_t columns,
                                Activation activation, tensor::Buffer& buffer,
                                const std::uint32_t* chosen = nullptr) {
    T* out = reinterpret_cast<T*>(buffer.reserve(operand_floats(rows, columns), memory()));
    const OperandTask<T> task{.x = x,
                              .chosen = chosen,
                              .activation = activation,
                              .columns = narrow(columns),
                              .out = {out, stride_of(columns)}};
    launch_blocks(make_operand<T>, {narrow(rows)}, task);
    return {out, stride_of(columns)};
  }

  // out = activation(x W^T + b) + residual
  void multiply(Rows<const T> x, std::size_t rows, const Linear& weight, Activation activation,
                MatrixView residual, MatrixSpan out) {
    const bool in_one = activation == Activation::none;
    const Rows<const T> packed = weight_of(weight);
    if (!status().ok() || rows == 0) return;
    product_->run({.x = x.data,
                   .x_stride = x.stride,
                   .weight = packed.data,
                   .weight_stride = packed.stride,
                   .bias = checked(weight.bias),
                   .residual = in_one ? checked(residual.data) : nullptr,
                   .residual_stride = residual.stride,
                   .out = rows_of(out).data,
                   .out_stride = out.stride,
                   .rows = rows,
                   .inputs = packed.stride,  // the rest is 0 on both sides
                   .outputs = weight.outputs});
    if (in_one) return;
    const FinishTask task{rows_of(out), rows_of(residual), activation, narrow(out.columns)};
    launch_blocks(finish_rows, {narrow(rows)}, task);
  }

  void normalize_parts(MatrixView x, std::size_t parts, const Norm& norm, MatrixView residual,
                       MatrixSpan out) {
    if (!begin()) return;
    const NormTask task{.x = rows_of(x),
                        .residual = rows_of(residual),
                        .out = rows_of(out),
                        .parts = narrow(parts),
                        .count = x.rows * parts,
                        .columns = narrow(x.columns / parts),
                        .scale = checked(norm.scale),
                        .shift = checked(norm.shift),
                        .epsilon = norm.epsilon,
                        .centered = norm.centered};
    launch_rows(normalize_rows, task.count, task);
  }

  AttentionTask attention_task(MatrixView qkv, const AttentionShape& shape, MatrixSpan out) {
    const RelativePositions& relative = shape.relative;
    const std::size_t tables = 1 + relative.tables();
    return {.qkv = rows_of(qkv),
            .out = rows_of(out),
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

  // False where there is no such kernel.
  bool attend_by_matrix_units(const AttentionTask& task) {
    if constexpr (!std::is_same_v<T, float>) {
      if (task.position_rows != nullptr) return false;
      switch (task.head_size) {
        case 32:
          return launch_by_matrix_units<32>(task);
        case 64:
          return launch_by_matrix_units<64>(task);
        case 128:
          return launch_by_matrix_units<128>(task);
        case 256:
          return launch_by_matrix_units<256>(task);
        default:
          break;
      }
    }
    return false;
  }
  template <unsigned kHead>
  bool launch_by_matrix_units(const AttentionTask& task) {
    if (status().ok())
      launch(device_->stream(), attend_by_mma<T, kHead>, Grid{layout_.tile_count(), task.heads},
             kMmaWarps * kWarpSize, MmaShape<kHead>::kSharedBytes, task);
    return true;
  }

  void attend_exactly(const AttentionTask& task) {
    if (task.head_size <= 1 * kWarpSize) return launch_attention(attend<1>, task);
    if (task.head_size <= 2 * kWarpSize) return launch_attention(attend<2>, task);
    if (task.head_size <= 4 * kWarpSize) return launch_attention(attend<4>, task);
    if (task.head_size <= 8 * kWarpSize) return launch_attention(attend<8>, task);
    if (task.head_size <= kMostSlices * kWarpSize)
      return launch_attention(attend<kMostSlices>, task);
    device_->fail({ErrorCode::unsupported, "attention on a card takes heads of up to 512 values"});
  }
  void launch_attention(void (*kernel)(AttentionTask), const AttentionTask& task) {
    if (!status().ok()) return;
    launch(device_->stream(), kernel,
           Grid{layout_.tile_count(), task.heads, blocks_of(kTileQueries, kBlockQueries)},
           kAttentionWarps * kWarpSize, attention_shared_bytes(task.head_size), task);
  }

  // Into routed_rows_ and routed_shares_, on the host and on the device, which rows each expert
  // gets, in their order, from begins_[expert] on.
  void route_rows(MatrixView logits, const Experts& experts) {
    const MatrixView on_host = tensor::on_host(logits, memory(), logits_);
    shares_.resize(logits.rows * experts.chosen);
    for (std::size_t t = 0; t < logits.rows; ++t)
      largest_shares({on_host.row(t), logits.columns},
                     std::span(shares_).subspan(t * experts.chosen, experts.chosen));
    begins_.assign(experts.up.size() + 1, 0);
    for (const ExpertShare& share : shares_) ++begins_[share.expert + 1];
    for (std::size_t i = 1; i < begins_.size(); ++i) begins_[i] += begins_[i - 1];
    routed_rows_.resize(shares_.size());
    routed_shares_.resize(shares_.size());
    std::vector<std::size_t> next = begins_;
    for (std::size_t i = 0; i < shares_.size(); ++i) {
      const std::size_t at = next[shares_[i].expert]++;
      routed_rows_[at] = narrow(i / experts.chosen);
      routed_shares_[at] = shares_[i].share;
    }
    rows_on_device_ = hold(std::span<const std::uint32_t>(routed_rows_), routed_rows_memory_);
    shares_on_device_ = hold(std::span<const float>(routed_shares_), routed_shares_memory_);
  }

  // out[row] += share * down(activation(up(x[row]))) for the routed rows [first, last).
  void add_expert(MatrixView x, std::size_t first, std::size_t last, const Experts& experts,
                  std::size_t expert, MatrixSpan out) {
    const std::size_t rows = last - first;
    const Linear& up = experts.up[expert];
    const std::uint32_t* chosen = rows_on_device_ + first;
    const MatrixSpan sums = sums_.matrix(rows, up.outputs, memory());
    const MatrixSpan parts = expert_parts_.matrix(rows, out.columns, memory());
    multiply(make_operand_of(rows_of(x), rows, x.columns, Activation::none, operand_, chosen), rows,
             up, Activation::none, {}, sums);
    multiply(
        make_operand_of(rows_of(MatrixView(sums)), rows, up.outputs, experts.activation, middle_),
        rows, experts.down[expert], Activation::none, {}, parts);
    const ShareTask task{.parts = rows_of(MatrixView(parts)),
                         .chosen = chosen,
                         .shares = shares_on_device_ + first,
                         .out = rows_of(out),
                         .columns = narrow(out.columns)};
    launch_blocks(add_shares, {narrow(rows)}, task);
  }

  const std::string name_;
  std::atomic<std::uint64_t>* const progress_;
  const std::unique_ptr<Device> device_;
  const std::unique_ptr<Product> product_;
  TextLayout layout_;
  std::vector<TokenPlace> token_places_;
  std::vector<float> logits_;               // of experts, from the device
  std::vector<ExpertShare> shares_;         // [rows, chosen]
  std::vector<std::size_t> begins_;         // [experts + 1]
  std::vector<std::uint32_t> routed_rows_;  // [rows * chosen]
  std::vector<float> routed_shares_;        // [rows * chosen]
  const std::uint32_t* rows_on_device_ = nullptr;
  const float* shares_on_device_ = nullptr;
  tensor::Buffer token_memory_, pool_items_, routed_rows_memory_, routed_shares_memory_;
  tensor::Buffer operand_, middle_, sums_, expert_parts_;
};

}  // namespace

std::unique_ptr<Backend> make_backend_on(std::unique_ptr<Device> device, std::string name,
                                         Dtype dtype, const BackendOptions& options) {
  if (dtype == Dtype::bfloat16)
    return std::make_unique<Cuda<Bfloat16>>(std::move(device), std::move(name), options);
  if (dtype == Dtype::float16)
    return std::make_unique<Cuda<Half>>(std::move(device), std::move(name), options);
  return std::make_unique<Cuda<float>>(std::move(device), std::move(name), options);
}

}  // namespace sheaf::kernels::cuda
