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
       }) {
    const Death death = judge(c.report);
    EXPECT_EQ(death.blame, c.blame) << c.cause;
    EXPECT_EQ(death.failure, c.failure) << c.cause;
    EXPECT_EQ(death.cause, c.cause);
  }
}

}  // namespace
}  // namespace sheaf::core
