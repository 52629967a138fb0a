#include "cli/vector_writer.h"

#include <fmt/core.h>

#include <cerrno>
#include <charconv>
#include <cstdio>

#include "base/text.h"

namespace sheaf::cli {
namespace {

// The one owner of an output file; standard output is not closed.
class Output {
 public:
  static Result<std::unique_ptr<Output>> open(const std::string& path) {
    std::FILE* file = path.empty() ? stdout : std::fopen(path.c_str(), "we");
    if (file == nullptr) return errno_error(path, errno);
    return std::unique_ptr<Output>(new Output(path.empty() ? "standard output" : path, file));
  }
  ~Output() {
    if (file_ != stdout && file_ != nullptr) std::fclose(file_);
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
    const bool failed = file == stdout ? std::fflush(file) != 0 : std::fclose(file) != 0;
    if (failed) return errno_error(name_, errno);
    return {};
  }

 private:
  Output(std::string name, std::FILE* file) : name_(std::move(name)), file_(file) {}
  std::string name_;
  std::FILE* file_;
};

class JsonLinesWriter final : public VectorWriter {
 public:
  explicit JsonLinesWriter(std::unique_ptr<Output> output) : output_(std::move(output)) {}

  Status write(std::span<const std::string> texts, std::span<const float> vectors,
               std::uint32_t dimensions) override {
    std::string lines;
    for (std::size_t i = 0; i < texts.size(); ++i) {
      lines += "{\"text\": ";
      append_json_quoted(lines, texts[i]);
      lines += ", \"embedding\": [";
      append_floats(lines, vectors.subspan(i * dimensions, dimensions));
      lines += "]}\n";
    }
    return output_->write(lines.data(), lines.size());
  }
  Status finish() override { return output_->close(); }

 private:
  static void append_floats(std::string& out, std::span<const float> values) {
    char digits[32];
    for (std::size_t i = 0; i < values.size(); ++i) {
      if (i > 0) out += ", ";
      out.append(digits, std::to_chars(digits, digits + sizeof digits, values[i]).ptr);
    }
  }
  std::unique_ptr<Output> output_;
};

class NpyWriter final : public VectorWriter {
 public:
  explicit NpyWriter(std::unique_ptr<Output> output) : output_(std::move(output)) {}

  Status write(std::span<const std::string> texts, std::span<const float> vectors,
               std::uint32_t dimensions) override {
    if (rows_ == 0) {
      dimensions_ = dimensions;
      SHEAF_TRY(write_header());
    }
    rows_ += texts.size();
    return output_->write(vectors.data(), vectors.size_bytes());
  }
  Status finish() override {
    SHEAF_TRY(output_->rewind());
    SHEAF_TRY(write_header());
    return output_->close();
  }

 private:
  Status write_header() {
    const std::string header = npy_header(rows_, dimensions_);
    return output_->write(header.data(), header.size());
  }
  std::unique_ptr<Output> output_;
  std::uint64_t rows_ = 0;
  std::uint32_t dimensions_ = 0;
};

}  // namespace

std::string npy_header(std::uint64_t rows, std::uint32_t dimensions) {
  constexpr std::size_t kBytes = 128;
  constexpr std::string_view kMagic("\x93NUMPY\x01\x00", 8);
  std::string header(kMagic);
  const std::size_t text_bytes = kBytes - kMagic.size() - 2;
  header += static_cast<char>(text_bytes & 0xFF);
  header += static_cast<char>(text_bytes >> 8);
  header += fmt::format("{{'descr': '<f4', 'fortran_order': False, 'shape': ({}, {}), }}", rows,
                        dimensions);
  header.resize(kBytes - 1, ' ');
  return header + '\n';
}

Result<std::unique_ptr<VectorWriter>> make_json_lines_writer(const std::string& path) {
  SHEAF_ASSIGN(auto output, Output::open(path));
  return std::unique_ptr<VectorWriter>(std::make_unique<JsonLinesWriter>(std::move(output)));
}

Result<std::unique_ptr<VectorWriter>> make_npy_writer(const std::string& path) {
  SHEAF_ASSIGN(auto output, Output::open(path));
  return std::unique_ptr<VectorWriter>(std::make_unique<NpyWriter>(std::move(output)));
}

}  // namespace sheaf::cli
