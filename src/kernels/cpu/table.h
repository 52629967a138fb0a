#pragma once

#include "kernels/cpu/attention.h"
#include "kernels/cpu/kernels.h"
#include "kernels/cpu/linear.h"
#include "kernels/cpu/rows.h"

namespace sheaf::kernels::cpu {

template <class Arch>
constexpr Kernels make_kernels(const char* name, std::size_t row_block) {
  return {.name = name,
          .row_block = row_block,
          .float32 = {.name = "",
                      .dtype = Dtype::float32,
                      .panel_width = Arch::panel,
                      .row_step = 1,
                      .row_block = row_block,
                      .piece_flops = 32'000'000,  // 7 ms at 5 GFLOP/s
                      .pieces_per_thread = 3,
                      .packed_floats = packed_floats<Arch>,
                      .prepared_bytes = nullptr,
                      .prepared_panels = 1,
                      .scratch_floats = no_scratch<Arch>,
                      .pack = pack_linear<Arch>,
                      .linear = linear<Arch>,
                      .unpack_row = unpack_row<Arch>,
                      .states = nullptr},
          .weigh_words = weigh_words<Arch>,
          .attention_scratch = attention_scratch<Arch>,
          .attention = attention<Arch>,
          .norm_row = norm_row<Arch>,
          .turn = turn<Arch>,
          .gate = gate<Arch>,
          .reduce = reduce<Arch, float>,
          .reduce_states = reduce<Arch, Bf16>};
}

}  // namespace sheaf::kernels::cpu
