#pragma once

#include "kernels/cpu/attention.h"
#include "kernels/cpu/kernels.h"
#include "kernels/cpu/linear.h"
#include "kernels/cpu/rows.h"

namespace sheaf::kernels::cpu {

template <class Arch>
constexpr Kernels make_kernels(const char* name, std::size_t row_block) {
  return {.name = name,
          .panel_width = Arch::panel,
          .row_block = row_block,
          .pack = pack_linear<Arch>,
          .linear = linear<Arch>,
          .unpack_row = unpack_row<Arch>,
          .weigh_words = weigh_words<Arch>,
          .attention_scratch = attention_scratch<Arch>,
          .attention = attention<Arch>,
          .norm_row = norm_row<Arch>,
          .turn = turn<Arch>,
          .gate = gate<Arch>,
          .reduce = reduce<Arch>};
}

}  // namespace sheaf::kernels::cpu
