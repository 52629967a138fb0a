#pragma once

#include <boost/asio/io_context.hpp>
#include <memory>
#include <optional>
#include <string>

#include "cli/http_client.h"
#include "cli/top_report.h"
#include "slices/sampler.h"
#include "slices/slice.h"

namespace sheaf::cli {

struct TopSourceOptions {
  ServerAddress server;
  std::string api_key;
  TimeUs interval_us = kSecond;
};

// Looks at the machine's cards and cores, and at a server, again and again: rates are from one look
// to the next. One thread; cards are read by threads of the sampler's.
class TopSource {
 public:
  static Result<std::unique_ptr<TopSource>> create(TopSourceOptions options);

  // Waits for the server, a second at most, but not for cards.
  TopReport look();
  // Until each card was read so often or fails to be; false if the time was over before.
  bool wait_for_cards(unsigned readings, TimeUs timeout_us) const;

 private:
  TopSource(TopSourceOptions options, const slices::Machine& machine);
  Result<FleetReport> ask_server();

  const TopSourceOptions options_;
  slices::Sampler sampler_;
  boost::asio::io_context io_{1};
  HttpConnection connection_;
  TopInput input_;
};

// On this machine, as far as its name tells: a loopback address.
bool is_here(const ServerAddress& address);

// MemTotal and MemAvailable of /proc/meminfo's text, in bytes; 0 where it does not tell. Exposed
// for its test.
struct MachineMemory {
  std::uint64_t total_bytes = 0, available_bytes = 0;
};
MachineMemory parse_meminfo(const std::string& text);

}  // namespace sheaf::cli
