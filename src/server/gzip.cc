#include "server/gzip.h"

#include <fmt/format.h>
#include <zlib.h>

#include <algorithm>

namespace sheaf::server {
namespace {

constexpr int kGzipWindowBits = 15 + 16;  // the largest window, gzip header asked for

// Owns zlib's state for one stream.
class Inflater {
 public:
  Inflater() { ok_ = inflateInit2(&stream_, kGzipWindowBits) == Z_OK; }
  ~Inflater() {
    if (ok_) inflateEnd(&stream_);
  }
  Inflater(const Inflater&) = delete;
  Inflater& operator=(const Inflater&) = delete;
  bool ok() const { return ok_; }
  z_stream& stream() { return stream_; }

 private:
  z_stream stream_{};
  bool ok_ = false;
};

// Room for the next piece of output, one byte beyond the limit so that passing it is seen.
void grow(std::string& out, std::size_t used, std::size_t bytes_max) {
  if (used == out.size()) {
    out.resize(std::min(bytes_max + 1, std::max<std::size_t>(4096, out.size() * 2)));
  }
}

}  // namespace

Result<std::string> gunzip(std::string_view compressed, std::size_t bytes_max) {
  Inflater inflater;
  if (!inflater.ok()) return Error{ErrorCode::internal, "zlib did not start"};
  z_stream& stream = inflater.stream();
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(compressed.data()));
  stream.avail_in = uInt(compressed.size());
  std::string out;
  std::size_t used = 0;
  for (;;) {
    grow(out, used, bytes_max);
    stream.next_out = reinterpret_cast<Bytef*>(out.data() + used);
    stream.avail_out = uInt(out.size() - used);
    const int code = inflate(&stream, Z_NO_FLUSH);
    used = out.size() - stream.avail_out;
    if (used > bytes_max) {
      return Error{ErrorCode::too_large,
                   fmt::format("the body is larger than {} bytes once decompressed", bytes_max)};
    }
    if (code == Z_STREAM_END && stream.avail_in == 0) break;
    if (code == Z_STREAM_END) {
      inflateReset(&stream);
    } else if (code != Z_OK) {
      return Error{ErrorCode::invalid_argument, "the body is not a whole gzip stream"};
    }
  }
  out.resize(used);
  return out;
}

}  // namespace sheaf::server
