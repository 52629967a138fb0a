#include "hub/download.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstdio>

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/mapping.h"
#include "base/text.h"

namespace sheaf::hub {
namespace {

constexpr int kMaxRedirects = 8;
// An attempt that brought this much was no failure: a long download over a bad line ends.
constexpr std::uint64_t kProgressBytes = 1 << 20;
constexpr TimeUs kProgressIntervalUs = 100'000;

// The file that collects bytes until it is whole.
class PartialFile {
 public:
  static Result<PartialFile> open(const std::string& path) {
    Fd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644));
    if (!fd) return errno_error(path, errno);
    SHEAF_ASSIGN(const std::size_t size, file_size(fd.get()));
    return PartialFile(path, std::move(fd), size);
  }

  std::uint64_t size() const { return size_; }
  const std::string& path() const { return path_; }

  Status append(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t n = ::pwrite(fd_.get(), bytes.data(), bytes.size(), static_cast<off_t>(size_));
      if (n < 0 && errno == EINTR) continue;
      if (n < 0)
        return errno_error(fmt::format("{} after {}", path_, human_bytes(double(size_))), errno);
      size_ += static_cast<std::uint64_t>(n);
      bytes.remove_prefix(static_cast<std::size_t>(n));
    }
    return {};
  }

  Status start_over() {
    if (::ftruncate(fd_.get(), 0) != 0) return errno_error(path_, errno);
    size_ = 0;
    return {};
  }

  // Bytes first, name second: after a power cut the target is whole or absent.
  Status become(const std::string& target) {
    if (::fdatasync(fd_.get()) != 0) return errno_error(path_, errno);
    if (std::rename(path_.c_str(), target.c_str()) != 0) return errno_error(target, errno);
    return {};
  }

 private:
  PartialFile(std::string path, Fd fd, std::uint64_t size)
      : path_(std::move(path)), fd_(std::move(fd)), size_(size) {}
  std::string path_;
  Fd fd_;
  std::uint64_t size_;
};

// First byte of "bytes 100-199/200".
std::optional<std::uint64_t> content_range_start(std::string_view text) {
  if (!text.starts_with("bytes ")) return std::nullopt;
  text.remove_prefix(6);
  std::uint64_t start = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), start);
  if (error != std::errc() || end == text.data() + text.size() || *end != '-') return std::nullopt;
  return start;
}

class Transfer {
 public:
  Transfer(HttpClient& client, const Download& download, const DownloadOptions& options,
           const ProgressCallback& progress, PartialFile& partial)
      : client_(client),
        download_(download),
        options_(options),
        progress_(progress),
        partial_(partial) {}

  // All bytes into the partial file, however many attempts that takes.
  Status fetch_all() {
    // Without a known size nothing would show that an old beginning belongs to another file.
    if (!download_.bytes || partial_.size() > *download_.bytes) SHEAF_TRY(partial_.start_over());
    Backoff backoff(options_.retry);
    while (!is_whole()) {
      const std::uint64_t before = partial_.size();
      auto response = fetch_once();
      if (!response.ok() && response.error().code != ErrorCode::unavailable)
        return response.error();
      if (response.ok() && response->succeeded() && !download_.bytes) break;
      if (is_whole()) break;
      if (response.ok() && response->status == 416) SHEAF_TRY(partial_.start_over());
      if (response.ok() && is_refusal(*response)) return failure(response);
      if (partial_.size() >= before + kProgressBytes) backoff.reset();
      if (!backoff.wait(response.ok() ? &*response : nullptr)) return failure(response);
      log(LogLevel::debug, "{}: trying again from byte {}", download_.file, partial_.size());
    }
    report(true);
    return {};
  }

 private:
  bool is_whole() const { return download_.bytes && partial_.size() == *download_.bytes; }

  static bool is_refusal(const HttpResponse& response) {
    return !response.is_transient() && response.status != 416 && !response.succeeded();
  }

  // One GET from where the partial file ends. Redirects are followed from the hub's own address
  // each time, since addresses of content networks expire.
  Result<HttpResponse> fetch_once() {
    HttpRequest request;
    request.url = download_.url;
    request.first_byte = partial_.size();
    request.stall_timeout_s = options_.stall_timeout_s;
    bool first = true;
    const BodySink sink = [&](const HttpResponse& response, std::string_view bytes) -> Status {
      if (std::exchange(first, false)) SHEAF_TRY(begin(response, request.first_byte));
      return take(bytes);
    };
    for (int hops = 0; hops <= kMaxRedirects; ++hops) {
      SHEAF_ASSIGN(HttpResponse response, client_.send(request, sink));
      const auto location = response.header("location");
      if (response.status < 300 || response.status >= 400 || location.empty()) return response;
      SHEAF_ASSIGN(request.url, resolve_url(request.url, std::string(location)));
    }
    return Error{ErrorCode::io,
                 fmt::format("{}: more than {} redirects", download_.url, kMaxRedirects)};
  }

  // A server may ignore the range (200: everything comes again) but not answer another one.
  Status begin(const HttpResponse& response, std::uint64_t asked) {
    if (asked == 0) return {};
    if (response.status != 206) return partial_.start_over();
    const auto start = content_range_start(response.header("content-range"));
    if (start == asked) return {};
    return Error{ErrorCode::corrupt,
                 fmt::format("{}: asked for the bytes from {}, the server sends '{}'",
                             download_.file, asked, response.header("content-range"))};
  }

  Status take(std::string_view bytes) {
    if (download_.bytes && partial_.size() + bytes.size() > *download_.bytes)
      return Error{ErrorCode::corrupt,
                   fmt::format("{}: the server sends more than the {} bytes it announced",
                               download_.file, *download_.bytes)};
    SHEAF_TRY(partial_.append(bytes));
    report(false);
    return {};
  }

  void report(bool last) {
    if (!progress_) return;
    const TimeUs now = monotonic_us();
    if (!last && now - reported_us_ < kProgressIntervalUs) return;
    reported_us_ = now;
    progress_({download_.file, partial_.size(), download_.bytes.value_or(partial_.size())});
  }

  Error failure(const Result<HttpResponse>& response) const {
    const std::string have =
        fmt::format("{} of {} bytes arrived and are kept", partial_.size(),
                    download_.bytes ? std::to_string(*download_.bytes) : "an unknown number of");
    if (!response.ok())
      return {ErrorCode::unavailable,
              fmt::format("{}: {}; {}", download_.file, response.error().message, have)};
    if (response->status >= 400)
      return {ErrorCode::io, fmt::format("{}: {} answers {}; {}", download_.file,
                                         origin_of(download_.url), response->status, have)};
    return {ErrorCode::io,
            fmt::format("{}: the transfer broke off ({}); {}", download_.file,
                        response->broken.empty() ? "it ended early" : response->broken, have)};
  }

  HttpClient& client_;
  const Download& download_;
  const DownloadOptions& options_;
  const ProgressCallback& progress_;
  PartialFile& partial_;
  TimeUs reported_us_ = 0;
};

Status check(const Download& download, const PartialFile& partial) {
  if (!download.checksum) return {};
  SHEAF_ASSIGN(const std::string actual, digest_file(partial.path(), download.checksum->digest));
  if (actual == download.checksum->hex) return {};
  return Error{ErrorCode::corrupt,
               fmt::format("{}: wrong checksum: {} arrived, the hub announced {}", download.file,
                           actual, download.checksum->hex)};
}

}  // namespace

Status run_download(HttpClient& client, const Download& download, const DownloadOptions& options,
                    const ProgressCallback& progress) {
  SHEAF_ASSIGN(PartialFile partial, PartialFile::open(download.partial));
  const bool resumed = partial.size() > 0;
  Transfer transfer(client, download, options, progress, partial);
  SHEAF_TRY(transfer.fetch_all());
  Status status = check(download, partial);
  if (!status.ok()) SHEAF_TRY(partial.start_over());
  // The old beginning may have been bad; a fresh and whole transfer that fails the check is the
  // server's fault.
  if (!status.ok() && resumed) {
    SHEAF_TRY(transfer.fetch_all());
    status = check(download, partial);
    if (!status.ok()) SHEAF_TRY(partial.start_over());
  }
  SHEAF_TRY(std::move(status));
  return partial.become(download.target);
}

}  // namespace sheaf::hub
