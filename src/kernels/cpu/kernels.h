#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/ops.h"

// What one instruction set provides: single-threaded pieces of the operations, over plain pointers.
// Each table is filled by one source file compiled for its instruction set. Such a file must not
// emit inline code that other files share (the linker could choose the copy with the wrong
// instructions), hence no containers here.
namespace sheaf::kernels::cpu {

using Bf16 = std::uint16_t;  // its bits

// Rows [0, rows) of x times panels [first_panel, last_panel) of a packed weight.
struct LinearPiece {
  const float* x = nullptr;
  const Bf16* x_states = nullptr;  // in place of x, where states are bfloat16
  std::size_t x_stride = 0;
  // In place of x: rows as such a product takes them, LinearKernels::prepared_bytes() each. Up to
  // row_step - 1 more are read, whatever they hold.
  const std::byte* prepared = nullptr;
  std::size_t rows = 0;
  const float* packed = nullptr;
  const float* bias = nullptr;
  std::size_t inputs = 0;
  std::size_t outputs = 0;
  std::size_t first_panel = 0;
  std::size_t last_panel = 0;
  Activation activation = Activation::none;
  const float* residual = nullptr;
  const Bf16* residual_states = nullptr;  // in place of residual, if out_states are there
  std::size_t residual_stride = 0;
  float* out = nullptr;        // [rows, outputs of these panels]
  Bf16* out_states = nullptr;  // in place of out, where states are bfloat16
  std::size_t out_stride = 0;
  // In place of out: [rows] as the next product takes them, of all outputs, whatever the panels.
  std::byte* prepared_out = nullptr;
  const float* prepared_for = nullptr;  // that product's packed weight
  // LinearKernels::scratch_floats(rows, inputs), 64-byte aligned; where x is prepared, of 0 rows
  float* scratch = nullptr;
};

// Queries [first_query, last_query) of one head of one text of `tokens` tokens; State is float or
// Bf16.
template <class State>
struct AttentionPieceOf {
  const State* q;  // row 0 of the text, first column of the head
  const State* k;
  const State* v;
  std::size_t stride;
  std::size_t tokens;
  std::size_t head_size;
  std::size_t first_query;
  std::size_t last_query;
  std::size_t before;  // keys before and after its own that a query sees
  std::size_t after;
  const float* bias;  // of the head: [key - query] is added to the scaled score; or null
  // Relative positions; without them null.
  const std::int32_t* position_rows;  // at [query - key] the row of the tables
  std::size_t position_count;         // rows of the tables
  const float* position_keys;         // of the head, packed [position_count, head_size]; or null
  const float* position_queries;      // likewise
  State* out;
  std::size_t out_stride;
  float* scratch;  // attention_scratch(tokens, head_size, position_count) floats, 64-byte aligned
};
using AttentionPiece = AttentionPieceOf<float>;

// Of products that take and give states in bfloat16.
struct StateKernels {
  // A row of `columns` numbers to float32 and, rounded, back.
  void (*widen)(const Bf16* from, std::size_t columns, float* to);
  void (*narrow)(const float* from, std::size_t columns, Bf16* to);
  // In bfloat16 too, without bias and relative positions.
  std::size_t (*attention_scratch)(std::size_t tokens, std::size_t head_size,
                                   std::size_t position_count);
  void (*attention)(const AttentionPieceOf<Bf16>& piece);
};

// Products with weights packed in one dtype. What is packed is counted in floats whatever it holds.
struct LinearKernels {
  const char* name;
  Dtype dtype;
  std::size_t panel_width;  // outputs side by side in a packed panel
  std::size_t row_step;     // a piece of so many rows, or a multiple, wastes nothing
  std::size_t row_block;    // the most rows that a piece should have
  std::size_t piece_flops;  // that take well below 20 ms
  // Into how many pieces a product is cut for each thread: several, so that who ends early can help
  // the others, or one, where each converts its inputs first.
  std::size_t pieces_per_thread;

  std::size_t (*packed_floats)(std::size_t inputs, std::size_t outputs);
  // Of a row of so many numbers as products take it, a multiple of 64; null: they take float32.
  std::size_t (*prepared_bytes)(std::size_t columns);
  // Pieces with a prepared_out begin at multiples of so many panels.
  std::size_t prepared_panels;
  // What a piece needs beside its operands: inputs in another dtype, sums on their way.
  std::size_t (*scratch_floats)(std::size_t rows, std::size_t inputs);
  // input_sizes as Known has them
  void (*pack)(const float* weight, std::size_t stride, std::size_t inputs, std::size_t outputs,
               const float* input_sizes, float* packed);
  void (*linear)(const LinearPiece& piece);
  // out [inputs] = the weights of one output
  void (*unpack_row)(const float* packed, std::size_t inputs, std::size_t outputs, std::size_t row,
                     float* out);
  // Where states are bfloat16; null: they are float32.
  const StateKernels* states;
};

// All else, which is float32.
struct Kernels {
  const char* name;
  std::size_t row_block;  // rows whose activations stay in the second-level cache
  LinearKernels float32;  // also the layout of what attention reads

  // Takes logits [rows, columns] of one text into its weights out [columns]; whether they are its
  // first and its last.
  void (*weigh_words)(const float* logits, std::size_t stride, std::size_t rows,
                      std::size_t columns, WordWeights how, bool first, bool last, float* out);
  std::size_t (*attention_scratch)(std::size_t tokens, std::size_t head_size,
                                   std::size_t position_count);
  void (*attention)(const AttentionPiece& piece);
  // out[i] = norm(a[i] + b[i] + c[i]); b and c may be null, norm.scale too: no norm. One row.
  void (*norm_row)(const float* a, const float* b, const float* c, const Norm& norm,
                   std::size_t columns, float* out);
  // values i and i + pairs of a head turned by the angles with these cosines and sines
  void (*turn)(float* head, const float* cosines, const float* sines, std::size_t pairs);
  // out[i] = activation(a[i]) * b[i]
  void (*gate)(const float* a, const float* b, Activation activation, std::size_t columns,
               float* out);
  // out [columns] = one reduction over rows of x, the first of which stands at `place`.
  void (*reduce)(Reduction reduction, const float* x, std::size_t stride, std::size_t rows,
                 std::size_t columns, std::size_t place, float* out);
  void (*reduce_states)(Reduction reduction, const Bf16* x, std::size_t stride, std::size_t rows,
                        std::size_t columns, std::size_t place, float* out);
};

// The tables of this build; null where the build's processor family has no such instructions. All
// of a dtype other than float32 are tables of products alone.
const Kernels* portable_kernels();
const Kernels* avx2_kernels();
const Kernels* avx512_kernels();
const LinearKernels* amx_bf16_kernels();
const LinearKernels* amx_int8_kernels();
const LinearKernels* avx512_bf16_kernels();
const LinearKernels* avx512_bf16_int8_kernels();
const LinearKernels* avx512_int8_kernels();
const LinearKernels* avx2_int8_kernels();
const LinearKernels* avx2_madd_int8_kernels();

}  // namespace sheaf::kernels::cpu
