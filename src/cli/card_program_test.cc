#include "cli/card_program.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>

#include "base/clock.h"

namespace sheaf::cli {
namespace {

// A folder with a sheaf-replica-cuda that is a script.
class CardProgramTest : public testing::Test {
 protected:
  CardProgramTest() {
    std::string name = testing::TempDir() + "/cards-XXXXXX";
    folder_ = mkdtemp(name.data());
    program_ = folder_ / "sheaf-replica-cuda";
  }
  ~CardProgramTest() override { std::filesystem::remove_all(folder_); }

  void write(const std::string& script) {
    std::ofstream(program_) << "#!/bin/sh\n" << script << "\n";
    std::filesystem::permissions(program_, std::filesystem::perms::owner_all);
  }
  std::string refusal(const std::string& script, int timeout_ms = 10'000) {
    write(script);
    const auto program = ask_card_program(program_, timeout_ms);
    return program.ok() ? "" : program.error().message;
  }

  std::filesystem::path folder_, program_;
};

TEST_F(CardProgramTest, IsTheOneNamedOrBesideSheafReplica) {
  const std::string replica = folder_ / "sheaf-replica";
  EXPECT_EQ(*find_card_program("", replica), "");
  write("exit 0");
  EXPECT_EQ(*find_card_program("", replica), program_);
  EXPECT_EQ(*find_card_program("/bin/sh", replica), "/bin/sh");
  EXPECT_EQ(find_card_program("/no/such", replica).error().message,
            "/no/such is not a program; --card-program names sheaf-replica-cuda");
}

TEST_F(CardProgramTest, SaysWhatItCanDo) {
  write(R"([ "$1" = devices ] && echo '{"dtypes": ["float32"], "compute_capabilities": [90]}')");
  const auto program = ask_card_program(program_);
  ASSERT_TRUE(program.ok()) << program.error().message;
  EXPECT_EQ(program->path, program_);
  EXPECT_FALSE(program->stands_in);
  EXPECT_TRUE(program->has_code_for(90));
  EXPECT_FALSE(program->has_code_for(89));
  EXPECT_TRUE(CardProgram{}.has_code_for(12));
}

TEST_F(CardProgramTest, OrWhyItCannot) {
  EXPECT_EQ(refusal(R"(echo '{"error": "there is no driver"}'; exit 1)"),
            "sheaf-replica-cuda: there is no driver; `sheaf slices check` says what helps");
  const std::string other = "sheaf-replica-cuda: it does not say which cards it can use; `" +
                            program_.string() + " devices` shows whether it starts";
  EXPECT_EQ(refusal("echo Hello"), other);
  EXPECT_EQ(refusal("echo '[]'"), other);
  EXPECT_EQ(refusal(R"(echo '{"dtypes": 1, "compute_capabilities": []}')"), other);
  EXPECT_EQ(refusal("kill -9 $$"), other);
  EXPECT_EQ(refusal("yes"), program_.string() + " writes more than 1048576 bytes");
}

TEST_F(CardProgramTest, IsNotWaitedForForEver) {
  const TimeUs started_us = monotonic_us();
  EXPECT_EQ(refusal("exec sleep 60", 200),
            "sheaf-replica-cuda: it has not said within 0.2 s which cards it can use; `nvidia-smi` "
            "shows whether the driver hangs");
  EXPECT_LT(monotonic_us() - started_us, 10'000'000);
}

TEST(DtypeOnCard, AutoIsHalfPrecisionWhereProcessorsWouldMeasure) {
  const CardProgram program{.path = "p", .dtypes = {"float32", "bfloat16", "float16"}};
  model::ModelSpec embedder, classifier;
  classifier.labels = {"a", "b"};
  EXPECT_EQ(*dtype_on_card(program, "auto", "m", embedder), "bfloat16");
  EXPECT_EQ(*dtype_on_card(program, "auto", "m", classifier), "float32");
  EXPECT_EQ(*dtype_on_card(program, "float32", "m", embedder), "float32");
  EXPECT_EQ(dtype_on_card(program, "int8", "m", embedder).error().message,
            "model m: cards do not compute in int8, but in float32, bfloat16; --device cpu "
            "computes in it on the processor");
}

}  // namespace
}  // namespace sheaf::cli
