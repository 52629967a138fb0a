#pragma once

#include <cstdint>
#include <cstdio>
#include <string>
#include <vector>

#include "base/result.h"

namespace sheaf::cli {

// Some lines, and what each is called: "notes.txt:12", counted from 1 in its own file.
struct TextLines {
  std::vector<std::string> texts;
  std::vector<std::string> places;
};

// The lines of files, one after the other; "-" is standard input. Line ends (\n, \r\n) are not part
// of a line, nor is a byte order mark at the start of a file; an empty line is a text like any
// other, so that rows and lines keep step.
class TextSource {
 public:
  // No paths: standard input. Errors name the file that cannot be opened.
  static Result<TextSource> open(const std::vector<std::string>& paths);
  TextSource(TextSource&& other) noexcept;
  ~TextSource();

  // The next lines, at most `count`; fewer only at the end.
  Result<TextLines> next(std::size_t count);

  // Whether someone has to type the lines.
  bool reads_terminal() const;
  std::uint64_t broken_lines() const { return broken_lines_; }  // read so far, not UTF-8
  std::uint64_t read_bytes() const { return read_bytes_; }
  std::uint64_t total_bytes() const { return total_bytes_; }  // 0: not known

 private:
  TextSource() = default;
  Result<bool> next_line(std::string& line);
  std::string place() const;  // of the last line

  std::vector<std::string> paths_;
  std::vector<std::FILE*> files_;  // the current one first
  std::size_t current_ = 0;
  std::uint64_t line_ = 0;  // of the current file, the last one read
  char* buffer_ = nullptr;  // getline()'s own
  std::size_t buffer_bytes_ = 0;
  std::uint64_t broken_lines_ = 0;
  std::uint64_t read_bytes_ = 0;
  std::uint64_t total_bytes_ = 0;
};

}  // namespace sheaf::cli
