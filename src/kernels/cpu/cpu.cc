#include "kernels/cpu/cpu.h"

#include <algorithm>
#include <cmath>

#include "kernels/cpu/pool.h"
#include "kernels/expert_routes.h"
#include "tensor/buffer.h"

namespace sheaf::kernels {
namespace {

// A piece of work stays far below the 20 ms at which progress must show, even at 5 GFLOP/s.
constexpr std::size_t kRowsPerPiece = 32;
constexpr std::size_t kRowsPerStrip = 768;
constexpr std::size_t kQueriesPerPiece = 240;
constexpr std::size_t kManyPieces = 4;  // a thread: one more or less hardly matters

std::size_t ceil_div(std::size_t a, std::size_t b) { return (a + b - 1) / b; }

// Where part `i` of `parts` begins: even parts, but that they begin at multiples of `step`.
std::size_t part_begin(std::size_t rows, std::size_t i, std::size_t parts, std::size_t step) {
  return std::min(rows, ceil_div(rows * i / parts, step) * step);
}

class Cpu final : public Backend {
 public:
  Cpu(const CpuBackend& what, const BackendOptions& options)
      : name_(what.name),
        kernels_(*what.kernels),
        linear_(*what.linear),
        pool_(options.threads, {.progress = options.progress, .busy_ns = options.busy_ns}),
        scratch_(static_cast<std::size_t>(pool_.threads())),
        linear_scratch_(scratch_.size()),
        row_scratch_(scratch_.size()) {}

  std::string name() const override { return name_; }
  Dtype dtype() const override { return linear_.dtype; }
  Dtype state_dtype() const override {
    return linear_.states == nullptr ? Dtype::float32 : Dtype::bfloat16;
  }

  std::size_t packed_floats(std::size_t inputs, std::size_t outputs, Role /*role*/) const override {
    return linear_.packed_floats(inputs, outputs);
  }
  void pack_linear(MatrixView weight, const Known& known, float* packed,
                   Role /*role*/) const override {
    linear_.pack(weight.data, weight.stride, weight.columns, weight.rows, known.input_sizes,
                 packed);
  }
  std::size_t packed_table_floats(std::size_t inputs, std::size_t outputs) const override {
    return kernels_.float32.packed_floats(inputs, outputs);
  }
  void pack_table(MatrixView table, float* packed) const override {
    kernels_.float32.pack(table.data, table.stride, table.columns, table.rows, nullptr, packed);
  }

  std::size_t preferred_rows(std::size_t /*columns*/) const override {
    return linear_.row_block * static_cast<std::size_t>(pool_.threads());
  }
  std::size_t row_step() const override { return linear_.row_step; }

  std::size_t linear_floats(std::size_t rows, std::size_t inputs) const override {
    return scratch_.size() * linear_.scratch_floats(std::min(rows, linear_.row_block), inputs);
  }

  std::size_t attention_floats(const AttentionShape& shape, std::size_t longest) const override {
    return scratch_.size() * attention_scratch(shape, longest);
  }

  void embed(const Embedding& table, const Texts& texts, TypedSpan out) override {
    pool_.run(texts.cu_seqlens.size() - 1, [&](std::size_t text, int thread) {
      const std::size_t first = texts.cu_seqlens[text];
      std::size_t counted = 0;
      float* const scratch = row_scratch(thread, out.columns);
      for (std::size_t t = first; t < texts.cu_seqlens[text + 1]; ++t)
        write_row(out, t, scratch, [&](float* row) {
          kernels_.norm_row(word(table, static_cast<std::size_t>(texts.ids[t]), thread),
                            table.position_of(texts.ids[t], counted),
                            table.types.data == nullptr
                                ? nullptr
                                : table.types.row(texts.type_of(text, t - first)),
                            table.norm, out.columns, row);
        });
    });
  }

  void linear(TypedView x, const Linear& weight, Activation activation, TypedView residual,
              TypedSpan out) override {
    cpu::LinearPiece ends;
    begin_at(ends, x);
    end_at(ends, out);
    run_linear(ends, x.rows, weight, activation, residual);
  }

  std::size_t middle_floats(std::size_t rows, std::size_t columns) const override {
    if (linear_.prepared_bytes == nullptr) return rows * columns;
    return (rows + linear_.row_step) * linear_.prepared_bytes(columns) / sizeof(float);
  }

  std::size_t second_linear_floats(std::size_t rows, std::size_t columns) const override {
    return linear_floats(linear_.prepared_bytes == nullptr ? rows : 0, columns);
  }

  void feed_forward(TypedView x, const Linear& up, Activation activation, const Linear& down,
                    TypedView residual, TypedSpan out) override {
    float* middle = middle_.reserve(middle_floats(x.rows, up.outputs));
    cpu::LinearPiece first, second;
    begin_at(first, x);
    end_at(second, out);
    if (linear_.prepared_bytes == nullptr) {
      second.x = first.out = middle;
      second.x_stride = first.out_stride = up.outputs;
    } else {
      second.prepared = first.prepared_out = reinterpret_cast<std::byte*>(middle);
      first.prepared_for = down.weight;
    }
    run_linear(first, x.rows, up, activation, {});
    run_linear(second, x.rows, down, Activation::none, residual);
  }

  // In one run over all texts: waiting for the last head of each would cost as much as short ones
  // take.
  void attention(TypedView qkv, std::span<const std::uint32_t> cu_seqlens,
                 const AttentionShape& shape, TypedSpan out) override {
    list_query_parts(cu_seqlens);
    pool_.run(query_parts_.size() * shape.heads, [&](std::size_t piece, int thread) {
      const QueryPart& part = query_parts_[piece / shape.heads];
      const std::size_t head = piece % shape.heads;
      float* scratch =
          scratch_[static_cast<std::size_t>(thread)].reserve(attention_scratch(shape, part.tokens));
      if (qkv.dtype == Dtype::float32)
        attend(kernels_.attention, shape, part, head, qkv.floats(), out.floats(), scratch);
      else if (in_states(shape))
        attend(linear_.states->attention, shape, part, head, states_of(qkv), states_of(out),
               scratch);
      else
        attend_widened(shape, part, head, states_of(qkv), states_of(out), scratch);
    });
  }

  void add_residual(MatrixView x, TypedView residual, TypedSpan out) override {
    for_rows(x.rows, [&](std::size_t t, int thread) {
      float* const scratch = row_scratch(thread, 2 * x.columns);
      const float* added =
          residual.data == nullptr ? nullptr : read_row(residual, t, scratch + x.columns);
      write_row(out, t, scratch, [&](float* to) {
        for (std::size_t i = 0; i < x.columns; ++i)
          to[i] = x.row(t)[i] + (added == nullptr ? 0 : added[i]);
      });
    });
  }

  void normalize(TypedView x, const Norm& norm, TypedView residual, TypedSpan out) override {
    for_rows(x.rows, [&](std::size_t t, int thread) {
      float* const scratch = row_scratch(thread, 2 * x.columns);
      const float* added =
          residual.data == nullptr ? nullptr : read_row(residual, t, scratch + x.columns);
      const float* row = read_row(x, t, scratch);
      write_row(out, t, scratch, [&](float* to) {
        kernels_.norm_row(row, nullptr, nullptr, norm, x.columns, to);
        for (std::size_t i = 0; added != nullptr && i < x.columns; ++i) to[i] += added[i];
      });
    });
  }

  void turn_heads(TypedSpan x, std::span<const std::uint32_t> cu_seqlens, std::size_t heads,
                  const HeadNorms& norms, const Rotary& rotary) override {
    const std::size_t begin = cu_seqlens.front();
    const std::size_t rows = cu_seqlens.back() - begin;
    const std::size_t pieces = ceil_div(rows, kRowsPerPiece);
    pool_.run(pieces, [&](std::size_t piece, int thread) {
      float* const scratch = row_scratch(thread, x.columns);
      std::size_t t = begin + rows * piece / pieces;
      const std::size_t last = begin + rows * (piece + 1) / pieces;
      const auto* next =  // text
          std::upper_bound(cu_seqlens.data(), cu_seqlens.data() + cu_seqlens.size(), t);
      for (; t < last; ++t) {
        while (t == *next) ++next;
        const float* row = read_row(x, t, scratch);
        write_row(x, t, scratch, [&](float* to) {
          if (to != row) std::copy_n(row, x.columns, to);
          turn_row({to, 1, x.columns}, heads, norms, rotary, t - next[-1]);
        });
      }
    });
  }

  void gate(TypedView x, Activation activation, TypedSpan out) override {
    for_rows(x.rows, [&](std::size_t t, int thread) {
      float* const scratch = row_scratch(thread, x.columns);
      const float* row = read_row(x, t, scratch);
      write_row(out, t, scratch, [&](float* to) {
        kernels_.gate(row, row + out.columns, activation, out.columns, to);
      });
    });
  }

  void mix_experts(TypedView x, MatrixView logits, const Experts& experts, TypedView residual,
                   TypedSpan out) override {
    route_rows(logits, experts.chosen);
    const MatrixSpan sums =
        out.dtype == Dtype::float32 ? out.floats() : expert_sums_.matrix(out.rows, out.columns);
    for_rows(x.rows, [&](std::size_t t, int thread) {
      const float* added = residual.data == nullptr
                               ? nullptr
                               : read_row(residual, t, row_scratch(thread, x.columns));
      for (std::size_t i = 0; i < x.columns; ++i)
        sums.row(t)[i] =
            (experts.bias == nullptr ? 0 : experts.bias[i]) + (added == nullptr ? 0 : added[i]);
    });
    routes_.for_each_expert(
        preferred_rows(x.columns), [&](std::size_t expert, std::size_t first, std::size_t count) {
          add_expert(x, routes_.rows().subspan(first, count),
                     routes_.row_shares().subspan(first, count), experts, expert, sums);
        });
    if (out.dtype == Dtype::float32) return;
    for_rows(out.rows, [&](std::size_t t, int) {
      linear_.states->narrow(sums.row(t), out.columns, states_of(out).row(t));
    });
  }

  void pool(TypedView x, std::span<const std::uint32_t> cu_seqlens,
            std::span<const Reduction> reductions, std::span<const PoolItem> items,
            MatrixSpan out) override {
    pool_.run(items.size(), [&](std::size_t text, int) {
      const std::size_t first = cu_seqlens[text];
      const std::size_t rows = cu_seqlens[text + 1] - first;
      float* vector = out.row(text);
      for (std::size_t i = 0; i < reductions.size(); ++i)
        if (x.dtype == Dtype::float32)
          kernels_.reduce(reductions[i], x.floats().row(first), x.stride, rows, x.columns,
                          items[text].place, vector + i * x.columns);
        else
          kernels_.reduce_states(reductions[i], states_of(x).row(first), x.stride, rows, x.columns,
                                 items[text].place, vector + i * x.columns);
      if (items[text].normalize) to_unit_length({vector, items[text].dimensions});
    });
  }

  // Strips of rows one after the other, each cut by words; a piece runs its rows block by block, so
  // that a block's logits stay in the nearest cache.
  void weigh_words(TypedView x, std::span<const std::uint32_t> cu_seqlens, const Linear& words,
                   WordWeights how, MatrixSpan out) override {
    const std::size_t panels = ceil_div(words.outputs, linear_.panel_width);
    for (std::size_t begin = 0; begin < x.rows; begin += kRowsPerStrip) {
      const std::size_t rows = std::min(kRowsPerStrip, x.rows - begin);
      const std::size_t flops = 2 * rows * words.inputs * words.outputs;
      const std::size_t groups =
          std::min(panels, std::max(ceil_div(flops, linear_.piece_flops),
                                    3 * static_cast<std::size_t>(pool_.threads())));
      pool_.run(groups, [&](std::size_t group, int thread) {
        const std::size_t end = begin + rows;
        for (std::size_t t = begin; t < end; t += linear_.row_block) {
          cpu::LinearPiece block{.rows = std::min(linear_.row_block, end - t),
                                 .packed = words.weight,
                                 .bias = words.bias,
                                 .inputs = words.inputs,
                                 .outputs = words.outputs,
                                 .first_panel = panels * group / groups,
                                 .last_panel = panels * (group + 1) / groups};
          begin_at(block, x.slice_rows(t, block.rows));
          weigh_block(block, t, cu_seqlens, how, thread, out);
        }
      });
    }
  }

 private:
  static tensor::Matrix<const cpu::Bf16> states_of(TypedView x) {
    return {reinterpret_cast<const cpu::Bf16*>(x.data), x.rows, x.columns, x.stride};
  }
  static tensor::Matrix<cpu::Bf16> states_of(TypedSpan x) {
    return {reinterpret_cast<cpu::Bf16*>(x.data), x.rows, x.columns, x.stride};
  }

  float* row_scratch(int thread, std::size_t floats) {
    if (linear_.states == nullptr) return nullptr;
    return row_scratch_[static_cast<std::size_t>(thread)].reserve(floats);
  }
  // As float32: the row itself, or what is written into scratch.
  const float* read_row(TypedView x, std::size_t t, float* scratch) const {
    if (x.dtype == Dtype::float32) return x.floats().row(t);
    linear_.states->widen(states_of(x).row(t), x.columns, scratch);
    return scratch;
  }
  // What `write` puts into the row, or into scratch, which may be what it reads.
  template <class Write>
  void write_row(TypedSpan out, std::size_t t, float* scratch, Write write) const {
    if (out.dtype == Dtype::float32) return write(out.floats().row(t));
    write(scratch);
    linear_.states->narrow(scratch, out.columns, states_of(out).row(t));
  }

  // All norms first: what was just written by parts is slow to read back by others.
  void turn_row(MatrixSpan x, std::size_t heads, const HeadNorms& norms, const Rotary& rotary,
                std::size_t place) {
    const std::size_t size = x.columns / heads;
    for (std::size_t head = 0; head < heads && norms.query.scale != nullptr; ++head) {
      float* at = x.data + head * size;
      kernels_.norm_row(at, nullptr, nullptr, norms.of_head(head), size, at);
    }
    const std::size_t angles = place * rotary.pairs;
    for (std::size_t head = 0; head < heads; ++head)
      kernels_.turn(x.data + head * size, rotary.cosines + angles, rotary.sines + angles,
                    rotary.pairs);
  }

  // A whole product in pieces; of `ends` only where rows come from and go to is looked at.
  void run_linear(const cpu::LinearPiece& ends, std::size_t all_rows, const Linear& weight,
                  Activation activation, TypedView residual) {
    const std::size_t panels = ceil_div(weight.outputs, linear_.panel_width);
    const std::size_t step = ends.prepared_out == nullptr ? 1 : linear_.prepared_panels;
    const std::size_t blocks = ceil_div(all_rows, linear_.row_block);
    const std::size_t groups =
        std::min(column_groups(blocks, panels, weight.inputs), ceil_div(panels, step));
    pool_.run(blocks * groups, [&](std::size_t number, int thread) {
      const std::size_t group = number % groups;
      const std::size_t first = part_begin(all_rows, number / groups, blocks, linear_.row_step);
      cpu::LinearPiece piece = ends;
      piece.rows = part_begin(all_rows, number / groups + 1, blocks, linear_.row_step) - first;
      piece.packed = weight.weight;
      piece.bias = weight.bias;
      piece.inputs = weight.inputs;
      piece.outputs = weight.outputs;
      piece.first_panel = part_begin(panels, group, groups, step);
      piece.last_panel = part_begin(panels, group + 1, groups, step);
      piece.activation = activation;
      if (residual.data != nullptr) add_rows(piece, residual.slice_rows(first, piece.rows));
      move_rows(piece, first);
      piece.scratch =
          linear_scratch(thread, ends.prepared == nullptr ? piece.rows : 0, weight.inputs);
      linear_.linear(piece);
    });
  }

  static void begin_at(cpu::LinearPiece& piece, TypedView x) {
    piece.x_stride = x.stride;
    if (x.dtype == Dtype::float32)
      piece.x = x.floats().data;
    else
      piece.x_states = states_of(x).data;
  }
  static void end_at(cpu::LinearPiece& piece, TypedSpan out) {
    piece.out_stride = out.stride;
    if (out.dtype == Dtype::float32)
      piece.out = out.floats().data;
    else
      piece.out_states = states_of(out).data;
  }
  static void add_rows(cpu::LinearPiece& piece, TypedView residual) {
    piece.residual_stride = residual.stride;
    if (residual.dtype == Dtype::float32)
      piece.residual = residual.floats().data;
    else
      piece.residual_states = states_of(residual).data;
  }

  // Where the piece's rows, from `first` on, and columns come from and go to.
  void move_rows(cpu::LinearPiece& piece, std::size_t first) const {
    const std::size_t to = first * piece.out_stride + piece.first_panel * linear_.panel_width;
    if (piece.prepared != nullptr)
      piece.prepared += first * linear_.prepared_bytes(piece.inputs);
    else if (piece.x_states != nullptr)
      piece.x_states += first * piece.x_stride;
    else
      piece.x += first * piece.x_stride;
    if (piece.prepared_out != nullptr)
      piece.prepared_out += first * linear_.prepared_bytes(piece.outputs);
    else if (piece.out_states != nullptr)
      piece.out_states += to;
    else
      piece.out += to;
  }

  // The piece's rows are x's from `begin` on.
  void weigh_block(cpu::LinearPiece piece, std::size_t begin,
                   std::span<const std::uint32_t> cu_seqlens, WordWeights how, int thread,
                   MatrixSpan out) {
    const std::size_t first_word = piece.first_panel * linear_.panel_width;
    const std::size_t words =
        std::min(piece.last_panel * linear_.panel_width, piece.outputs) - first_word;
    const MatrixSpan logits = scratch_[static_cast<std::size_t>(thread)].matrix(piece.rows, words);
    piece.out = logits.data;
    piece.out_stride = logits.stride;
    piece.scratch = linear_scratch(thread, piece.rows, piece.inputs);
    linear_.linear(piece);
    const std::size_t end = begin + piece.rows;
    const auto* next =
        std::upper_bound(cu_seqlens.data(), cu_seqlens.data() + cu_seqlens.size(), begin);
    for (std::size_t t = begin; t < end; ++next) {  // text by text
      const std::size_t last = std::min<std::size_t>(*next, end);
      kernels_.weigh_words(
          logits.row(t - begin), logits.stride, last - t, words, how, t == next[-1], last == *next,
          out.row(static_cast<std::size_t>(next - cu_seqlens.data()) - 1) + first_word);
      t = last;
    }
  }

  // Neighbouring queries of one text.
  struct QueryPart {
    std::size_t first_row = 0, tokens = 0;  // of the text
    std::size_t first_query = 0, last_query = 0;
  };
  void list_query_parts(std::span<const std::uint32_t> cu_seqlens) {
    query_parts_.clear();
    for (std::size_t text = 0; text + 1 < cu_seqlens.size(); ++text) {
      const std::size_t first = cu_seqlens[text];
      const std::size_t tokens = cu_seqlens[text + 1] - first;
      const std::size_t parts = ceil_div(tokens, kQueriesPerPiece);
      for (std::size_t part = 0; part < parts; ++part)
        query_parts_.push_back({first, tokens, tokens * part / parts, tokens * (part + 1) / parts});
    }
  }

  // Whether there are kernels for it over states as they are.
  bool in_states(const AttentionShape& shape) const {
    return linear_.states != nullptr && shape.bias.values == nullptr &&
           shape.relative.rows == nullptr;
  }
  // Floats of one thread: what the kernel takes, then a head's operands, if they are widened.
  std::size_t attention_scratch(const AttentionShape& shape, std::size_t tokens) const {
    const bool as_they_are = in_states(shape);
    const auto scratch =
        as_they_are ? linear_.states->attention_scratch : kernels_.attention_scratch;
    const bool widened = !as_they_are && linear_.states != nullptr;
    return scratch(tokens, shape.head_size, shape.relative.count) +
           (widened ? 4 * tokens * shape.head_size : 0);
  }

  template <class State, class Run>
  void attend(Run run, const AttentionShape& shape, const QueryPart& part, std::size_t head,
              tensor::Matrix<const State> qkv, tensor::Matrix<State> out, float* scratch) const {
    const std::size_t size = shape.head_size, sharers = shape.heads / shape.kv_heads;
    const State* row = qkv.row(part.first_row);
    const State* k = row + (shape.heads + head / sharers) * size;
    run(piece_of<State>({.q = row + head * size,
                         .k = k,
                         .v = k + shape.kv_heads * size,
                         .stride = qkv.stride,
                         .out = out.row(part.first_row) + head * size,
                         .out_stride = out.stride,
                         .scratch = scratch},
                        shape, part, head));
  }
  // By the kernels of float32, over copies of the head's queries, keys and values.
  void attend_widened(const AttentionShape& shape, const QueryPart& part, std::size_t head,
                      tensor::Matrix<const cpu::Bf16> qkv, tensor::Matrix<cpu::Bf16> out,
                      float* scratch) const {
    const std::size_t size = shape.head_size, sharers = shape.heads / shape.kv_heads;
    const std::size_t key = shape.heads + head / sharers;
    const std::size_t columns[] = {head * size, key * size, (key + shape.kv_heads) * size};
    const MatrixSpan wide = {
        scratch + kernels_.attention_scratch(part.tokens, size, shape.relative.count), part.tokens,
        4 * size};
    for (std::size_t t = 0; t < part.tokens; ++t)
      for (std::size_t i = 0; i < 3; ++i)
        linear_.states->widen(qkv.row(part.first_row + t) + columns[i], size,
                              wide.row(t) + i * size);
    kernels_.attention(piece_of<float>({.q = wide.data,
                                        .k = wide.data + size,
                                        .v = wide.data + 2 * size,
                                        .stride = wide.stride,
                                        .out = wide.data + 3 * size,
                                        .out_stride = wide.stride,
                                        .scratch = scratch},
                                       shape, part, head));
    for (std::size_t t = part.first_query; t < part.last_query; ++t)
      linear_.states->narrow(wide.row(t) + 3 * size, size,
                             out.row(part.first_row + t) + head * size);
  }
  // With all but what is in it already: where operands and scratch are.
  template <class State>
  cpu::AttentionPieceOf<State> piece_of(cpu::AttentionPieceOf<State> piece,
                                        const AttentionShape& shape, const QueryPart& part,
                                        std::size_t head) const {
    const RelativePositions& relative = shape.relative;
    const std::size_t table_floats = packed_table_floats(shape.head_size, relative.count);
    const auto of_head = [=](const float* table) {
      return table == nullptr ? nullptr : table + head * table_floats;
    };
    piece.tokens = part.tokens;
    piece.head_size = shape.head_size;
    piece.first_query = part.first_query;
    piece.last_query = part.last_query;
    piece.before = shape.before;
    piece.after = shape.after;
    piece.bias = shape.bias.of_head(head);
    piece.position_rows = relative.by_distance();
    piece.position_count = relative.count;
    piece.position_keys = of_head(relative.keys);
    piece.position_queries = of_head(relative.queries);
    return piece;
  }

  float* linear_scratch(int thread, std::size_t rows, std::size_t inputs) {
    return linear_scratch_[static_cast<std::size_t>(thread)].reserve(
        linear_.scratch_floats(rows, inputs));
  }

  const float* word(const Embedding& table, std::size_t id, int thread) {
    if (table.words.data != nullptr) return table.words.row(id);
    const Linear& words = table.packed_words;
    float* row = scratch_[static_cast<std::size_t>(thread)].reserve(words.inputs);
    linear_.unpack_row(words.weight, words.inputs, words.outputs, id, row);
    return row;
  }

  template <class Body>
  void for_rows(std::size_t rows, Body body) {
    const std::size_t pieces = ceil_div(rows, kRowsPerPiece);
    pool_.run(pieces, [&](std::size_t piece, int thread) {
      for (std::size_t t = rows * piece / pieces; t < rows * (piece + 1) / pieces; ++t)
        body(t, thread);
    });
  }

  void route_rows(MatrixView logits, std::size_t chosen) {
    routes_.resize(logits.rows, chosen);
    for_rows(logits.rows, [&](std::size_t t, int) {
      largest_shares({logits.row(t), logits.columns}, routes_.of_row(t));
    });
    routes_.sort(logits.columns);
  }

  // out[row] += share * down(activation(up(x[row])))
  void add_expert(TypedView x, std::span<const std::uint32_t> rows, std::span<const float> shares,
                  const Experts& experts, std::size_t expert, MatrixSpan out) {
    const MatrixSpan inputs = expert_inputs_.matrix(rows.size(), x.columns);
    const MatrixSpan outputs = expert_outputs_.matrix(rows.size(), x.columns);
    for_rows(rows.size(), [&](std::size_t i, int) {
      const float* row = read_row(x, rows[i], inputs.row(i));
      if (row != inputs.row(i)) std::copy_n(row, x.columns, inputs.row(i));
    });
    feed_forward(inputs, experts.up[expert], experts.activation, experts.down[expert], {}, outputs);
    for_rows(rows.size(), [&](std::size_t i, int) {
      for (std::size_t j = 0; j < x.columns; ++j)
        out.row(rows[i])[j] += shares[i] * outputs.row(i)[j];
    });
  }

  // Into how many groups of panels a linear layer of `blocks` blocks of rows is cut: so many that
  // no piece is long, and with several threads that each gets a few pieces.
  std::size_t column_groups(std::size_t blocks, std::size_t panels, std::size_t inputs) const {
    const std::size_t panel_flops = 2 * linear_.row_block * inputs * linear_.panel_width;
    std::size_t groups = ceil_div(panels * panel_flops, linear_.piece_flops);
    const auto threads = static_cast<std::size_t>(pool_.threads());
    if (threads > 1)
      groups = std::max(groups, ceil_div(linear_.pieces_per_thread * threads, blocks));
    // Few pieces of which the threads do not get equally many.
    while (blocks * groups % threads != 0 && blocks * groups < kManyPieces * threads) ++groups;
    return std::min(groups, panels);
  }

  static void to_unit_length(std::span<float> vector) {
    double squares = 0;
    for (float value : vector) squares += double{value} * value;
    const auto inverse = static_cast<float>(1 / std::max(std::sqrt(squares), 1e-12));
    for (float& value : vector) value *= inverse;
  }

  const std::string name_;
  const cpu::Kernels& kernels_;
  const cpu::LinearKernels& linear_;
  cpu::Pool pool_;
  std::vector<QueryPart> query_parts_;          // of the attention that runs
  std::vector<tensor::Buffer> scratch_;         // one a thread
  std::vector<tensor::Buffer> linear_scratch_;  // one a thread
  std::vector<tensor::Buffer> row_scratch_;     // one a thread
  ExpertRoutes routes_;
  tensor::Buffer middle_, expert_inputs_, expert_outputs_, expert_sums_;
};

}  // namespace

std::unique_ptr<Backend> make_cpu_backend(const CpuBackend& what, const BackendOptions& options) {
  return std::make_unique<Cpu>(what, options);
}

}  // namespace sheaf::kernels
