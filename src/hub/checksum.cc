#include "hub/checksum.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <openssl/evp.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <vector>

#include "base/fd.h"
#include "base/mapping.h"

namespace sheaf::hub {
namespace {

constexpr std::size_t kBlockBytes = 1 << 20;

std::string to_hex(const unsigned char* bytes, unsigned size) {
  std::string out;
  for (unsigned i = 0; i < size; ++i) out += fmt::format("{:02x}", bytes[i]);
  return out;
}

}  // namespace

Result<std::string> digest_file(const std::string& path, Digest digest) {
  const Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return errno_error(path, errno);
  SHEAF_ASSIGN(const std::size_t size, file_size(fd.get()));

  const std::unique_ptr<EVP_MD_CTX, void (*)(EVP_MD_CTX*)> context(EVP_MD_CTX_new(),
                                                                   EVP_MD_CTX_free);
  const EVP_MD* kind = digest == Digest::sha256 ? EVP_sha256() : EVP_sha1();
  bool fine = context && EVP_DigestInit_ex(context.get(), kind, nullptr) == 1;
  if (digest == Digest::git_blob_sha1) {
    const std::string header = fmt::format("blob {}", size);
    fine = fine && EVP_DigestUpdate(context.get(), header.c_str(), header.size() + 1) == 1;
  }
  std::vector<char> block(kBlockBytes);
  while (fine) {
    const ssize_t n = ::read(fd.get(), block.data(), block.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return errno_error(path, errno);
    if (n == 0) break;
    fine = EVP_DigestUpdate(context.get(), block.data(), static_cast<std::size_t>(n)) == 1;
  }
  unsigned char out[EVP_MAX_MD_SIZE];
  unsigned out_size = 0;
  fine = fine && EVP_DigestFinal_ex(context.get(), out, &out_size) == 1;
  if (!fine) return Error{ErrorCode::internal, "libcrypto cannot compute a digest of " + path};
  return to_hex(out, out_size);
}

}  // namespace sheaf::hub
