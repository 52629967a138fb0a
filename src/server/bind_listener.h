#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"
#include "server/asio_types.h"

namespace sheaf::server {

// Opens `acceptor` at an address or name; listening is left to the caller. Errors name both and,
// where another program has the port, `flag` ("--port"), which chooses another.
Status bind_listener(Acceptor& acceptor, const std::string& host, std::uint16_t port,
                     const std::string& flag);

}  // namespace sheaf::server
