#include "slices/lease_clerk.h"

#include <fmt/format.h>

#include <chrono>
#include <memory>
#include <utility>

#include "slices/lease_table.h"

namespace sheaf::slices {
namespace {

constexpr std::size_t kErrandsMax = 256;
constexpr auto kErrandPause = std::chrono::milliseconds(20);

// A request on its way to a lease.
struct Quest {
  LeaseRequest request;
  std::function<void(Result<Lease>)> done;
  LeaseTableWatch watch;  // while it waits
  std::int64_t started_ms = boot_ms();

  bool is_late() const { return boot_ms() - started_ms >= request.wait_ms; }
};

Error out_of_time(const Quest& quest, const std::string& why) {
  return {ErrorCode::deadline_exceeded,
          fmt::format("waited {} ms for {}: {}", boot_ms() - quest.started_ms,
                      describe(quest.request.need), why)};
}

// Whether it is over.
bool pursue(const std::string& folder, Quest& quest) {
  const bool late = quest.is_late();
  if (!quest.request.ticket.empty() && !late && !quest.watch.stirred()) return false;
  auto answer = request_lease(folder, quest.request);
  if (!answer.ok()) {
    quest.done(answer.error());
    return true;
  }
  if (answer->lease) {
    quest.done(std::move(*answer->lease));
    return true;
  }
  quest.request.ticket = answer->ticket;
  if (!late) return false;
  quest.request.verb = LeaseRequest::Verb::leave;
  (void)request_lease(folder, quest.request);  // else its ticket ends by time
  quest.done(out_of_time(quest, answer->why));
  return true;
}

}  // namespace

LeaseClerk::LeaseClerk(std::string folder) : folder_(std::move(folder)) {}

LeaseClerk::~LeaseClerk() { close(); }

void LeaseClerk::ask(LeaseRequest request, std::function<void(Result<Lease>)> done) {
  const auto quest =
      std::make_shared<Quest>(Quest{std::move(request), std::move(done), LeaseTableWatch(folder_)});
  add({[this, quest] { return pursue(folder_, *quest); },
       [quest](Error error) { quest->done(std::move(error)); }});
}

void LeaseClerk::list(std::function<void(Result<std::vector<Lease>>)> done) {
  add({[this, done] {
         done(list_leases(folder_));
         return true;
       },
       [done](Error error) { done(std::move(error)); }});
}

void LeaseClerk::add(Errand errand) {
  std::unique_lock lock(mutex_);
  if (closed_ || open_ >= kErrandsMax) {
    const bool closed = closed_;
    lock.unlock();
    return errand.refuse(
        closed ? Error{ErrorCode::unavailable, "the server is ending and gives no leases any more"}
               : Error{ErrorCode::overloaded,
                       fmt::format("{} requests for leases wait already", kErrandsMax)});
  }
  ++open_;
  fresh_.push_back(std::move(errand));
  if (!thread_.joinable()) thread_ = std::thread([this] { run(); });
  changed_.notify_all();
}

void LeaseClerk::work_through(std::list<Errand>& errands) {
  for (auto errand = errands.begin(); errand != errands.end();) {
    if (!errand->step()) {
      ++errand;
      continue;
    }
    errand = errands.erase(errand);
    const std::lock_guard lock(mutex_);
    --open_;
  }
}

void LeaseClerk::run() {
  std::list<Errand> under_way;
  std::unique_lock lock(mutex_);
  while (true) {
    const auto ready = [this] { return closed_ || !fresh_.empty(); };
    if (under_way.empty())
      changed_.wait(lock, ready);
    else
      changed_.wait_for(lock, kErrandPause, ready);
    under_way.splice(under_way.end(), fresh_);
    const bool closed = closed_;
    lock.unlock();
    if (closed) break;
    work_through(under_way);
    lock.lock();
  }
  for (const Errand& errand : under_way)
    errand.refuse({ErrorCode::unavailable, "the server is ending; ask again"});
}

void LeaseClerk::close() {
  {
    const std::lock_guard lock(mutex_);
    closed_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

}  // namespace sheaf::slices
