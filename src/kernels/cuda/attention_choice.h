#pragma once

#include <cstddef>
#include <string>
#include <type_traits>

#include "kernels/cuda/attention.cuh"
#include "kernels/cuda/launcher.h"
#include "kernels/cuda/mma_attention.cuh"
#include "kernels/cuda/relative_attention.cuh"
#include "kernels/cuda/text_layout.h"
#include "kernels/cuda/warpgroup_attention.cuh"

namespace sheaf::kernels::cuda {

// Which kernel attends: of states in S, with operands of products in T. The device must outlive it.
template <class T, class S>
class AttentionChoice {
 public:
  explicit AttentionChoice(Device& device)
      : device_(device), has_warpgroups_(has_warpgroups(device)) {}

  // The task's tiles are those of `tiles`. Fails the device where there is no kernel for its heads.
  void run(const AttentionTask<S>& task, const TextLayout& tiles) const {
    if (!attend_by_matrix_units(task, tiles)) attend_exactly(task, tiles);
  }

 private:
  // False where there is no such kernel.
  bool attend_by_matrix_units(const AttentionTask<S>& task, const TextLayout& tiles) const {
    if constexpr (!std::is_same_v<T, float>) {
      if (task.position_rows != nullptr) return attend_by_tables_of_positions(task, tiles);
      switch (task.head_size) {
        case 32:
          return launch_by_matrix_units<32>(task, tiles);
        case 64:
          return launch_by_matrix_units<64>(task, tiles);
        case 128:
          return launch_by_matrix_units<128>(task, tiles);
        case 256:
          return launch_by_matrix_units<256>(task, tiles);
        default:
          break;
      }
    }
    return false;
  }
  // As PositionTable::is_operand() says.
  bool attend_by_tables_of_positions(const AttentionTask<S>& task, const TextLayout& tiles) const {
    if (!PositionTable<T>::is_operand(task.head_size)) return false;
    switch (task.head_size) {
      case 32:
        return launch_by_mma<RelativeShape<32>>(attend_by_tables<32, T, S>, task, tiles);
      case 64:
        return launch_by_mma<RelativeShape<64>>(attend_by_tables<64, T, S>, task, tiles);
      case 128:
        return launch_by_mma<RelativeShape<128>>(attend_by_tables<128, T, S>, task, tiles);
      default:
        return false;
    }
  }
  template <unsigned kHead>
  bool launch_by_matrix_units(const AttentionTask<S>& task, const TextLayout& tiles) const {
    if (launch_by_warpgroups<kHead>(task, tiles)) return true;
    return launch_by_mma<MmaShape<kHead>>(attend_by_mma<kHead, T, S>, task, tiles);
  }
  template <class Shape>
  bool launch_by_mma(void (*kernel)(AttentionTask<S>), const AttentionTask<S>& task,
                     const TextLayout& tiles) const {
    constexpr std::size_t kLeastSharedMemory = std::size_t{99} << 10;  // of a block, on sm_86
    static_assert(Shape::shared_bytes(kMmaWarps) <= kLeastSharedMemory);
    const unsigned warps = Shape::warps(tiles.tile_queries());
    const unsigned parts = blocks_of(tiles.tile_queries(), warps * Shape::kQueries);
    launcher_.give(kernel, Grid{tiles.tile_count(), task.heads, parts}, warps * kWarpSize,
                   Shape::shared_bytes(warps), task);
    return true;
  }

  // False where another kernel has to do, or does it better: shorter texts do not fill a block.
  template <unsigned kHead>
  bool launch_by_warpgroups([[maybe_unused]] const AttentionTask<S>& task,
                            [[maybe_unused]] const TextLayout& tiles) const {
    if constexpr (std::is_same_v<S, Bfloat16>) {
      using Shape = WarpgroupShape<kHead>;
      static_assert(Shape::kBlockQueries == kTileQueriesMost);
      if (!has_warpgroups_ || task.bias != nullptr || !task.aligned || !lies_at<16>(task.out) ||
          tiles.tile_queries() < Shape::kBlockQueries)
        return false;
      launcher_.give(attend_by_warpgroups<kHead>, Grid{tiles.tile_count(), task.heads},
                     kWarpgroups * kWarpgroup, Shape::kSharedBytes, task);
      return true;
    }
    return false;
  }

  void attend_exactly(const AttentionTask<S>& task, const TextLayout& tiles) const {
    if (task.head_size <= 1 * kWarpSize) return launch_exactly(attend<1, S>, task, tiles);
    if (task.head_size <= 2 * kWarpSize) return launch_exactly(attend<2, S>, task, tiles);
    if (task.head_size <= 4 * kWarpSize) return launch_exactly(attend<4, S>, task, tiles);
    if (task.head_size <= 8 * kWarpSize) return launch_exactly(attend<8, S>, task, tiles);
    if (task.head_size <= kMostSlices * kWarpSize)
      return launch_exactly(attend<kMostSlices, S>, task, tiles);
    device_.fail({ErrorCode::unsupported, "attention on a card takes heads of up to 512 values"});
  }
  void launch_exactly(void (*kernel)(AttentionTask<S>), const AttentionTask<S>& task,
                      const TextLayout& tiles) const {
    const std::size_t needed = attention_shared_bytes(task.head_size);
    if (const std::size_t most = device_.shared_bytes_max(); needed > most)
      return device_.fail(
          {ErrorCode::unsupported, "attention over heads of " + std::to_string(task.head_size) +
                                       " values needs " + std::to_string(needed) +
                                       " bytes of shared memory, and this card has " +
                                       std::to_string(most) + " for a block"});
    launcher_.give(
        kernel,
        Grid{tiles.tile_count(), task.heads, blocks_of(tiles.tile_queries(), kBlockQueries)},
        kAttentionWarps * kWarpSize, needed, task);
  }

  Device& device_;
  const Launcher launcher_{device_};
  const bool has_warpgroups_;
};

}  // namespace sheaf::kernels::cuda
