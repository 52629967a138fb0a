#include "fleet/session.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
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

std::vector<std::string> arguments_for(const slices::Slice& slice) {
  std::string cores;
  for (const int cpu : slice.cpus) cores += (cores.empty() ? "" : ",") + std::to_string(cpu);
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
                                        std::to_string(slice.threads)};
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

Session::Member::Member(const Loop& loop, std::size_t rank_in, Process process_in, Fd control_in)
    : rank(rank_in),
      process(std::move(process_in)),
      control(loop.io, control_in.release()),
      exit(loop.io, duplicate(process.pidfd())) {}

Result<std::shared_ptr<Session>> Session::start(const Loop& loop, SessionOptions options,
                                                Owner owner) {
  SHEAF_ASSIGN(channel::RouterEnd channel, channel::RouterEnd::create(options.limits));
  auto session =
      std::make_shared<Session>(loop, std::move(options), std::move(owner), std::move(channel));
  SHEAF_TRY(session->spawn_all());
  session->channel_.listen();
  session->wait_for_news();
  for (const auto& member : session->members_) {
    session->wait_for_control(*member);
    session->wait_for_exit(*member);
  }
  return session;
}

Session::Session(const Loop& loop, SessionOptions options, Owner owner, channel::RouterEnd channel)
    : loop_(loop),
      options_(std::move(options)),
      owner_(std::move(owner)),
      channel_(std::move(channel)),
      news_(loop.io, duplicate(channel_.event_fd())) {}

// Those that were started before one cannot be are ended with the session. What ranks share they
// size themselves.
Status Session::spawn_all() {
  Fd group;
  if (options_.ranks.size() > 1) {
    SHEAF_ASSIGN(group, make_memfd("sheaf-ranks", 0));
  }
  for (std::size_t rank = 0; rank < options_.ranks.size(); ++rank)
    SHEAF_TRY(spawn(rank, group.get()));
  return {};
}

Status Session::spawn(std::size_t rank, int group_fd) {
  const RankOptions& options = options_.ranks[rank];
  SHEAF_ASSIGN(SocketPair control, make_socket_pair());
  std::vector<std::string> environment = options_.environment;
  environment.insert(environment.end(), options.slice.environment.begin(),
                     options.slice.environment.end());
  std::vector<int> descriptors = {control.theirs.get(), options.weights_fd, channel_.memory_fd(),
                                  channel_.event_fd()};
  std::vector<std::string> arguments = arguments_for(options.slice);
  const auto pass = [&](const char* flag, int descriptor) {
    const auto place = static_cast<int>(descriptors.size());
    arguments.insert(arguments.end(), {flag, child_descriptor(place)});
    descriptors.push_back(descriptor);
  };
  if (options_.streams > 1)
    arguments.insert(arguments.end(), {"--streams", std::to_string(options_.streams)});
  if (options.card_weights_fd >= 0) pass("--card-weights", options.card_weights_fd);
  if (group_fd >= 0) {
    pass("--group", group_fd);
    arguments.insert(arguments.end(), {"--rank", std::to_string(rank), "--ranks",
                                       std::to_string(options_.ranks.size())});
  }
  SHEAF_ASSIGN(Process process, Process::spawn({options_.program, std::move(arguments),
                                                std::move(environment), std::move(descriptors)}));
  members_.push_back(
      std::make_unique<Member>(loop_, rank, std::move(process), std::move(control.ours)));
  return {};
}

// ---- what the router asks

std::vector<int> Session::pids() const {
  std::vector<int> running;
  for (const auto& member : members_)
    if (!member->end) running.push_back(member->process.pid());
  return running;
}

void Session::stop() {
  close_controls();
  leave_by_us_ = monotonic_us() + kLeaveUs;
}

void Session::kill() {
  killed_ = true;
  kill_all();
}

void Session::kill_all() {
  for (const auto& member : members_) member->process.kill();
}

void Session::close_controls() {
  error_code ignored;
  for (const auto& member : members_) member->control.close(ignored);
}

void Session::lose_slice(const std::string& how) {
  slice_lost_ = how;
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
  if (first_to_end_ != nullptr) return;  // the others follow
  const bool stopped =
      std::ranges::any_of(members_, [](const auto& member) { return member->process.stopped(); });
  if (!stopped && !(ready_ && busy())) return;  // one that is stopped never gets ready either
  core::ProgressSample sample = {channel_.progress(), 0, stopped, 0};
  for (const auto& member : members_) {  // which all raise the one counter
    sample.cpu_us += member->process.cpu_us();
    sample.starved_us += member->process.starved_us();
  }
  owner_.listener.replica_progress(replica(), incarnation(), sample);
}

void Session::abandon() {
  ended_ = true;
  error_code ignored;
  news_.close(ignored);
  close_controls();
  kill_all();
  for (const auto& member : members_) {
    member->exit.close(ignored);
    member->process.end();
  }
}

// ---- what comes from the processes

void Session::wait_for_news() {
  news_.async_read_some(boost::asio::buffer(&news_count_, sizeof news_count_),
                        loop_.handler(shared_from_this(), [this](error_code error, std::size_t) {
                          if (error || ended_) return;
                          take_news();
                          if (!ended_) wait_for_news();
                        }));
}

void Session::wait_for_control(Member& member) {
  // Read here and not by the event loop, where bytes already read could wait for the mutex behind
  // the exit that they explain.
  member.control.async_wait(
      descriptor_base::wait_read,
      loop_.handler(shared_from_this(), [this, &member](error_code error, std::size_t) {
        if (error || ended_ || !member.control.is_open()) return;
        const bool open = read_control(member);
        take_control(member);
        // Where it closed: it is about to exit, or pretends to be.
        if (!open) leave_by_us_ = monotonic_us() + kLeaveUs;
        if (open && violation_.empty() && member.control.is_open()) wait_for_control(member);
      }));
}

// Adds what the socket holds; false where it has ended.
bool Session::read_control(Member& member) {
  std::array<char, 1024> bytes;
  while (member.control_lines.size() <= kMaxControlBytes) {
    const ssize_t got = read_with_descriptor(member.control.native_handle(), bytes, member.given);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && errno == EAGAIN) return true;
    if (got <= 0) return false;
    member.control_lines.append(bytes.data(), static_cast<std::size_t>(got));
  }
  return true;
}

void Session::wait_for_exit(Member& member) {
  member.exit.async_wait(
      descriptor_base::wait_read,
      loop_.handler(shared_from_this(), [this, &member](error_code error, std::size_t) {
        if (!error && !ended_) take_exit(member);
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

// The first rank's first line says that all are ready.
void Session::take_control(Member& member) {
  if (member.control_lines.size() > kMaxControlBytes)
    return violate("it floods its control socket");
  const std::size_t end = member.control_lines.find('\n');
  if (end == std::string::npos) return;
  if (member.said.empty()) member.said = find_error(member.control_lines);
  if (ready_ || !member.said.empty() || member.rank != 0) return;
  const Status status = take_hello(member.control_lines.substr(0, end));
  if (!status.ok()) violate(status.error().message);
}

Status Session::take_hello(const std::string& line) {
  const auto hello = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
  if (!hello.is_object()) return broken("its first line is no JSON object");
  const auto tokens = number_in(hello, "max_batch_tokens", options_.limits.max_batch_tokens);
  const auto items = number_in(hello, "max_batch_items", options_.limits.max_batch_items);
  if (!tokens || !items) return broken("its first line has no limits within the channel's");
  const auto lanes = number_in(hello, "lanes", options_.streams);
  if (!lanes) return broken("its first line has no lanes, or more than it was to have");
  ready_ = true;
  std::vector<Fd> given;
  for (const auto& member : members_) {
    // Others that have one to give said so before the first was ready, perhaps unheard so far.
    if (member->rank != 0 && member->control.is_open()) read_control(*member);
    given.push_back(std::move(member->given));
  }
  owner_.ready(*this, std::move(given));
  owner_.listener.replica_ready(
      replica(), incarnation(),
      {short_text_in(hello, "device"), short_text_in(hello, "dtype"), {*tokens, *items, *lanes}});
  return {};
}

void Session::take_exit(Member& member) {
  // Results that were written before the end are as good as any.
  take_news();
  member.end = member.process.poll_exit();
  if (!member.end) return wait_for_exit(member);
  // Its last words, if the exit was seen before them.
  if (member.said.empty() && member.control.is_open()) {
    read_control(member);
    member.said = find_error(member.control_lines);
  }
  if (began(member)) first_to_end_ = &member;
  error_code ignored;
  member.control.close(ignored);
  member.exit.close(ignored);
  kill_all();
  if (std::ranges::all_of(members_, [](const auto& one) { return one->end.has_value(); })) end();
}

// Whether the group ends because of this one, as far as is known: not one that ended after another,
// or that was killed then.
bool Session::began(const Member& member) const {
  if (first_to_end_ == nullptr) return true;
  const auto after_another = [](const ExitStatus& end) {
    return !end.by_signal && end.value == channel::kExitAfterAnother;
  };
  const bool was_killed = member.end->by_signal && member.end->value == SIGKILL;
  return after_another(*first_to_end_->end) && !was_killed && !after_another(*member.end);
}

void Session::end() {
  ended_ = true;
  error_code ignored;
  news_.close(ignored);
  owner_.ended(*this);
  const core::ExitReport report = exit_report();
  owner_.listener.replica_exit(replica(), incarnation(), report);
}

core::ExitReport Session::exit_report() {
  using Kind = core::ExitReport::Kind;
  core::ExitReport report;
  if (!slice_lost_.empty()) return {Kind::slice_lost, 0, false, slice_lost_};
  if (!violation_.empty()) {
    report.kind = Kind::protocol_error;
    report.detail = violation_;
    return report;
  }
  const ExitStatus& status = *first_to_end_->end;
  report.kind = status.by_signal ? Kind::signal : Kind::exit_code;
  report.value = status.value;
  const bool by_kernel =
      status.by_signal && status.value == SIGKILL && !killed_ && owner_.oom.claim();
  report.out_of_memory =
      by_kernel || (!status.by_signal && status.value == channel::kExitWithoutRoom);
  report.detail = first_to_end_->said;
  if (members_.size() > 1) {
    const std::string who = text_of(options_.ranks[first_to_end_->rank].shard);
    report.detail = report.detail.empty() ? who : who + ": " + report.detail;
  }
  return report;
}

void Session::violate(const std::string& what) {
  if (!violation_.empty()) return;
  violation_ = what.empty() ? "protocol error" : what;
  kill();
}

}  // namespace sheaf::fleet
