#include "cli/text_source.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <string_view>
#include <utility>

#include "base/utf8.h"

namespace sheaf::cli {
namespace {

constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";

}  // namespace

Result<TextSource> TextSource::open(const std::vector<std::string>& paths) {
  TextSource source;
  source.paths_ = paths.empty() ? std::vector<std::string>{"-"} : paths;
  bool all_known = true;
  for (const std::string& path : source.paths_) {
    std::FILE* file = path == "-" ? stdin : std::fopen(path.c_str(), "re");
    if (file == nullptr) return errno_error(path, errno);
    source.files_.push_back(file);
    struct stat status {};
    const bool regular = ::fstat(::fileno(file), &status) == 0 && S_ISREG(status.st_mode);
    all_known = all_known && regular;
    source.total_bytes_ += regular ? static_cast<std::uint64_t>(status.st_size) : 0;
  }
  if (!all_known) source.total_bytes_ = 0;
  return source;
}

TextSource::TextSource(TextSource&& other) noexcept
    : paths_(std::move(other.paths_)),
      files_(std::exchange(other.files_, {})),
      current_(other.current_),
      line_(other.line_),
      buffer_(std::exchange(other.buffer_, nullptr)),
      buffer_bytes_(other.buffer_bytes_),
      broken_lines_(other.broken_lines_),
      read_bytes_(other.read_bytes_),
      total_bytes_(other.total_bytes_) {}

TextSource::~TextSource() {
  for (std::FILE* file : files_)
    if (file != stdin) std::fclose(file);
  std::free(buffer_);
}

Result<bool> TextSource::next_line(std::string& line) {
  while (current_ < files_.size()) {
    const ssize_t length = ::getline(&buffer_, &buffer_bytes_, files_[current_]);
    if (length >= 0) {
      read_bytes_ += static_cast<std::uint64_t>(length);
      std::string_view text(buffer_, static_cast<std::size_t>(length));
      if (++line_ == 1 && text.starts_with(kByteOrderMark))
        text.remove_prefix(kByteOrderMark.size());
      if (text.ends_with('\n')) text.remove_suffix(1);
      if (text.ends_with('\r')) text.remove_suffix(1);
      if (find_invalid_utf8(text) != text.npos) ++broken_lines_;
      line = text;
      return true;
    }
    if (std::ferror(files_[current_]) != 0) return errno_error(paths_[current_], errno);
    ++current_;
    line_ = 0;
  }
  return false;
}

bool TextSource::reads_terminal() const {
  return std::find(files_.begin(), files_.end(), stdin) != files_.end() &&
         ::isatty(STDIN_FILENO) != 0;
}

std::string TextSource::place() const {
  const std::string& path = paths_[current_];
  return fmt::format("{}:{}", path == "-" ? "standard input" : path, line_);
}

Result<TextLines> TextSource::next(std::size_t count) {
  TextLines lines;
  std::string line;
  while (lines.texts.size() < count) {
    SHEAF_ASSIGN(const bool have, next_line(line));
    if (!have) break;
    lines.texts.push_back(std::move(line));
    lines.places.push_back(place());
  }
  return lines;
}

}  // namespace sheaf::cli
