#include "api/keys.h"

#include "api/http.h"

namespace sheaf::api {
namespace {

// No early exit: how long a comparison takes must not tell how much of a guess was right.
bool equal_in_constant_time(std::string_view secret, std::string_view guess) {
  unsigned difference = secret.size() == guess.size() ? 0 : 1;
  for (std::size_t i = 0; i < secret.size(); ++i) {
    const char c = guess.empty() ? '\0' : guess[i % guess.size()];
    difference |= static_cast<unsigned char>(secret[i] ^ c);
  }
  return difference == 0;
}

}  // namespace

std::optional<core::TenantId> tenant_of(const std::vector<std::string>& keys,
                                        std::string_view authorization) {
  if (keys.empty()) return core::TenantId{0};
  constexpr std::string_view kScheme = "Bearer ";
  if (equal_ignoring_case(authorization.substr(0, kScheme.size()), kScheme)) {
    authorization.remove_prefix(kScheme.size());
  }
  std::optional<core::TenantId> tenant;
  for (std::size_t i = 0; i < keys.size(); ++i)
    if (equal_in_constant_time(keys[i], authorization)) tenant = core::TenantId(i + 1);
  return tenant;
}

}  // namespace sheaf::api
