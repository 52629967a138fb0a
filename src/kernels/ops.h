#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "kernels/ranks/sums.h"
#include "kernels/shared_copy.h"
#include "tensor/buffer.h"
#include "tensor/dtype.h"
#include "tensor/matrix.h"
#include "tensor/memory.h"
#include "tensor/typed_matrix.h"

// The contract between models and backends: few fused operations over matrices; products with
// weights may be computed in another dtype than float32 (Backend::dtype). Rows are tokens, laid end
// to end over all texts of a batch; cu_seqlens[i] .. cu_seqlens[i + 1] are the rows of text i.
// Shapes stand in brackets. Operations never check: model and engine have checked ids, shapes and
// sizes before. No output may overlap an input unless said.
//
// Matrices that are typed are states: what a model keeps between operations, in
// Backend::state_dtype(). linear(), normalize() and pool() take float32 too, where they say so. All
// others are float32, as is all arithmetic within an operation: states are read as they are, and
// rounded when they are written, behind a product perhaps also before its activation.
namespace sheaf::kernels {

using tensor::Dtype;
using tensor::MatrixSpan;
using tensor::MatrixView;
using tensor::TypedSpan;
using tensor::TypedView;

enum class Activation {
  none,
  // x * Phi(x) by erf, not its tanh approximation; |error| <= 2.5e-7 * |x|, behind a product in
  // another dtype than float32 1.4e-5 * |x|. Where states are bfloat16 it may be gelu_tanh:
  // |error| <= 4.8e-4, as far as rounding moves a state of 1/8
  gelu,
  gelu_tanh,  // that approximation; |error| <= 5e-7 * |x|
  silu,       // x / (1 + e^-x); relative error <= 5e-7
  tanh,       // |error| <= 5e-7
  relu,       // exact; what is no number stays none
};
enum class Reduction { cls, mean, max, mean_sqrt_len, weighted_mean, last_token };

// Where in a model a product stands, by which a backend may compute it in fewer bits than others:
// before or behind attention, in a layer's feed-forward part, or elsewhere. Of a bounded one it is
// known how large its numbers can be (Known): behind a norm, and without a gate.
enum class Role { other, attention, feed_forward, bounded_feed_forward };

// What is known of a product's numbers before any text is.
struct Known {
  // [inputs]: how large each input usually is, in any unit, 0: unknown; null: all are unknown.
  // Where products round their inputs to few steps, large ones then leave more of them to others.
  const float* input_sizes = nullptr;
  // Of bounded_feed_forward where dtype() is fp8, else 0: no input, and no output with its bias, is
  // larger in size, whatever the text. What takes the outputs has their bound as that of its
  // inputs.
  float largest_input = 0;
  float largest_output = 0;
};

// y = x W^T + b as a backend laid it out in pack_linear(); views into the packed file.
struct Linear {
  const float* weight = nullptr;  // packed, in the backend's dtype; 64-byte aligned
  const float* bias = nullptr;    // [outputs]; null: none
  std::size_t inputs = 0;
  std::size_t outputs = 0;
  // The bias in Backend::state_dtype(), where that is not float32: what a device's products add
  // that write states.
  const std::byte* state_bias = nullptr;
  Role role = Role::other;  // that it was packed with
  // Of one rank of several: its products are parts of sums over all ranks, which ranks/ranked.h
  // adds up. No other backend looks at it. Without an activation.
  bool partial = false;
};

struct Norm {
  const float* scale = nullptr;  // [columns]; gamma
  const float* shift = nullptr;  // [columns]; beta; null: none
  float epsilon = 0;
  bool centered = true;  // LayerNorm; else RMSNorm, which leaves the mean in
};

// Of each head by itself: both norms are there, centered alike, or neither has a scale.
struct HeadNorms {
  Norm query;               // of the first heads
  Norm key;                 // of those behind them
  std::size_t queries = 0;  // heads of queries

  const Norm& of_head(std::size_t head) const { return head < queries ? query : key; }
};

struct Embedding {
  MatrixView words;                // [vocab, hidden]; without data: the weights of packed_words
  Linear packed_words;             // of a model that also multiplies by its words
  MatrixView positions;            // [positions, hidden]; without data: none
  std::size_t first_position = 0;  // the row of a text's first token
  // Tokens of this id get the row before first_position, and those behind them do not count them;
  // -1: all tokens count.
  std::int32_t uncounted_id = -1;
  MatrixView types;  // [token types, hidden]; without data: none
  Norm norm;         // without scale: none

  // The row of a text's next token, before which `counted` counted; null without positions.
  const float* position_of(std::int32_t id, std::size_t& counted) const {
    if (positions.data == nullptr) return nullptr;
    return positions.row(id == uncounted_id ? first_position - 1 : first_position + counted++);
  }
};

// Token ids of texts laid end to end: text i is ids[cu_seqlens[i] .. cu_seqlens[i + 1]).
struct Texts {
  std::span<const std::int32_t> ids;
  std::span<const std::uint32_t> cu_seqlens;
  // The first token of type 1 in text i, counted from its start; 0: all are of type 0. Empty: so
  // are all texts.
  std::span<const std::uint32_t> second_at;

  std::size_t type_of(std::size_t text, std::size_t position) const {
    const std::uint32_t first = second_at.empty() ? 0 : second_at[text];
    return first > 0 && position >= first ? 1 : 0;
  }
};

// Su et al., "RoFormer" (2021), in the form of GPT-NeoX: value i and value i + pairs of a head are
// turned by the angle of their position and pair; values beyond 2 * pairs stay.
struct Rotary {
  const float* cosines = nullptr;  // [positions, pairs]
  const float* sines = nullptr;    // [positions, pairs]
  std::size_t pairs = 0;
};

// What is added to attention's scaled scores for the distance of key and query: [heads,
// 2 * reach + 1], where column reach + key - query counts. `reach` is at least the longest text
// less one. Without data there is none.
struct DistanceBias {
  const float* values = nullptr;
  std::size_t reach = 0;

  // Of one head, so that [key - query] is the value.
  const float* of_head(std::size_t head) const {
    return values == nullptr ? nullptr : values + head * (2 * reach + 1) + reach;
  }
};

// Attention that also looks at where a token stands (He et al., "DeBERTa", 2021, equation 4): the
// distance query - key chooses a row of each table, and the score is
//   (q k + q keys[row] + k queries[row]) / sqrt(head_size * (1 + tables present)).
// A text of n tokens reaches r <= min(count, 2n - 1) rows; for each head the two terms are then
// products [n, head_size] x [head_size, r] from which every pair of tokens takes one element. At
// least that is 2 n^2 head_size operations each, as many as q k, while no two distances share a
// row, and 2 n r head_size from there on; read once are 2 r head_size floats of tables. Nothing of
// n^2 need be stored: a tile of queries needs its rows of the one product, [tile, r], and the
// columns that it reaches of the other, [n, r].
struct RelativePositions {
  // [2 * reach + 1]: at reach + query - key; from each to the next the same row or the one behind
  // it, so that neighbouring distances reach neighbouring rows.
  const std::int32_t* rows = nullptr;
  std::size_t reach = 0;  // at least the longest text less one
  std::size_t count = 0;  // of rows in a table, above all of `rows`
  // For each head a weight [count, head_size] as pack_table() lays it out, one behind the other;
  // null: that term is left out. `rows` is null without both.
  const float* keys = nullptr;
  const float* queries = nullptr;

  std::size_t tables() const { return (keys != nullptr ? 1 : 0) + (queries != nullptr ? 1 : 0); }
  // So that [query - key] is the row.
  const std::int32_t* by_distance() const { return rows == nullptr ? nullptr : rows + reach; }
};

// The shape of an attention. Heads of keys and values each serve heads / kv_heads neighbouring
// heads of queries (Ainslie et al., "GQA", 2023).
struct AttentionShape {
  static constexpr std::size_t kAll = std::size_t{1} << 31;

  std::size_t heads = 0;
  std::size_t kv_heads = 0;  // divides heads
  std::size_t head_size = 0;
  std::size_t before = kAll;  // keys before its own that a query sees
  std::size_t after = kAll;   // keys after its own; 0: causal
  DistanceBias bias;
  RelativePositions relative;

  std::size_t columns() const { return (heads + 2 * kv_heads) * head_size; }  // q, k, v
};

// A mixture of feed-forward parts (Shazeer et al., "Outrageously Large Neural Networks", 2017):
// each row goes through the few that it shares most in.
struct Experts {
  std::span<const Linear> up;    // [experts]
  std::span<const Linear> down;  // [experts], back to as many columns as `up` takes
  Activation activation = Activation::gelu;
  std::size_t chosen = 1;       // by each row, of experts
  const float* bias = nullptr;  // [columns], added once whoever is chosen; null: none
};

// What pooling does for one text beyond the model's own.
struct PoolItem {
  std::uint32_t place = 0;  // of its first row in the whole text, by which weighted_mean weighs
  std::uint32_t dimensions = 0;  // cut to the first n, 1 <= n <= reductions * hidden
  bool normalize = true;         // divide by the L2 norm (at least 1e-12) of what is left
};

// How a text's weight of a word comes from its tokens' logits.
struct WordWeights {
  bool sum = false;        // over the tokens, else the largest
  std::uint32_t logs = 1;  // times that log(1 + x) is taken of max(0, logit)
};

struct BackendOptions {
  int threads = 1;                                 // the calling thread included
  std::atomic<std::uint64_t>* progress = nullptr;  // raised after every piece of work
  // Raised by the time that threads spend in pieces of work; null: nobody measures it. Only the
  // backends of this processor's own instructions do.
  std::atomic<std::uint64_t>* busy_ns = nullptr;
  // Of the weights, for devices whose processes can have one in common; null: each has its own.
  // Outlives the backend.
  SharedCopy* weights_copy = nullptr;
  // How many backends this process has on the device, which divide its memory among them.
  int lanes = 1;
};

// One device's operations with its threads and scratch memory. One thread calls at a time.
//
// Matrices, weights, tables and vectors lie in memory(). On the host are only the spans (ids,
// cu_seqlens, items and the like), which a device's operations copy before they return, and what
// pack_linear() and pack_table() read and write. On the host every call returns when its output is
// complete; a device carries out calls in their order, and what they wrote is read by memory().
class Backend {
 public:
  virtual ~Backend() = default;
  virtual std::string name() const = 0;
  virtual tensor::Memory& memory() const { return tensor::host_memory(); }
  // What went wrong on the device first; every call after that does nothing, and what is read is
  // worth nothing. Always ok on the host.
  virtual Status status() const { return {}; }
  // In which products with weights are computed, and weights packed; fp8, and int8 on a card: some
  // of them, by their role and shape, and the others in bfloat16.
  virtual Dtype dtype() const = 0;
  // In which models keep states: float32 or bfloat16.
  virtual Dtype state_dtype() const { return Dtype::float32; }
  // Room for states in a buffer that lies in memory(), valid as Buffer says.
  TypedSpan states(tensor::Buffer& buffer, std::size_t rows, std::size_t columns) const {
    return buffer.matrix(state_dtype(), rows, columns, memory());
  }

  // The operations of a batch begin, until its answers, or a stage's states, are read from
  // memory(). Batches of one shape, which is any numbers, call the same operations with operands at
  // the same places, and differ in their ids and in where texts begin alone, unless memory is
  // allocated between them: a device may record one and repeat it for others. No shape: nothing is
  // known of it.
  virtual void begin_pass(std::span<const std::uint32_t> /*shape*/,
                          std::span<const std::uint32_t> /*cu_seqlens*/) {}
  // Of what batches of about so many rows may be filled up to a multiple, so that few numbers of
  // rows occur and what the device has found out or recorded for one serves again: a power of two,
  // from 2,048 rows on no more than 1/64 of them. 1: it gains nothing by that.
  virtual std::size_t fill_step(std::size_t /*rows*/) const { return 1; }
  // How the ranks of `group`, all of which call it, add up what lies in memory(). It outlives
  // neither the group nor this backend. Error of kind unsupported: what it takes is not here.
  virtual Result<std::unique_ptr<Sums>> join(Communicator& group) { return make_host_sums(group); }

  // Floats of memory that pack_linear() writes for a weight of this shape, a multiple of 16.
  virtual std::size_t packed_floats(std::size_t inputs, std::size_t outputs,
                                    Role role = Role::other) const = 0;
  // weight [outputs, inputs] -> packed, in the layout and dtype that linear() reads.
  virtual void pack_linear(MatrixView weight, const Known& known, float* packed,
                           Role role = Role::other) const = 0;
  // The same of a table that attention() reads, [count, head_size] of one head.
  virtual std::size_t packed_table_floats(std::size_t inputs, std::size_t outputs) const = 0;
  virtual void pack_table(MatrixView table, float* packed) const = 0;

  // Rows of states, of so many columns, that models should run through a chain of linears at a
  // time, so that what lies between them stays in the nearest cache; a number of rows that is no
  // multiple of row_step() wastes some of a product's work.
  virtual std::size_t preferred_rows(std::size_t columns) const = 0;
  virtual std::size_t row_step() const = 0;

  // Floats that all threads together keep for a product of `rows` rows of states.
  virtual std::size_t linear_floats(std::size_t rows, std::size_t inputs) const = 0;
  // Floats that all threads together keep for an attention over texts of up to `longest` tokens.
  virtual std::size_t attention_floats(const AttentionShape& shape, std::size_t longest) const = 0;
  // Floats that weigh_words() keeps of logits, and mix_experts() of what `chosen` experts give.
  virtual std::size_t word_floats(std::size_t /*rows*/, std::size_t /*words*/) const { return 0; }
  virtual std::size_t part_floats(std::size_t /*rows*/, std::size_t columns,
                                  std::size_t /*chosen*/) const {
    return 2 * preferred_rows(columns) * columns;
  }

  // out[t] = norm(words[ids[t]] + positions[position of t in its text] + type); out [tokens,
  // hidden]
  virtual void embed(const Embedding& table, const Texts& texts, TypedSpan out) = 0;

  // out = activation(x W^T + b) + residual; x [n, inputs], out and residual [n, outputs]. A
  // residual without data is none. x may be float32, and so may out and residual together.
  virtual void linear(TypedView x, const Linear& weight, Activation activation, TypedView residual,
                      TypedSpan out) = 0;

  // Floats that feed_forward() keeps between its products, and that all threads together keep for
  // the second of them.
  virtual std::size_t middle_floats(std::size_t rows, std::size_t columns) const = 0;
  virtual std::size_t second_linear_floats(std::size_t rows, std::size_t columns) const = 0;
  // out = down(activation(up x)) + residual; x and out [n, columns]. What lies between the two
  // products is kept as the second takes it.
  virtual void feed_forward(TypedView x, const Linear& up, Activation activation,
                            const Linear& down, TypedView residual, TypedSpan out) = 0;

  // x = norm(down(activation(up x)) + x), each row normalized; x [n, columns]. `sum` [n, columns]
  // is room for what lies between, and may hold anything afterwards.
  virtual void feed_forward_normalized(TypedSpan x, const Linear& up, Activation activation,
                                       const Linear& down, const Norm& norm, TypedSpan sum) {
    feed_forward(x, up, activation, down, x, sum);
    normalize(sum, norm, {}, x);
  }

  // softmax(q k^T / sqrt(head_size) + bias) v within each text; the scores are others with
  // shape.relative. qkv [tokens, shape.columns()] holds
  // q, k, v side by side; out [tokens, heads * head_size].
  virtual void attention(TypedView qkv, std::span<const std::uint32_t> cu_seqlens,
                         const AttentionShape& shape, TypedSpan out) = 0;

  // out = x + residual, rounded to states, or all float32; out may be x. A residual without data is
  // none. [n, columns]
  virtual void add_residual(MatrixView x, TypedView residual, TypedSpan out) = 0;

  // Each row normalized, plus residual; out may be x. A residual without data is none. [n,
  // columns]; all may be float32.
  virtual void normalize(TypedView x, const Norm& norm, TypedView residual, TypedSpan out) = 0;

  // Each head of each row, in place, normalized where it has a norm and turned by its position in
  // its text. x [tokens, heads * size]; rows of no text stay.
  virtual void turn_heads(TypedSpan x, std::span<const std::uint32_t> cu_seqlens, std::size_t heads,
                          const HeadNorms& norms, const Rotary& rotary) = 0;

  // out = activation(left half of x) * right half of x; x [n, 2 * columns], out [n, columns]
  virtual void gate(TypedView x, Activation activation, TypedSpan out) = 0;
  // The same of x W^T + b for x; x [n, inputs], weight of 2 * columns outputs. `halves` [n, 2 *
  // columns] is room for what lies between, and may hold anything afterwards.
  virtual void linear_gated(TypedView x, const Linear& weight, Activation activation,
                            TypedSpan halves, TypedSpan out) {
    linear(x, weight, Activation::none, {}, halves);
    gate(halves, activation, out);
  }

  // out = down(gate(up x)) + residual: the two above, and the product with what they give. `halves`
  // [n, 2 * columns] and `gated` [n, columns] are room for what lies between, and may hold anything
  // afterwards.
  virtual void feed_forward_gated(TypedView x, const Linear& up, Activation activation,
                                  const Linear& down, TypedView residual, TypedSpan halves,
                                  TypedSpan gated, TypedSpan out) {
    linear_gated(x, up, activation, halves, gated);
    linear(gated, down, Activation::none, residual, out);
  }

  // out = sum over those `chosen` experts that have the largest shares softmax(logits) of a row, of
  // share * down(activation(up(x))), + bias + residual. Shares are not made to sum up to 1; of
  // equal ones the first count. x and out [n, columns], logits [n, experts]. A residual without
  // data is none.
  virtual void mix_experts(TypedView x, MatrixView logits, const Experts& experts,
                           TypedView residual, TypedSpan out) = 0;

  // One vector a text: the reductions over its rows side by side, cut, normalized. x [tokens,
  // hidden], out [texts, >= reductions * hidden], of which the first item.dimensions columns of a
  // row are meaningful. x may be float32.
  virtual void pool(TypedView x, std::span<const std::uint32_t> cu_seqlens,
                    std::span<const Reduction> reductions, std::span<const PoolItem> items,
                    MatrixSpan out) = 0;

  // out[i][w] = the weight of word w in text i by the logits x W^T + b of its rows, never all of
  // which exist at once. x [tokens, inputs], out [texts, outputs]. What is no number in a logit is
  // none in the weight.
  virtual void weigh_words(TypedView x, std::span<const std::uint32_t> cu_seqlens,
                           const Linear& words, WordWeights how, MatrixSpan out) = 0;
};

// Every backend that can be run here and computes products in `dtype`: those of devices that were
// added, then this processor's, fastest first. float32: "cpu avx512", "cpu avx2", "cpu portable",
// "reference"; bfloat16: "cpu amx bf16", "cpu avx512 bf16"; float16: none; int8: "cpu amx int8",
// "cpu avx512 bf16 int8", "cpu avx512 int8", "cpu avx2 int8", "cpu avx2 madd int8"; fp8: none.
// None but float32 is certain to have any.
std::vector<std::string> backend_names(Dtype dtype = Dtype::float32);

// The fastest float32 backend of this processor.
std::unique_ptr<Backend> make_host_backend(BackendOptions options = {});

// A backend that a program brings along, of a device beyond this processor.
struct DeviceBackend {
  std::string name;
  Dtype dtype = Dtype::float32;
  std::function<Result<std::unique_ptr<Backend>>(BackendOptions)> make;
};
// From now on backend_names() and make_backend() know these too, before this processor's own.
// Called by main() before anything else asks.
void add_device_backends(std::vector<DeviceBackend> backends);

// Error of kind unsupported if the name is unknown or this processor lacks its instructions.
Result<std::unique_ptr<Backend>> make_backend(const std::string& name, BackendOptions options);

}  // namespace sheaf::kernels
