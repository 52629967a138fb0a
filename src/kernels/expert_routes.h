#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "kernels/expert_shares.h"

namespace sheaf::kernels {

// Which rows go to which expert, and what of each answer counts: the rows sorted by expert, each as
// often as it chose one, in their order within an expert. On this processor; memory is kept from
// one call to the next.
class ExpertRoutes {
 public:
  // Before sort(): the shares of a row, as largest_shares() fills them. Rows may be filled by
  // several threads.
  void resize(std::size_t rows, std::size_t chosen);
  std::span<ExpertShare> of_row(std::size_t row) {
    return std::span(chosen_).subspan(row * chosen_by_row_, chosen_by_row_);
  }
  void sort(std::size_t experts);

  // Calls run(expert, first, count) for `count` of rows() from `first` on, all of one expert and at
  // most so many, until all had their turn: expert by expert, whose weights are read once so.
  template <class Run>
  void for_each_expert(std::size_t rows_max, const Run& run) const {
    for (std::size_t expert = 0; expert + 1 < begins_.size(); ++expert)
      for (std::size_t at = begins_[expert]; at < begins_[expert + 1]; at += rows_max)
        run(expert, at, std::min(begins_[expert + 1] - at, rows_max));
  }
  std::span<const std::uint32_t> rows() const { return rows_; }      // [rows * chosen]
  std::span<const float> row_shares() const { return row_shares_; }  // of each of rows()
  std::span<const std::uint32_t> places() const { return places_; }  // [rows, chosen], in rows()
  std::span<const float> shares() const { return shares_; }          // [rows, chosen]

 private:
  std::size_t chosen_by_row_ = 0;
  std::vector<ExpertShare> chosen_;  // [rows, chosen]
  std::vector<std::size_t> begins_;  // [experts + 1]
  std::vector<std::uint32_t> rows_, places_;
  std::vector<float> row_shares_, shares_;
};

}  // namespace sheaf::kernels
