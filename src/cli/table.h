#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace sheaf::cli {

// A table of text for people: the first column to the left, the others to the right unless said
// otherwise, two spaces between columns, no frame.
class Table {
 public:
  struct Column {
    std::string title;
    bool left = false;
  };
  explicit Table(std::vector<Column> columns) : columns_(std::move(columns)) {}

  void add_row(std::vector<std::string> cells);  // as many as there are columns
  // Every line ends with a newline; no trailing blanks.
  std::string render() const;

 private:
  std::vector<Column> columns_;
  std::vector<std::vector<std::string>> rows_;
};

// `text` for a line of at most so many columns of a terminal: no control characters, cut with "…"
// where it is longer. East Asian wide characters and emoji take two columns, combining marks none.
std::string one_line(std::string_view text, std::size_t columns);

// "org/model" → "model".
std::string_view short_name(std::string_view model);

// `text`, of one line, as lines of at most 80 columns: broken at blanks, what follows the first
// line behind `hang` blanks. A word that is longer stands alone. Every line ends with a newline.
std::string wrapped(std::string_view text, std::size_t hang);

// The layers of a dtype that names some, for a line to be wrapped: "0, 2-4" of "fp8:0,2-4".
std::string layers_named(std::string_view dtype);

// "812 µs", "1.25 ms", "3.1 s": three significant digits.
std::string human_duration(double us);
// "812", "45.2k", "1.31M".
std::string human_count(double count);

}  // namespace sheaf::cli
