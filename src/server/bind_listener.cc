#include "server/bind_listener.h"

#include <fmt/format.h>

namespace sheaf::server {

using boost::system::error_code;

Status bind_listener(Acceptor& acceptor, const std::string& host, std::uint16_t port,
                     const std::string& flag) {
  error_code ec;
  tcp::resolver resolver(acceptor.get_executor());
  const auto found = resolver.resolve(host, std::to_string(port), tcp::resolver::passive, ec);
  if (ec || found.empty())
    return Error{ErrorCode::io, fmt::format("address {}: {}", host, ec.message())};
  const tcp::endpoint endpoint = found.begin()->endpoint();
  const auto step = [&](const char* what) {
    return Error{ErrorCode::io,
                 fmt::format("cannot {} {} port {}: {}", what, host, port, ec.message())};
  };
  if (acceptor.open(endpoint.protocol(), ec)) return step("open");
  if (acceptor.set_option(tcp::acceptor::reuse_address(true), ec)) return step("set up");
  if (acceptor.bind(endpoint, ec)) {
    Error error = step("bind");
    if (ec == asio::error::address_in_use) error.message += "; " + flag + " chooses another";
    return error;
  }
  return {};
}

}  // namespace sheaf::server
