#include "kernels/expert_routes.h"

#include <numeric>

namespace sheaf::kernels {

void ExpertRoutes::resize(std::size_t rows, std::size_t chosen) {
  chosen_by_row_ = chosen;
  chosen_.resize(rows * chosen);
}

void ExpertRoutes::sort(std::size_t experts) {
  begins_.assign(experts + 1, 0);
  for (const ExpertShare& share : chosen_) ++begins_[share.expert + 1];
  std::partial_sum(begins_.begin(), begins_.end(), begins_.begin());
  for (auto* numbers : {&rows_, &places_}) numbers->resize(chosen_.size());
  for (auto* numbers : {&row_shares_, &shares_}) numbers->resize(chosen_.size());
  std::vector<std::size_t> next = begins_;
  for (std::size_t i = 0; i < chosen_.size(); ++i) {
    const std::size_t at = next[chosen_[i].expert]++;
    rows_[at] = static_cast<std::uint32_t>(i / chosen_by_row_);
    places_[i] = static_cast<std::uint32_t>(at);
    row_shares_[at] = shares_[i] = chosen_[i].share;
  }
}

}  // namespace sheaf::kernels
