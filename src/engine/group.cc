#include "engine/group.h"

#include <algorithm>

namespace sheaf::engine {
namespace {

// Of a text that nobody asked for: no more than the shortest tile of queries, so that it is never
// what makes a batch one of longer texts.
constexpr std::size_t kFillerTokens = 32;
// Numbers of texts are multiples of it, so that few of them occur too.
constexpr std::size_t kTexts = 8;

std::uint32_t narrow(std::size_t n) { return static_cast<std::uint32_t>(n); }

// Rows, of states of so many columns, that a group of `tokens` has once it is filled up; never
// fewer for more tokens. A block of rows that was full does not become two.
std::size_t filled(std::size_t tokens, std::size_t columns, const kernels::Backend& ops) {
  const auto up_to = [tokens](std::size_t more, std::size_t step) {
    return (tokens + more + step - 1) / step * step;
  };
  const std::size_t step = ops.fill_step(tokens + kTexts);
  return step == 1 ? tokens : std::min(up_to(kTexts, step), up_to(0, ops.preferred_rows(columns)));
}

}  // namespace

void Group::take(const Batch& batch, std::size_t first, std::size_t last,
                 const kernels::Backend& ops) {
  const std::uint32_t begin = batch.cu_seqlens[first];
  ids_ = batch.ids.subspan(begin, batch.cu_seqlens[last] - begin);
  output_ = batch.options[first].output;
  asked_ = last - first;
  cu_seqlens_.assign(1, 0);
  second_at_.clear();
  text_at_.clear();
  items_.clear();
  for (std::size_t i = first; i < last; ++i) {
    const ItemOptions& asked = batch.options[i];
    add(batch.cu_seqlens[i + 1] - batch.cu_seqlens[i], asked.second_at,
        {.dimensions = asked.dimensions == 0 ? spec_.dimensions : asked.dimensions,
         .normalize = asked.normalize && spec_.task() == model::Task::embed});
  }
  fill_up(ops);
  set_shape();
}

void Group::add(std::uint32_t tokens, std::uint32_t second_at, const kernels::PoolItem& item) {
  cu_seqlens_.push_back(cu_seqlens_.back() + tokens);
  // Models without a second type read both parts alike, as RoBERTa does.
  second_at_.push_back(spec_.type_vocab_size > 1 && spec_.pools_prompt ? second_at : 0);
  text_at_.push_back(spec_.pools_prompt ? 0 : second_at);
  items_.push_back(item);
}

// Only where all texts are answered by operations over all of them.
void Group::fill_up(const kernels::Backend& ops) {
  const std::size_t rows = filled(ids_.size(), spec_.hidden_size, ops);
  if (output_ != model::Output::vector || !spec_.pools_prompt || rows <= ids_.size()) return;
  const std::size_t tokens = rows - ids_.size();
  const std::size_t longest = std::min<std::size_t>(kFillerTokens, spec_.positions);
  const std::size_t least = (tokens + longest - 1) / longest;
  const std::size_t even = (asked_ + least + kTexts - 1) / kTexts * kTexts - asked_;
  const std::size_t texts = std::min(even, tokens);
  for (std::size_t i = 0; i < texts; ++i)
    add(narrow(tokens * (i + 1) / texts - tokens * i / texts), 0,
        {.dimensions = spec_.dimensions, .normalize = false});
  filled_ids_.assign(ids_.begin(), ids_.end());
  filled_ids_.resize(rows, 0);
  ids_ = filled_ids_;
}

// Of many texts that are not filled up nothing is known: hardly ever are they followed by as many
// of the same lengths. Tables that models keep by distance or position grow with the longest text
// so far; those that turn one by one have others.
void Group::set_shape() {
  std::uint32_t longest = 0;
  for (std::size_t i = 0; i < size(); ++i)
    longest = std::max(longest, cu_seqlens_[i + 1] - cu_seqlens_[i]);
  const bool one_by_one =
      spec_.rotary.turns_alone(longest) || spec_.local_rotary.turns_alone(longest);
  if (!one_by_one) longest_so_far_ = std::max(longest_so_far_, longest);
  const bool filled = size() > asked();
  shape_size_ = !one_by_one && (filled || asked() == 1) ? shape_.size() : 0;
  shape_ = {narrow(ids_.size()), narrow(size()), text_at_.front(), longest_so_far_,
            static_cast<std::uint32_t>(output_)};
}

}  // namespace sheaf::engine
