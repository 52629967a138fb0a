#pragma once

#include "kernels/cpu/kernels.h"
#include "kernels/cpu/tile.h"

// Packed weight: the inputs are cut into blocks of kDepth (the last one shorter), each block into
// panels of Arch::panel outputs, a panel being [block depth][Arch::panel], outputs beyond the last
// filled with zeros. One panel of a block and the strip of x that meets it fit the first-level
// cache.
namespace sheaf::kernels::cpu {

constexpr std::size_t kDepth = 384;

template <class Arch>
SHEAF_INLINE std::size_t panels_of(std::size_t outputs) {
  return (outputs + Arch::panel - 1) / Arch::panel;
}

SHEAF_INLINE std::size_t smaller(std::size_t a, std::size_t b) { return a < b ? a : b; }

template <class Arch>
std::size_t packed_floats(std::size_t inputs, std::size_t outputs) {
  const std::size_t floats = panels_of<Arch>(outputs) * Arch::panel * inputs;
  return (floats + 15) / 16 * 16;
}

template <class Arch>
std::size_t no_scratch(std::size_t /*rows*/, std::size_t /*inputs*/) {
  return 0;
}

template <class Arch>
void pack_linear(const float* weight, std::size_t stride, std::size_t inputs, std::size_t outputs,
                 const float* /*input_sizes*/, float* packed) {
  const std::size_t panels = panels_of<Arch>(outputs);
  for (std::size_t k0 = 0; k0 < inputs; k0 += kDepth) {
    const std::size_t depth = smaller(kDepth, inputs - k0);
    for (std::size_t panel = 0; panel < panels; ++panel) {
      const std::size_t first = panel * Arch::panel;
      for (std::size_t k = 0; k < depth; ++k)
        for (std::size_t n = 0; n < Arch::panel; ++n)
          *packed++ = first + n < outputs ? weight[(first + n) * stride + k0 + k] : 0.0f;
    }
  }
}

template <class Arch>
void unpack_row(const float* packed, std::size_t inputs, std::size_t outputs, std::size_t row,
                float* out) {
  const std::size_t panels = panels_of<Arch>(outputs);
  for (std::size_t k0 = 0; k0 < inputs; k0 += kDepth) {
    const std::size_t depth = smaller(kDepth, inputs - k0);
    const float* at = packed + k0 * panels * Arch::panel + row / Arch::panel * depth * Arch::panel +
                      row % Arch::panel;
    for (std::size_t k = 0; k < depth; ++k) out[k0 + k] = at[k * Arch::panel];
  }
}

template <class Arch>
SHEAF_INLINE typename Arch::Floats activate(Activation activation, typename Arch::Floats x) {
  if (activation == Activation::none) return x;
  if (activation == Activation::gelu) return Arch::gelu(x);
  if (activation == Activation::gelu_tanh) return Arch::gelu_tanh(x);
  if (activation == Activation::relu) return Arch::relu(x);
  return activation == Activation::silu ? Arch::silu(x) : Arch::tanh(x);
}

template <class Arch>
SHEAF_INLINE float* output_at(const LinearPiece& p, std::size_t row, std::size_t column) {
  return p.out + row * p.out_stride + column - p.first_panel * Arch::panel;
}

// A vector of sums with bias, activation and residual. Whole: none of its outputs lies beyond the
// last; those that do are 0.
template <class Arch, bool Whole>
SHEAF_INLINE typename Arch::Floats finished(const LinearPiece& p, std::size_t row,
                                            std::size_t column, typename Arch::Floats value) {
  const auto left = static_cast<std::ptrdiff_t>(p.outputs) - static_cast<std::ptrdiff_t>(column);
  const auto load = [left](const float* at) {
    return Whole ? Arch::load(at) : Arch::load_first(at, left);
  };
  if (p.bias != nullptr) value += load(p.bias + column);
  value = activate<Arch>(p.activation, value);
  if (p.residual != nullptr) value += load(p.residual + row * p.residual_stride + column);
  if constexpr (!Whole)  // else what is no number times a padded weight's zero
    for (std::ptrdiff_t i = 0; i < static_cast<std::ptrdiff_t>(Arch::width); ++i)
      if (i >= left) value[i] = 0;
  return value;
}

template <class Arch, bool Whole>
SHEAF_INLINE void finish(const LinearPiece& p, std::size_t row, std::size_t column,
                         typename Arch::Floats value) {
  const auto left = static_cast<std::ptrdiff_t>(p.outputs) - static_cast<std::ptrdiff_t>(column);
  value = finished<Arch, Whole>(p, row, column, value);
  if constexpr (Whole)
    Arch::store(output_at<Arch>(p, row, column), value);
  else
    Arch::store_first(output_at<Arch>(p, row, column), value, left);
}

// One register tile of the product over one block of inputs: added to what earlier blocks left in
// out, and after the last block finished with bias, activation and residual. Whole: the panel has
// no outputs to leave out.
template <class Arch, int R, bool Whole>
SHEAF_INLINE void linear_tile(const LinearPiece& p, std::size_t row, std::size_t panel,
                              std::size_t k0, const float* block) {
  using Floats = typename Arch::Floats;
  const std::size_t depth = smaller(kDepth, p.inputs - k0);
  const bool last = k0 + depth == p.inputs;
  // Weights usually come from memory: while a panel is used, its row tiles fetch the next, each a
  // share.
  const float* weight = block + panel * depth * Arch::panel;
  const std::size_t panel_floats = depth * Arch::panel;
  const Ahead ahead{weight + panel_floats + panel_floats * row / p.rows,
                    (Arch::panel * R + p.rows - 1) / p.rows};
  Sums<Arch, R> sums;
  multiply<Arch, R>(depth, p.x + row * p.x_stride + k0, p.x_stride, weight, ahead, sums);
  for (int r = 0; r < R; ++r) {
    for (int v = 0; v < Arch::vectors; ++v) {
      const std::size_t column = panel * Arch::panel + static_cast<std::size_t>(v) * Arch::width;
      const auto left =
          static_cast<std::ptrdiff_t>(p.outputs) - static_cast<std::ptrdiff_t>(column);
      const std::size_t y = row + static_cast<std::size_t>(r);
      float* out = output_at<Arch>(p, y, column);
      Floats value = sums.at[r][v];
      if (k0 > 0) value += Whole ? Arch::load(out) : Arch::load_first(out, left);
      if (last)
        finish<Arch, Whole>(p, y, column, value);
      else if constexpr (Whole)
        Arch::store(out, value);
      else
        Arch::store_first(out, value, left);
    }
  }
}

template <class Arch>
void linear(const LinearPiece& p) {
  const std::size_t panels = panels_of<Arch>(p.outputs);
  for (std::size_t k0 = 0; k0 < p.inputs; k0 += kDepth) {
    const float* block = p.packed + k0 * panels * Arch::panel;
    for (std::size_t panel = p.first_panel; panel < p.last_panel; ++panel) {
      const bool whole = (panel + 1) * Arch::panel <= p.outputs;
      for_row_groups<Arch>(p.rows, [&]<int R>(std::size_t row) {
        if (whole)
          linear_tile<Arch, R, true>(p, row, panel, k0, block);
        else
          linear_tile<Arch, R, false>(p, row, panel, k0, block);
      });
    }
  }
}

}  // namespace sheaf::kernels::cpu
