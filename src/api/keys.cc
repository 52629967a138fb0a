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

bool authorized(const std::vector<std::string>& keys, std::string_view authorization) {
  if (keys.empty()) return true;
  constexpr std::string_view kScheme = "Bearer ";
  if (equal_ignoring_case(authorization.substr(0, kScheme.size()), kScheme)) {
    authorization.remove_prefix(kScheme.size());
  }
  bool found = false;
  for (const std::string& key : keys) found |= equal_in_constant_time(key, authorization);
  return found;
}

}  // namespace sheaf::api
