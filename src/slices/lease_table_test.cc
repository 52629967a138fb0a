#include "slices/lease_table.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

namespace sheaf::slices {
namespace {

LeaseTable sample() {
  LeaseTable table;
  Lease lease;
  lease.id = "lease-1";
  lease.task_id = "a \"task\"\n";
  lease.need = {.kind = "cores", .cores = 2};
  lease.slice = {.kind = "cores", .id = "cores:0-1", .text = "cores:0-1", .cpus = {0, 1}};
  lease.owner = {1000, "key 2"};
  lease.holder = *identify(getpid());
  lease.ttl_ms = 60'000;
  lease.ends_ms = boot_ms() + 60'000;
  table.leases = {lease};
  table.waiting = {{"ticket-1", {.profile = "1g.5gb"}, {0, ""}, lease.holder, lease.ends_ms}};
  return table;
}

std::string complaint(const std::string& text) {
  const auto table = parse_lease_table(text, "boot", "f");
  return table.ok() ? "fine" : table.error().message;
}

TEST(LeaseTable, IsReadAsWritten) {
  const std::string text = to_text(sample(), "boot");
  const auto again = parse_lease_table(text, "boot", "f");
  ASSERT_TRUE(again.ok());
  EXPECT_EQ(to_text(*again, "boot"), text);
  EXPECT_EQ(again->leases[0].task_id, "a \"task\"\n");
  EXPECT_EQ(again->waiting[0].need.profile, "1g.5gb");
  EXPECT_EQ(again->leases[0].owner.tenant, "key 2");
}

TEST(LeaseTable, AnotherBootEndsAll) {
  const auto again = parse_lease_table(to_text(sample(), "boot"), "later", "f");
  ASSERT_TRUE(again.ok());
  EXPECT_TRUE(again->leases.empty() && again->waiting.empty());
}

TEST(LeaseTable, DamageIsNamedByLine) {
  const std::string text = to_text(sample(), "boot");
  EXPECT_EQ(complaint(text), "fine");
  // However it is cut, it is never taken for a shorter table.
  for (std::size_t size = 0; size < text.size(); ++size)
    EXPECT_EQ(complaint(text.substr(0, size)).substr(0, 2), "f:") << size;
  const std::size_t second = text.find('\n') + 1;
  std::string broken = text;
  broken[second + 2] = '#';
  EXPECT_EQ(complaint(broken).substr(0, 4), "f:2:") << complaint(broken);
  EXPECT_EQ(complaint(text + text.substr(second)).substr(0, 46),
            "f:5: it has 4 lines behind the first, which sa");
  EXPECT_NE(complaint("{\"version\":1,\"boot\":\"\",\"lines\":0}\n").find("another version"),
            std::string::npos);
}

TEST(LeaseTable, EndsByTimeAndWithItsHolder) {
  LeaseTable table = sample();
  EXPECT_TRUE(table.drop_ended().empty());
  table.leases.push_back(table.leases[0]);
  table.leases[1].ends_ms = boot_ms();
  table.leases.push_back(table.leases[0]);
  table.leases[2].holder.started += 1;  // that number is another's now
  table.waiting[0].waiter.started += 1;
  const auto ended = table.drop_ended();
  ASSERT_EQ(ended.size(), 2u);
  EXPECT_EQ(ended[0], "lease-1 of cores:0-1: its 60000 ms are over");
  EXPECT_EQ(ended[1], "lease-1 of cores:0-1: process " + std::to_string(getpid()) + " is gone");
  EXPECT_EQ(table.leases.size(), 1u);
  EXPECT_TRUE(table.waiting.empty());
}

TEST(ProcessIdentity, AZombieIsGone) {
  const pid_t child = fork();
  if (child == 0) {
    pause();
    _exit(0);
  }
  const auto process = identify(child);
  ASSERT_TRUE(process.ok());
  EXPECT_TRUE(is_alive(*process));
  EXPECT_FALSE(is_alive({child, process->started + 1}));
  EXPECT_TRUE(end_process({child, process->started + 1}, 0));  // which is gone
  EXPECT_TRUE(is_alive(*process));
  EXPECT_TRUE(end_process(*process, 10'000));
  EXPECT_FALSE(is_alive(*process));  // not reaped yet
  siginfo_t info;
  waitid(P_PID, static_cast<id_t>(child), &info, WEXITED);
  EXPECT_FALSE(is_alive(*process));
  EXPECT_FALSE(identify(child).ok());
}

}  // namespace
}  // namespace sheaf::slices
