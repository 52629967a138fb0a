#include "slices/lease_request.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <future>
#include <random>
#include <thread>

#include "base/fd.h"
#include "slices/durable_file.h"
#include "slices/lease_clerk.h"
#include "slices/lease_table.h"
#include "slices/slice.h"

namespace sheaf::slices {
namespace {

using Ask = LeaseRequest::Verb;

class LeaseTest : public testing::Test {
 protected:
  LeaseTest() {
    const bool shm = access("/dev/shm", W_OK) == 0;
    std::string name = (shm ? "/dev/shm" : std::filesystem::temp_directory_path().string()) +
                       "/sheaf-lease-XXXXXX";
    folder = mkdtemp(name.data());
  }
  ~LeaseTest() override { std::filesystem::remove_all(folder); }

  Result<LeaseAnswer> ask(const LeaseRequest& request, LeaseAsker asker = {1000, getpid()}) {
    SHEAF_ASSIGN(MigJournal journal, MigJournal::open(folder, 1000, "test"));
    return carry_out_lease(journal, request, asker);
  }
  // Its lease's id, or the error.
  std::string got(const LeaseRequest& request, LeaseAsker asker = {1000, getpid()}) {
    const auto answer = ask(request, asker);
    if (!answer.ok()) return answer.error().message;
    return answer->lease ? answer->lease->id : "waits: " + answer->why;
  }
  static LeaseRequest all_cores() {
    LeaseRequest request;
    request.need.cores = static_cast<unsigned>(detect_machine()->cores.size());
    return request;
  }
  std::size_t leased() { return list_leases(folder)->size(); }

  std::string folder;
};

TEST_F(LeaseTest, TheSameTaskGetsTheSameLease) {
  LeaseRequest request = all_cores();
  request.task_id = "job 7";
  const std::string first = got(request);
  EXPECT_TRUE(first.starts_with("lease-")) << first;
  EXPECT_EQ(got(request), first);
  LeaseRequest other = request;
  other.need = {.slice = "cores:0"};
  EXPECT_NE(got(other).find("task job 7 has"), std::string::npos);
  // Another user's task of that name is another one, and finds nothing free.
  EXPECT_NE(got(request, {1001, getpid()}).find(" not free: fewer than"), std::string::npos);
  EXPECT_EQ(leased(), 1u);
  LeaseRequest release{.verb = Ask::release};
  release.lease = first;
  EXPECT_EQ(got(release, {1001, getpid()}), "lease " + first + " is another's");
  EXPECT_EQ(got(release), first);
  EXPECT_EQ(got(release), "there is no lease " + first + ": it has ended, or never was");
  EXPECT_NE(got(request), first);
}

TEST_F(LeaseTest, ATaskHasOneHolder) {
  const LeaseAsker us{geteuid(), getpid()};
  LeaseRequest request = all_cores();
  request.task_id = "t";
  const std::string id = got(request, us);  // by time alone
  request.holder = LeaseRequest::kAsker;
  EXPECT_EQ(got(request, us), id);
  EXPECT_EQ(list_leases(folder)->front().holder.pid, getpid());
  EXPECT_EQ(got(request, us), id);
  const pid_t other = fork();
  if (other == 0) {
    pause();
    _exit(0);
  }
  EXPECT_TRUE(got(request, {us.user, other}).starts_with("task t runs already: cores:0"));
  kill(other, SIGKILL);
  waitpid(other, nullptr, 0);
}

TEST_F(LeaseTest, TimesAndTasksHaveBounds) {
  LeaseRequest request = all_cores();
  request.ttl_ms = 10;
  EXPECT_EQ(got(request), "a lease of 10 ms is not given; from 1000 to 604800000 ms are");
  request.ttl_ms = 0;
  EXPECT_EQ(got(request), "a lease of 0 ms is not given; from 1000 to 604800000 ms are");
  request.ttl_ms.reset();
  request.task_id = "a\nb";
  EXPECT_EQ(got(request), "a task id has at most 200 bytes, none of them a control character");
  request.task_id.clear();
  request.holder = 1 << 29;
  EXPECT_EQ(got(request), "there is no process 536870912");
  request.holder = LeaseRequest::kAsker;
  EXPECT_NE(got(request, {1000, 0}).find("is not seen from here"), std::string::npos);
  request.holder = 1;
  EXPECT_EQ(got(request, {4711, getpid()}),
            "process 1 is another user's and cannot hold this lease");
  EXPECT_EQ(leased(), 0u);
}

TEST_F(LeaseTest, ARenewedOneLastsLonger) {
  LeaseRequest request = all_cores();
  request.ttl_ms = 1000;
  const auto first = ask(request);
  ASSERT_TRUE(first.ok());
  LeaseRequest renew{.verb = Ask::renew};
  renew.lease = first->lease->id;
  renew.ttl_ms = 50'000;
  const auto again = ask(renew);
  ASSERT_TRUE(again.ok());
  EXPECT_GE(again->lease->ends_ms, first->lease->ends_ms + 48'000);
  EXPECT_EQ(list_leases(folder)->front().ttl_ms, 50'000);
}

TEST_F(LeaseTest, FirstComeFirstServed) {
  const auto held = ask(all_cores());
  ASSERT_TRUE(held.ok());
  LeaseRequest first = all_cores(), second = all_cores();
  first.wait_ms = second.wait_ms = 60'000;
  first.ticket = ask(first)->ticket;
  second.ticket = ask(second)->ticket;
  ASSERT_NE(first.ticket, second.ticket);
  LeaseRequest release{.verb = Ask::release};
  release.lease = held->lease->id;
  ASSERT_TRUE(ask(release).ok());
  // The second asks more often, and a third does not wait at all.
  EXPECT_TRUE(got(second).starts_with("waits: ")) << got(second);
  EXPECT_NE(got(all_cores()).find("or others wait for them"), std::string::npos);
  const auto served = ask(first);
  ASSERT_TRUE(served.ok() && served->lease);
  release.lease = served->lease->id;
  ASSERT_TRUE(ask(release).ok());
  EXPECT_TRUE(got(second).starts_with("lease-"));
  EXPECT_TRUE(read_lease_table(folder)->waiting.empty());
}

TEST_F(LeaseTest, WaitingIsBounded) {
  ASSERT_TRUE(ask(all_cores()).ok());
  LeaseRequest request = all_cores();
  request.wait_ms = 120;
  const auto lease = acquire_lease(folder, request);
  ASSERT_FALSE(lease.ok());
  EXPECT_EQ(lease.error().code, ErrorCode::deadline_exceeded);
  EXPECT_TRUE(read_lease_table(folder)->waiting.empty());
  request.wait_ms = 60'000;
  EXPECT_EQ(acquire_lease(folder, request, [] { return true; }).error().code, ErrorCode::cancelled);
}

TEST(ProcessIdentity, DescentGoesByParents) {
  EXPECT_TRUE(descends_from(getpid(), getpid()));
  EXPECT_TRUE(descends_from(getpid(), getppid()));
  EXPECT_FALSE(descends_from(getppid(), getpid()));
  EXPECT_FALSE(descends_from(0, getpid()));
}

TEST_F(LeaseTest, SharedOnesStandBesideEachOther) {
  LeaseRequest shared = all_cores();
  shared.need.shared = true;
  ASSERT_TRUE(ask(shared).ok());
  ASSERT_TRUE(ask(shared).ok());
  EXPECT_FALSE(ask(all_cores()).ok());
  const std::vector<Lease> both = *list_leases(folder);
  ASSERT_EQ(both.size(), 2u);
  for (const Lease& lease : both) {
    LeaseRequest release{.verb = Ask::release};
    release.lease = lease.id;
    ASSERT_TRUE(ask(release).ok());
  }
  ASSERT_TRUE(ask(all_cores()).ok());
  EXPECT_FALSE(ask(shared).ok());
}

TEST_F(LeaseTest, WhoDrainsAsksThoseToGoWhoSaidTheyWould) {
  LeaseRequest stays, goes, drains;
  stays.need.slice = goes.need.slice = drains.need.slice = "cores:0";
  goes.drainable = drains.drain = true;
  drains.wait_ms = 60'000;
  const auto first = ask(stays);
  ASSERT_TRUE(first.ok());
  const auto waits = ask(drains);
  ASSERT_TRUE(waits.ok());
  ASSERT_EQ(read_lease_table(folder)->waiting.size(), 1u);
  EXPECT_TRUE(read_lease_table(folder)->waiting[0].drains.empty()) << "it never said so";
  LeaseRequest release{.verb = Ask::release};
  release.lease = first->lease->id;
  ASSERT_TRUE(ask(release).ok());
  EXPECT_FALSE(ask(goes).ok()) << "another waits for it already";
  LeaseRequest leave{.verb = Ask::leave};
  leave.ticket = waits->ticket;
  ASSERT_TRUE(ask(leave).ok());

  const auto second = ask(goes);
  ASSERT_TRUE(second.ok());
  drains.ticket = "";
  const auto waits_again = ask(drains);
  ASSERT_TRUE(waits_again.ok() && !waits_again->lease);
  ASSERT_EQ(read_lease_table(folder)->waiting.size(), 1u);
  EXPECT_EQ(read_lease_table(folder)->waiting[0].drains, std::vector{second->lease->id});
  release.lease = second->lease->id;
  ASSERT_TRUE(ask(release).ok());
  drains.ticket = waits_again->ticket;
  EXPECT_TRUE(ask(drains)->lease);
}

TEST_F(LeaseTest, ADamagedTableIsRefused) {
  ASSERT_TRUE(ask(all_cores()).ok());
  std::string text = content_of(folder + "/leases");
  text.resize(text.size() / 2);
  ASSERT_TRUE(replace_file(folder + "/leases", text).ok());
  const auto refused = ask(all_cores());
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, ErrorCode::corrupt);
  EXPECT_TRUE(refused.error().message.starts_with(folder + "/leases:2: "));
  EXPECT_EQ(content_of(folder + "/leases"), text);
  EXPECT_FALSE(refuse_leased(folder, {}, {}).ok());
}

TEST_F(LeaseTest, ATableThatIsNoFileIsRefused) {
  std::filesystem::create_directory(folder + "/leases");
  EXPECT_EQ(list_leases(folder).error().code, ErrorCode::corrupt);
  EXPECT_EQ(ask(all_cores()).error().code, ErrorCode::corrupt);
  std::filesystem::remove(folder + "/leases");
  ASSERT_EQ(mkfifo((folder + "/leases").c_str(), 0600), 0);
  EXPECT_EQ(list_leases(folder).error().code, ErrorCode::corrupt)
      << "and does not wait for a writer";
}

TEST_F(LeaseTest, OnlyOwnLeasesCountForWhoNamesThem) {
  const auto lease = ask(all_cores(), {1000, getpid()});
  ASSERT_TRUE(lease.ok());
  const std::vector<std::string> ids = {lease->lease->id, "lease-none"};
  EXPECT_EQ(own_leases(folder, ids, 1000), std::vector{lease->lease->id});
  EXPECT_EQ(own_leases(folder, ids, 0), std::vector{lease->lease->id});
  EXPECT_TRUE(own_leases(folder, ids, 1001).empty());
}

TEST_F(LeaseTest, RequestsAreReadAsWritten) {
  LeaseRequest request{.verb = Ask::acquire};
  request.need = {.kind = "mig", .profile = "1g.5gb", .memory_bytes = 1ull << 33};
  request.task_id = "t";
  request.wait_ms = 3;
  request.holder = LeaseRequest::kAsker;
  request.visible_devices = "";
  request.cpus = {0, 2};
  request.ttl_ms = 4000;
  request.tenant = "key 1";
  request.drain = request.drainable = request.need.shared = true;
  const auto again = parse_lease_request(to_text(request));
  ASSERT_TRUE(again.ok());
  EXPECT_EQ(to_text(*again), to_text(request));
  EXPECT_EQ(again->need, request.need);
  EXPECT_FALSE(parse_lease_request("{}").ok());
  EXPECT_FALSE(parse_lease_request("{\"about\":\"lease\",\"verb\":\"steal\"}").ok());
}

TEST_F(LeaseTest, TheClerkServesManyAtOnce) {
  LeaseClerk clerk(folder);
  std::promise<Result<Lease>> first, second, third;
  clerk.ask(all_cores(), [&](Result<Lease> lease) { first.set_value(std::move(lease)); });
  auto lease = first.get_future().get();
  ASSERT_TRUE(lease.ok());
  LeaseRequest patient = all_cores();
  patient.wait_ms = 60'000;
  clerk.ask(patient, [&](Result<Lease> got) { second.set_value(std::move(got)); });
  LeaseRequest release{.verb = Ask::release};
  release.lease = lease->id;
  clerk.ask(release, [](const Result<Lease>&) {});
  EXPECT_TRUE(second.get_future().get().ok());
  clerk.ask(patient, [&](Result<Lease> got) { third.set_value(std::move(got)); });
  clerk.close();
  EXPECT_EQ(third.get_future().get().error().code, ErrorCode::unavailable);
  std::promise<Error> late;
  clerk.list([&](const Result<std::vector<Lease>>& all) { late.set_value(all.error()); });
  EXPECT_EQ(late.get_future().get().code, ErrorCode::unavailable);
}

// --- many processes, killed in turn ---

// Takes cores and gives them back, over and over; whoever finds a core of its lease in another's
// hands says so in `folder`/twice. The kernel drops a flock with its process, at any moment.
[[noreturn]] void take_and_give(const std::string& folder, unsigned seed) noexcept {
  std::mt19937 random(seed);
  const auto cores = static_cast<unsigned>(detect_machine()->cores.size());
  while (true) {
    LeaseRequest request;
    request.need.cores = 1 + random() % cores;
    request.wait_ms = 20'000;
    request.ttl_ms = 60'000;
    request.holder = LeaseRequest::kAsker;
    const auto lease = acquire_lease(folder, request);
    if (!lease.ok()) {
      (void)replace_file(folder + "/failed", lease.error().message);
      _exit(1);
    }
    std::vector<Fd> held;
    for (const int cpu : lease->slice.cpus) {
      const std::string path = folder + "/core" + std::to_string(cpu);
      held.emplace_back(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644));
      const bool taken = flock(held.back().get(), LOCK_EX | LOCK_NB) != 0;
      if (taken)
        (void)replace_file(folder + "/twice", lease->slice.id + " of " + lease->id + ": " +
                                                  std::strerror(errno) + ", after " +
                                                  content_of(path) + ":\n" +
                                                  content_of(folder + "/leases"));
      const std::string who = lease->id + " process " + std::to_string(getpid()) + "   ";
      if (!taken) (void)!pwrite(held.back().get(), who.data(), who.size(), 0);
    }
    std::this_thread::sleep_for(std::chrono::microseconds(random() % 2000));
    held.clear();
    const Fd count(open((folder + "/count").c_str(), O_WRONLY | O_CREAT | O_APPEND, 0644));
    (void)!write(count.get(), ".", 1);
    LeaseRequest release{.verb = Ask::release};
    release.lease = lease->id;
    (void)request_lease(folder, release);
  }
}

pid_t spawn_taker(const std::string& folder, unsigned seed) {
  const pid_t pid = fork();
  if (pid == 0) take_and_give(folder, seed);
  return pid;
}

TEST_F(LeaseTest, NothingIsGivenTwiceWhoeverIsKilled) {
  std::vector<pid_t> takers;
  for (unsigned i = 0; i < 4; ++i) takers.push_back(spawn_taker(folder, i));
  std::mt19937 random(1);
  for (unsigned kills = 0; kills < 40; ++kills) {
    std::this_thread::sleep_for(std::chrono::milliseconds(random() % 50));
    pid_t& victim = takers[random() % takers.size()];
    kill(victim, SIGKILL);
    int status = 0;
    waitpid(victim, &status, 0);
    EXPECT_TRUE(WIFSIGNALED(status)) << content_of(folder + "/failed");
    ASSERT_TRUE(list_leases(folder).ok()) << list_leases(folder).error().message;
    victim = spawn_taker(folder, 100 + kills);
  }
  for (const pid_t taker : takers) {
    kill(taker, SIGKILL);
    waitpid(taker, nullptr, 0);
  }
  EXPECT_EQ(content_of(folder + "/twice"), "");
  EXPECT_GT(content_of(folder + "/count").size(), 5u);
  EXPECT_TRUE(acquire_lease(folder, all_cores()).ok());  // the dead hold nothing
}

}  // namespace
}  // namespace sheaf::slices
