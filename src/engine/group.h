#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "engine/engine.h"
#include "kernels/ops.h"
#include "model/spec/spec.h"

namespace sheaf::engine {

// Texts of a batch that go through the model together, as operations take them. Where the device
// gains by it, texts that nobody asked for stand behind them, so that few numbers of rows occur.
class Group {
 public:
  explicit Group(const model::ModelSpec& spec) : spec_(spec) {}

  // Texts [first, last) of the batch, which are asked for the same output. What the others return
  // is valid until the next call, and no longer than the batch.
  void take(const Batch& batch, std::size_t first, std::size_t last, const kernels::Backend& ops);

  model::Output output() const { return output_; }
  kernels::Texts texts() const { return {ids_, cu_seqlens_, second_at_}; }
  std::size_t size() const { return items_.size(); }  // texts
  std::size_t asked() const { return asked_; }        // of them, the first
  std::span<const kernels::PoolItem> items() const { return items_; }
  // The first row of a text that is pooled.
  std::uint32_t pooled_from(std::size_t text) const { return cu_seqlens_[text] + text_at_[text]; }
  // What decides which operations the group takes, but for where its texts lie: as
  // Backend::begin_pass() takes it.
  std::span<const std::uint32_t> shape() const { return {shape_.data(), shape_size_}; }

 private:
  void add(std::uint32_t tokens, std::uint32_t second_at, const kernels::PoolItem& item);
  void fill_up(const kernels::Backend& ops);
  void set_shape();

  const model::ModelSpec& spec_;
  model::Output output_ = model::Output::vector;
  std::size_t asked_ = 0;
  std::span<const std::int32_t> ids_;     // the batch's, or those that are filled up
  std::vector<std::int32_t> filled_ids_;  // a copy, behind which stand texts that nobody asked for
  std::vector<std::uint32_t> cu_seqlens_;
  std::vector<std::uint32_t> second_at_;  // of each text, the first id of token type 1
  std::vector<std::uint32_t> text_at_;    // of each text, the first id behind the prompt
  std::vector<kernels::PoolItem> items_;
  std::uint32_t longest_so_far_ = 0;
  std::array<std::uint32_t, 5> shape_{};
  std::size_t shape_size_ = 0;
};

}  // namespace sheaf::engine
