#pragma once

#include <cstdint>
#include <string>

#include "base/clock.h"

namespace sheaf::cli {

// How far something has come, on standard error: a bar that is redrawn on a terminal, else a line
// every few seconds. Silent for work that ends within the first moments. One thread.
class ProgressBar {
 public:
  enum class Unit { count, bytes, milliseconds };

  // `total` 0: unknown; then no share and no time left are shown.
  ProgressBar(std::string label, std::uint64_t total, Unit unit);
  // Removes the bar from the terminal.
  ~ProgressBar();
  ProgressBar(const ProgressBar&) = delete;
  ProgressBar& operator=(const ProgressBar&) = delete;

  void update(std::uint64_t done);
  void set_total(std::uint64_t total) { total_ = total; }

 private:
  void draw(TimeUs now);

  std::string label_;
  std::uint64_t total_;
  std::uint64_t done_ = 0;
  Unit unit_;
  bool terminal_;
  bool drawn_ = false;
  TimeUs started_us_;
  TimeUs next_us_;
};

// The bar's line without control characters, at most `columns` wide; for tests and drawing.
std::string progress_line(const std::string& label, std::uint64_t done, std::uint64_t total,
                          ProgressBar::Unit unit, double elapsed_s, std::size_t columns);

}  // namespace sheaf::cli
