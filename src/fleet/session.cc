#include "fleet/session.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <array>
#include <boost/asio/buffer.hpp>
#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>

#include "base/log.h"
#include "fleet/packing.h"

namespace sheaf::fleet {
namespace {

using boost::asio::posix::descriptor_base;
using boost::system::error_code;

constexpr std::size_t kMaxControlBytes = 16 << 10;
// How long a process may live on after its control socket has closed, from either end.
constexpr TimeUs kLeaveUs = 1'000'000;

int duplicate(int fd) { return ::fcntl(fd, F_DUPFD_CLOEXEC, 0); }

Error broken(std::string what) { return Error{ErrorCode::corrupt, std::move(what)}; }

std::vector<std::string> arguments_for(const SessionOptions& options) {
  std::string cores;
  for (const int cpu : options.slice.cpus)
    cores += (cores.empty() ? "" : ",") + std::to_string(cpu);
  std::vector<std::string> arguments = {"run",
                                        "--control",
                                        child_descriptor(0),
                                        "--weights",
                                        child_descriptor(1),
                                        "--channel",
                                        child_descriptor(2),
                                        "--event",
                                        child_descriptor(3),
                                        "--cores",
                                        cores,
                                        "--threads",
                                        std::to_string(options.slice.threads)};
  if (options.card_weights_fd >= 0)
    arguments.insert(arguments.end(), {"--card-weights", child_descriptor(4)});
  return arguments;
}

// Reads as read() does. A descriptor that comes along replaces `given`; of more than one in a
// message the kernel closes the others.
ssize_t read_with_descriptor(int socket, std::span<char> to, Fd& given) {
  iovec bytes = {to.data(), to.size()};
  alignas(cmsghdr) std::array<char, CMSG_LEN(sizeof(int))> room;  // not CMSG_SPACE: for one alone
  msghdr message{};
  message.msg_iov = &bytes;
  message.msg_iovlen = 1;
  message.msg_control = room.data();
  message.msg_controllen = room.size();
  const ssize_t got = ::recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
  const cmsghdr* const rights = got < 0 ? nullptr : CMSG_FIRSTHDR(&message);
  if (rights == nullptr || rights->cmsg_level != SOL_SOCKET || rights->cmsg_type != SCM_RIGHTS)
    return got;
  int descriptor = -1;
  std::memcpy(&descriptor, CMSG_DATA(rights), sizeof descriptor);
  given.reset(descriptor);
  return got;
}

// A member of a JSON object as a number within 1 .. max, or nothing.
std::optional<std::uint32_t> number_in(const nlohmann::json& object, const char* name,
                                       std::uint32_t max) {
  const auto member = object.find(name);
  if (member == object.end() || !member->is_number_unsigned()) return std::nullopt;
  const auto value = member->get<std::uint64_t>();
  if (value < 1 || value > max) return std::nullopt;
  return static_cast<std::uint32_t>(value);
}

std::string short_text_in(const nlohmann::json& object, const char* name) {
  const auto member = object.find(name);
  if (member == object.end() || !member->is_string()) return {};
  return member->get<std::string>().substr(0, 100);
}

}  // namespace

Result<std::shared_ptr<Session>> Session::start(const Loop& loop, SessionOptions options,
                                                Owner owner) {
  SHEAF_ASSIGN(channel::RouterEnd channel, channel::RouterEnd::create(options.limits));
  SHEAF_ASSIGN(SocketPair control, make_socket_pair());
  std::vector<int> descriptors = {control.theirs.get(), options.weights_fd, channel.memory_fd(),
                                  channel.event_fd()};
  if (options.card_weights_fd >= 0) descriptors.push_back(options.card_weights_fd);
  SHEAF_ASSIGN(Process process, Process::spawn({options.program, arguments_for(options),
                                                options.environment, std::move(descriptors)}));
  auto session =
      std::make_shared<Session>(loop, std::move(options), std::move(owner), std::move(process),
                                std::move(control.ours), std::move(channel));
  session->channel_.listen();
  session->wait_for_news();
  session->wait_for_control();
  session->wait_for_exit();
  return session;
}

Session::Session(const Loop& loop, SessionOptions options, Owner owner, Process process, Fd control,
                 channel::RouterEnd channel)
    : loop_(loop),
      options_(std::move(options)),
      owner_(std::move(owner)),
      process_(std::move(process)),
      channel_(std::move(channel)),
      news_(loop.io, duplicate(channel_.event_fd())),
      control_(loop.io, control.release()),
      exit_(loop.io, duplicate(process_.pidfd())) {}

// ---- what the router asks

void Session::stop() {
  error_code ignored;
  control_.close(ignored);
  leave_by_us_ = monotonic_us() + kLeaveUs;
}

void Session::kill() {
  killed_ = true;
  process_.kill();
}

void Session::lose_slice(const std::string& how) {
  slice_lost_ = fmt::format("{} {}", options_.slice.name, how);
  kill();
}

bool Session::submit(BatchId batch, std::span<const BatchItem> items) {
  if (!ready_ || open_.contains(batch)) return false;
  const auto taken = channel_.submit(batch, items);
  if (!taken.ok() && taken.error().code == ErrorCode::invalid_argument) {
    log(LogLevel::error, "{}", taken.error().message);  // ours, not the replica's fault
    return false;
  }
  if (!taken.ok() || !*taken) {
    violate(taken.ok() ? "its submit ring is full" : taken.error().message);
    return false;
  }
  OpenBatch open{static_cast<std::uint32_t>(items.size()), false, {}};
  open.items.reserve(items.size());
  for (const BatchItem& item : items)
    open.items.push_back({static_cast<std::uint32_t>(item.ids.size()), item.output});
  open_.emplace(batch, std::move(open));
  return true;
}

void Session::cancel(BatchId batch) {
  const auto found = open_.find(batch);
  if (found == open_.end()) return;
  found->second.cancelled = true;
  // Where there is no room the batch merely runs for nobody.
  if (const auto sent = channel_.cancel(batch); !sent.ok()) violate(sent.error().message);
}

void Session::sample(TimeUs now_us) {
  if (leave_by_us_ != 0 && now_us >= leave_by_us_) kill();
  const bool stopped = process_.stopped();
  if (!stopped && !(ready_ && busy())) return;  // one that is stopped never gets ready either
  owner_.listener.replica_progress(
      replica(), incarnation(),
      {channel_.progress(), process_.cpu_us(), stopped, process_.starved_us()});
}

void Session::abandon() {
  ended_ = true;
  error_code ignored;
  news_.close(ignored);
  control_.close(ignored);
  exit_.close(ignored);
  process_.end();
}

// ---- what comes from the process

void Session::wait_for_news() {
  news_.async_read_some(boost::asio::buffer(&news_count_, sizeof news_count_),
                        loop_.handler(shared_from_this(), [this](error_code error, std::size_t) {
                          if (error || ended_) return;
                          take_news();
                          if (!ended_) wait_for_news();
                        }));
}

void Session::wait_for_control() {
  // Read here and not by the event loop, where bytes already read could wait for the mutex behind
  // the exit that they explain.
  control_.async_wait(descriptor_base::wait_read,
                      loop_.handler(shared_from_this(), [this](error_code error, std::size_t) {
                        if (error || ended_ || !control_.is_open()) return;
                        const bool open = read_control();
                        take_control();
                        // Where it closed: it is about to exit, or pretends to be.
                        if (!open) leave_by_us_ = monotonic_us() + kLeaveUs;
                        if (open && violation_.empty() && control_.is_open()) wait_for_control();
                      }));
}

// Adds what the socket holds; false where it has ended.
bool Session::read_control() {
  std::array<char, 1024> bytes;
  while (control_lines_.size() <= kMaxControlBytes) {
    const ssize_t got = read_with_descriptor(control_.native_handle(), bytes, given_);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && errno == EAGAIN) return true;
    if (got <= 0) return false;
    control_lines_.append(bytes.data(), static_cast<std::size_t>(got));
  }
  return true;
}

void Session::wait_for_exit() {
  exit_.async_wait(descriptor_base::wait_read,
                   loop_.handler(shared_from_this(), [this](error_code error, std::size_t) {
                     if (!error && !ended_) take_exit();
                   }));
}

void Session::take_news() {
  while (violation_.empty()) {
    const auto received = channel_.receive();
    if (!received.ok()) return violate(received.error().message);
    Status status;
    if (const auto* rows = std::get_if<channel::Rows>(&*received)) {
      status = take_rows(*rows);
    } else if (const auto* final = std::get_if<channel::Final>(&*received)) {
      status = take_final(*final);
    } else if (channel_.listen()) {
      return;
    }
    if (!status.ok()) return violate(status.error().message);
  }
}

Status Session::take_rows(const channel::Rows& rows) {
  const auto found = open_.find(rows.batch);
  if (found == open_.end()) return broken(fmt::format("rows of batch {}, not open", rows.batch));
  OpenBatch& batch = found->second;
  const std::uint64_t end = std::uint64_t{rows.first_item} + rows.items;
  if (end > batch.items.size())
    return broken(
        fmt::format("rows {} to {} of a batch of {}", rows.first_item, end, batch.items.size()));
  if (row_open_ && (rows.batch != row_batch_ || rows.first_item != row_item_ || rows.items != 1))
    return broken(
        fmt::format("rows {} to {} while row {} is not complete", rows.first_item, end, row_item_));
  const OpenItem& first = batch.items[rows.first_item];
  // Only vectors are passed on from where the replica might still change them.
  if (!row_open_ && !rows.more && first.output == channel::Output::vector)
    return take_whole_rows(batch, rows);
  if (rows.items != 1) return broken(fmt::format("{} rows of varying length at once", rows.items));
  SHEAF_TRY(take_part(first, rows));
  if (row_open_) return {};
  channel::Rows whole = rows;
  whole.stride = static_cast<std::uint32_t>(row_.size());
  whole.values = row_;
  if (first.output == channel::Output::sparse && !channel::are_terms(options_.limits, row_))
    return broken(fmt::format("row {} holds terms outside the vocabulary", rows.first_item));
  return take_whole_rows(batch, whole);
}

Status Session::take_part(const OpenItem& item, const channel::Rows& rows) {
  if (!row_open_) row_.clear();
  const std::uint64_t most = channel::longest_row(options_.limits, item.output, item.tokens);
  if (row_.size() + rows.values.size() > most)
    return broken(fmt::format("row {} has more than {} floats", rows.first_item, most));
  row_.insert(row_.end(), rows.values.begin(), rows.values.end());
  row_open_ = rows.more;
  row_batch_ = rows.batch;
  row_item_ = rows.first_item;
  return {};
}

Status Session::take_whole_rows(OpenBatch& batch, const channel::Rows& rows) {
  for (std::uint32_t i = rows.first_item; i < rows.first_item + rows.items; ++i) {
    OpenItem& item = batch.items[i];
    if (item.reported) return broken(fmt::format("row {} of a batch twice", i));
    if (rows.items > 1 && item.output != channel::Output::vector)
      return broken(fmt::format("row {}, no vector, among others", i));
    if (!channel::is_row(options_.limits, item.output, item.tokens, rows.stride))
      return broken(fmt::format("row {} of {} floats answers no text of {} tokens", i, rows.stride,
                                item.tokens));
    item.reported = true;
  }
  batch.unreported -= rows.items;
  owner_.listener.replica_rows(replica(), incarnation(), rows);
  return {};
}

Status Session::take_final(const channel::Final& final) {
  const auto found = open_.find(final.batch);
  if (found == open_.end()) return broken(fmt::format("end of batch {}, not open", final.batch));
  const OpenBatch& batch = found->second;
  if (row_open_) return broken(fmt::format("end of a batch within its row {}", row_item_));
  if (batch.unreported > 0 && !batch.cancelled && !final.failure)
    return broken(fmt::format("end of a batch with {} rows missing", batch.unreported));
  open_.erase(found);
  owner_.listener.replica_batch_end(
      replica(), incarnation(),
      {final.batch, final.compute_us, final.failure ? &*final.failure : nullptr});
  return {};
}

void Session::take_control() {
  if (control_lines_.size() > kMaxControlBytes) return violate("it floods its control socket");
  const std::size_t end = control_lines_.find('\n');
  if (end == std::string::npos) return;
  if (said_.empty()) said_ = find_error(control_lines_);
  if (ready_ || !said_.empty()) return;
  const Status status = take_hello(control_lines_.substr(0, end));
  if (!status.ok()) violate(status.error().message);
}

Status Session::take_hello(const std::string& line) {
  const auto hello = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
  if (!hello.is_object()) return broken("its first line is no JSON object");
  const auto tokens = number_in(hello, "max_batch_tokens", options_.limits.max_batch_tokens);
  const auto items = number_in(hello, "max_batch_items", options_.limits.max_batch_items);
  if (!tokens || !items) return broken("its first line has no limits within the channel's");
  ready_ = true;
  owner_.ready(*this, std::move(given_));
  owner_.listener.replica_ready(
      replica(), incarnation(),
      {short_text_in(hello, "device"), short_text_in(hello, "dtype"), {*tokens, *items}});
  return {};
}

void Session::take_exit() {
  // Results that were written before the end are as good as any.
  take_news();
  const auto status = process_.poll_exit();
  if (!status) return wait_for_exit();
  ended_ = true;
  error_code ignored;
  // Its last words, if the exit was seen before them.
  if (said_.empty() && control_.is_open()) {
    read_control();
    said_ = find_error(control_lines_);
  }
  news_.close(ignored);
  control_.close(ignored);
  exit_.close(ignored);
  owner_.ended(*this);
  const core::ExitReport report = exit_report(*status);
  owner_.listener.replica_exit(replica(), incarnation(), report);
}

core::ExitReport Session::exit_report(const ExitStatus& status) {
  using Kind = core::ExitReport::Kind;
  core::ExitReport report;
  if (!slice_lost_.empty()) return {Kind::slice_lost, 0, false, slice_lost_};
  if (!violation_.empty()) {
    report.kind = Kind::protocol_error;
    report.detail = violation_;
    return report;
  }
  report.kind = status.by_signal ? Kind::signal : Kind::exit_code;
  report.value = status.value;
  const bool by_kernel =
      status.by_signal && status.value == SIGKILL && !killed_ && owner_.oom.claim();
  report.out_of_memory =
      by_kernel || (!status.by_signal && status.value == channel::kExitWithoutRoom);
  report.detail = said_;
  return report;
}

void Session::violate(const std::string& what) {
  if (!violation_.empty()) return;
  violation_ = what.empty() ? "protocol error" : what;
  kill();
}

}  // namespace sheaf::fleet
