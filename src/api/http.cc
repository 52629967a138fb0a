#include "api/http.h"

#include <algorithm>

namespace sheaf::api {
namespace {

char lower(char c) { return c >= 'A' && c <= 'Z' ? char(c + ('a' - 'A')) : c; }

}  // namespace

bool equal_ignoring_case(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](char x, char y) { return lower(x) == lower(y); });
}

std::string_view HttpRequest::header(std::string_view name) const {
  for (const Header& header : headers) {
    if (equal_ignoring_case(header.name, name)) return header.value;
  }
  return {};
}

void HttpResponse::add_header(std::string_view name, std::string_view value) {
  headers.append(name).append(": ");
  const std::size_t start = headers.size();
  headers.append(value);
  std::replace_if(
      headers.begin() + std::ptrdiff_t(start), headers.end(),
      [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }, ' ');
  headers.append("\r\n");
}

}  // namespace sheaf::api
