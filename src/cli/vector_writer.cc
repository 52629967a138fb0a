#include "cli/vector_writer.h"

#include <fmt/core.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <utility>

#include "base/text.h"

namespace sheaf::cli {
namespace {

constexpr std::size_t kNpyHeaderBytes = 128;

// True for what a rename can put in place: files, not pipes, terminals and /dev/stdout.
bool is_replaceable(const std::string& path) {
  struct stat status {};
  if (path.starts_with("/dev/") || path.starts_with("/proc/")) return false;
  return ::stat(path.c_str(), &status) != 0 || S_ISREG(status.st_mode);
}

// The path of a file that is being written: a signal removes it before it ends the program.
std::atomic<const char*> unfinished{nullptr};

extern "C" void remove_unfinished(int signal) {
  if (const char* path = unfinished.load()) ::unlink(path);
  ::signal(signal, SIG_DFL);
  ::raise(signal);
}

// Of a signal that is ignored, as under nohup, nothing changes.
void remove_at_signals(const char* path) {
  unfinished = path;
  struct sigaction ours {};
  ours.sa_handler = remove_unfinished;
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) {
    struct sigaction before {};
    if (::sigaction(signal, nullptr, &before) == 0 && before.sa_handler == SIG_DFL)
      ::sigaction(signal, &ours, nullptr);
  }
}

// The one owner of what is written. A file is written as FILE.part and renamed by close(), so that
// what was there before stays whole unless all went well. Standard output is not closed.
class Output {
 public:
  static Result<std::unique_ptr<Output>> open(const std::string& path) {
    if (path.empty()) return std::unique_ptr<Output>(new Output("standard output", "", stdout));
    std::error_code unresolved;  // a link stays one: the file it names is replaced
    const std::string name = std::filesystem::weakly_canonical(path, unresolved).string();
    const bool replaced = !unresolved && is_replaceable(path);
    const std::string part = replaced ? name + ".part" : "";
    std::FILE* file = std::fopen(replaced ? part.c_str() : path.c_str(), "we");
    if (file == nullptr) return errno_error(replaced ? part : path, errno);
    struct stat before {};
    if (replaced && ::stat(name.c_str(), &before) == 0) ::fchmod(::fileno(file), before.st_mode);
    return std::unique_ptr<Output>(new Output(replaced ? name : path, part, file));
  }
  ~Output() {
    if (file_ != stdout && file_ != nullptr) std::fclose(file_);
    if (!part_.empty()) std::remove(part_.c_str());
    unfinished = nullptr;
  }
  Output(const Output&) = delete;
  Output& operator=(const Output&) = delete;

  Status write(const void* data, std::size_t bytes) {
    if (std::fwrite(data, 1, bytes, file_) != bytes) return errno_error(name_, errno);
    return {};
  }
  Status rewind() {
    if (std::fseek(file_, 0, SEEK_SET) != 0) return errno_error(name_, errno);
    return {};
  }
  // Errors of what was buffered show only here.
  Status close() {
    std::FILE* file = std::exchange(file_, nullptr);
    bool failed = file == stdout ? std::fflush(file) != 0 : std::fclose(file) != 0;
    if (!failed && !part_.empty()) {
      failed = std::rename(part_.c_str(), name_.c_str()) != 0;
      if (!failed) {
        unfinished = nullptr;
        part_.clear();
      }
    }
    if (failed) return errno_error(name_, errno);
    return {};
  }

 private:
  Output(std::string name, std::string part, std::FILE* file)
      : name_(std::move(name)), part_(std::move(part)), file_(file) {
    if (!part_.empty()) remove_at_signals(part_.c_str());
  }
  std::string name_;
  std::string part_;  // what is to be renamed or removed; empty: nothing
  std::FILE* file_;
};

void append_floats(std::string& out, std::span<const float> values) {
  char digits[32];
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (i > 0) out += ", ";
    out.append(digits, std::to_chars(digits, digits + sizeof digits, values[i]).ptr);
  }
}

void append_terms(std::string& out, std::span<const float> row) {
  for (std::size_t i = 0; i + 1 < row.size(); i += 2) {
    out += fmt::format("{}{{\"index\": {}, \"value\": ", i > 0 ? ", " : "",
                       static_cast<std::uint32_t>(row[i]));
    append_floats(out, row.subspan(i + 1, 1));
    out += '}';
  }
}

void append_vectors(std::string& out, std::span<const float> row, std::uint32_t width) {
  for (std::size_t i = 0; width > 0 && i + width <= row.size(); i += width) {
    out += i > 0 ? ", [" : "[";
    append_floats(out, row.subspan(i, width));
    out += ']';
  }
}

class JsonLinesWriter final : public VectorWriter {
 public:
  JsonLinesWriter(std::unique_ptr<Output> output, model::Output kind)
      : output_(std::move(output)), kind_(kind) {}

  Status write(std::span<const std::string> texts, std::span<const std::vector<float>> rows,
               std::uint32_t width) override {
    std::string lines;
    for (std::size_t i = 0; i < texts.size(); ++i) {
      lines += "{\"text\": ";
      append_json_quoted(lines, texts[i]);
      append_row(lines, rows[i], width);
      lines += "]}\n";
    }
    return output_->write(lines.data(), lines.size());
  }
  Status finish() override { return output_->close(); }

 private:
  void append_row(std::string& out, std::span<const float> row, std::uint32_t width) const {
    switch (kind_) {
      case model::Output::vector:
        out += ", \"embedding\": [";
        return append_floats(out, row);
      case model::Output::sparse:
        out += ", \"sparse\": [";
        return append_terms(out, row);
      case model::Output::tokens:
        out += ", \"embeddings\": [";
        return append_vectors(out, row, width);
    }
  }
  std::unique_ptr<Output> output_;
  model::Output kind_;
};

class NpyWriter final : public VectorWriter {
 public:
  explicit NpyWriter(std::unique_ptr<Output> output) : output_(std::move(output)) {}

  Status write(std::span<const std::string> texts, std::span<const std::vector<float>> rows,
               std::uint32_t width) override {
    if (rows_ == 0) {
      dimensions_ = width;
      // Not yet an array to anyone who finds it half written.
      const std::string room(kNpyHeaderBytes, ' ');
      SHEAF_TRY(output_->write(room.data(), room.size()));
    }
    rows_ += texts.size();
    for (const std::vector<float>& row : rows)
      SHEAF_TRY(output_->write(row.data(), row.size() * sizeof(float)));
    return {};
  }
  Status finish() override {
    const std::string header = npy_header(rows_, dimensions_);
    SHEAF_TRY(output_->rewind());
    SHEAF_TRY(output_->write(header.data(), header.size()));
    return output_->close();
  }

 private:
  std::unique_ptr<Output> output_;
  std::uint64_t rows_ = 0;
  std::uint32_t dimensions_ = 0;
};

}  // namespace

std::string npy_header(std::uint64_t rows, std::uint32_t dimensions) {
  constexpr std::string_view kMagic("\x93NUMPY\x01\x00", 8);
  std::string header(kMagic);
  const std::size_t text_bytes = kNpyHeaderBytes - kMagic.size() - 2;
  header += static_cast<char>(text_bytes & 0xFF);
  header += static_cast<char>(text_bytes >> 8);
  header += fmt::format("{{'descr': '<f4', 'fortran_order': False, 'shape': ({}, {}), }}", rows,
                        dimensions);
  header.resize(kNpyHeaderBytes - 1, ' ');
  return header + '\n';
}

Result<std::unique_ptr<VectorWriter>> make_json_lines_writer(const std::string& path,
                                                             model::Output output) {
  SHEAF_ASSIGN(auto file, Output::open(path));
  return std::unique_ptr<VectorWriter>(std::make_unique<JsonLinesWriter>(std::move(file), output));
}

Result<std::unique_ptr<VectorWriter>> make_npy_writer(const std::string& path) {
  SHEAF_ASSIGN(auto output, Output::open(path));
  return std::unique_ptr<VectorWriter>(std::make_unique<NpyWriter>(std::move(output)));
}

}  // namespace sheaf::cli
