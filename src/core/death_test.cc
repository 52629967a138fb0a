#include "core/death.h"

#include <gtest/gtest.h>

#include <csignal>

namespace sheaf::core {
namespace {

using Kind = ExitReport::Kind;

TEST(Death, IsJudgedByHowTheProcessEnded) {
  struct Case {
    ExitReport report;
    Blame blame;
    bool failure;
    const char* cause;
  };
  for (const Case& c : {
           Case{{Kind::signal, SIGSEGV, false, ""}, Blame::suspected, true, "signal 11 (SIGSEGV)"},
           Case{{Kind::signal, SIGABRT, false, ""}, Blame::suspected, true, "signal 6 (SIGABRT)"},
           Case{{Kind::signal, SIGBUS, false, ""}, Blame::suspected, true, "signal 7 (SIGBUS)"},
           Case{{Kind::signal, SIGKILL, false, ""}, Blame::none, false, "signal 9 (SIGKILL)"},
           Case{{Kind::signal, SIGTERM, false, ""}, Blame::none, false, "signal 15 (SIGTERM)"},
           Case{{Kind::signal, SIGKILL, true, ""}, Blame::too_large, true, "out of memory"},
           Case{{Kind::exit_code, 3, false, "weights"},
                Blame::suspected,
                true,
                "exit code 3: weights"},
           Case{{Kind::exit_code, 0, false, ""}, Blame::suspected, true, "exit code 0"},
           Case{{Kind::spawn_failed, 0, false, "no file"},
                Blame::none,
                true,
                "could not be started: no file"},
           Case{{Kind::protocol_error, 0, false, ""}, Blame::suspected, true, "broken frames"},
           Case{{Kind::slice_lost, 0, false, "mig:0/3"},
                Blame::none,
                false,
                "its slice was lost: mig:0/3"},
       }) {
    const Death death = judge(c.report, 1);
    EXPECT_EQ(death.blame, c.blame) << c.cause;
    EXPECT_EQ(death.failure, c.failure) << c.cause;
    EXPECT_EQ(death.cause, c.cause);
  }
}

TEST(Death, OutOfMemoryIsAFailureOnlyIfTheBatchCannotBeHalved) {
  const ExitReport report{Kind::signal, SIGKILL, true, ""};
  EXPECT_TRUE(judge(report, 0).failure) << "while idle";
  EXPECT_TRUE(judge(report, 1).failure);
  EXPECT_FALSE(judge(report, 2).failure);
}

TEST(Death, OfOneThatDoesNotMove) {
  EXPECT_FALSE(judge(Watchdog::Verdict::fine));
  EXPECT_EQ(judge(Watchdog::Verdict::stopped)->blame, Blame::none);
  EXPECT_FALSE(judge(Watchdog::Verdict::stopped)->failure);
  for (const auto hung : {Watchdog::Verdict::hung_cpu, Watchdog::Verdict::hung_wall}) {
    EXPECT_EQ(judge(hung)->blame, Blame::suspected);
    EXPECT_TRUE(judge(hung)->failure);
  }
}

}  // namespace
}  // namespace sheaf::core
