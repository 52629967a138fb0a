#include "fleet/packing.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <iterator>
#include <nlohmann/json.hpp>
#include <sstream>

#include "base/mapping.h"

namespace sheaf::fleet {
namespace {

// Of what a child left in its control socket.
std::string read_error_line(int control) {
  std::string lines(4096, '\0');
  const ssize_t got = ::read(control, lines.data(), lines.size());
  lines.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
  return find_error(lines);
}

std::string describe_exit(const ExitStatus& status) {
  if (!status.by_signal) return "exit code " + std::to_string(status.value);
  return std::string("signal ") + ::sigabbrev_np(status.value);
}

std::vector<std::string> arguments_for(const PackSource& source) {
  std::vector<std::string> arguments = {
      "pack",       "--model",   source.folder,       "--pooling", source.pooling,     "--dtype",
      source.dtype, "--control", child_descriptor(0), "--weights", child_descriptor(1)};
  std::ranges::move(model::flags_of(source.shard), std::back_inserter(arguments));
  return arguments;
}

}  // namespace

Result<std::shared_ptr<Packing>> Packing::begin(const Loop& loop, const std::string& program,
                                                const std::vector<std::string>& environment,
                                                const PackSource& source, Done done) {
  SHEAF_ASSIGN(Fd weights, make_memfd("sheaf-weights", 0));
  SHEAF_ASSIGN(SocketPair control, make_socket_pair());
  SHEAF_ASSIGN(
      Process process,
      Process::spawn(
          {program, arguments_for(source), environment, {control.theirs.get(), weights.get()}}));
  auto packing = std::make_shared<Packing>(loop, std::move(process), std::move(control.ours),
                                           std::move(weights), std::move(done));
  packing->watch();
  return packing;
}

Packing::Packing(const Loop& loop, Process process, Fd control, Fd weights, Done done)
    : loop_(loop),
      process_(std::move(process)),
      exit_(loop.io, ::fcntl(process_.pidfd(), F_DUPFD_CLOEXEC, 0)),
      control_(std::move(control)),
      weights_(std::move(weights)),
      done_(std::move(done)) {}

void Packing::end_if_stopped() {
  if (process_.stopped()) process_.kill();
}

void Packing::cancel() {
  done_ = nullptr;
  boost::system::error_code ignored;
  exit_.close(ignored);
  process_.end();
}

void Packing::watch() {
  exit_.async_wait(boost::asio::posix::descriptor_base::wait_read,
                   loop_.handler(shared_from_this(), [this](auto error, std::size_t) {
                     if (!error && done_) std::exchange(done_, nullptr)(finish());
                   }));
}

Result<Fd> Packing::finish() {
  const auto status = process_.poll_exit();
  if (status && !status->by_signal && status->value == 0) {
    // Only now: sealing fails while the packer's writable mapping exists.
    SHEAF_TRY(seal_memfd(weights_.get()));
    return std::move(weights_);
  }
  const std::string said = read_error_line(control_.get());
  return Error{ErrorCode::internal,
               "packing the weights failed: " + (!said.empty() ? said
                                                 : status      ? describe_exit(*status)
                                                               : "no exit status")};
}

std::string find_error(const std::string& lines) {
  std::istringstream stream(lines);
  for (std::string line; std::getline(stream, line);) {
    const auto parsed = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
    if (!parsed.is_object()) continue;
    const auto error = parsed.find("error");
    if (error != parsed.end() && error->is_string()) return error->get<std::string>();
  }
  return {};
}

}  // namespace sheaf::fleet
