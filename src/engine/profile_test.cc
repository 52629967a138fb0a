// Models through the backend that times operations: the same answers, and every operation seen.
#include "kernels/profile.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>

#include "engine/engine.h"
#include "engine/pack.h"

namespace sheaf::engine {
namespace {

struct ProfiledModel {
  const char* folder;  // below tests/golden
  const char* pooling;
  model::Output output;
  std::vector<std::string> operations;  // how their names begin
};

void PrintTo(const ProfiledModel& model, std::ostream* out) { *out << model.folder; }

class ProfileOf : public ::testing::TestWithParam<ProfiledModel> {
 protected:
  static std::string golden() {
    return SHEAF_SOURCE_DIR "/tests/golden/" + std::string(GetParam().folder);
  }

  static Result<Rows> answers(const std::string& backend, kernels::Profile* profile) {
    SHEAF_ASSIGN(const Fd fd, make_memfd("profile_test", 0));
    SHEAF_TRY(pack_for(backend, golden() + "/model", fd.get(), GetParam().pooling));
    SHEAF_ASSIGN(const std::size_t bytes, file_size(fd.get()));
    SHEAF_ASSIGN(Mapping mapping, Mapping::map(fd.get(), bytes, Mapping::Access::read_only));
    SHEAF_ASSIGN(const auto engine,
                 Engine::open(std::move(mapping), {.threads = 2, .profile = profile}));
    std::ifstream cases(golden() + "/cases.json");
    std::vector<std::int32_t> ids;
    std::vector<std::uint32_t> bounds = {0};
    for (const auto& text : nlohmann::json::parse(cases)) {
      ids.insert(ids.end(), text.begin(), text.end());
      bounds.push_back(static_cast<std::uint32_t>(ids.size()));
    }
    const std::vector<ItemOptions> options(bounds.size() - 1, {.output = GetParam().output});
    Rows rows;
    SHEAF_TRY(engine->embed({ids, bounds, options}, rows));
    return rows;
  }
};

TEST_P(ProfileOf, SeesEveryOperationAndChangesNoAnswer) {
  for (const std::string& backend : kernels::backend_names()) {
    SCOPED_TRACE(backend);
    kernels::Profile profile;
    const auto plain = answers(backend, nullptr);
    const auto timed = answers(backend, &profile);
    ASSERT_TRUE(plain.ok()) << plain.error().message;
    ASSERT_TRUE(timed.ok()) << timed.error().message;
    EXPECT_TRUE(std::ranges::equal(timed->values(), plain->values()));
    EXPECT_TRUE(std::ranges::equal(timed->floats(), plain->floats()));
    const auto sums = profile.sums();
    for (const std::string& operation : GetParam().operations) {
      const auto found = sums.lower_bound(operation);
      ASSERT_TRUE(found != sums.end() && found->first.starts_with(operation)) << operation;
      EXPECT_GT(found->second.rows, 0u) << operation;
      EXPECT_GT(found->second.flop + found->second.bytes, 0) << operation;
      EXPECT_GT(found->second.wall_ns, 0) << operation;
      EXPECT_EQ(found->second.busy_ns > 0, backend.starts_with("cpu")) << operation;
      EXPECT_LE(found->second.busy_ns, found->second.threads_ns) << operation;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(
    , ProfileOf,
    ::testing::Values(
        ProfiledModel{"families/mpnet",
                      "",
                      model::Output::vector,
                      {"attention ", "embed ", "feed_forward ", "linear ", "normalize ", "pool "}},
        ProfiledModel{
            "families/qwen3", "", model::Output::vector, {"feed_forward_gated ", "turn_heads "}},
        ProfiledModel{"families/nomic_moe", "", model::Output::vector, {"mix_experts "}},
        ProfiledModel{"sparse/bert", "splade", model::Output::sparse, {"weigh_words "}}));

}  // namespace
}  // namespace sheaf::engine
