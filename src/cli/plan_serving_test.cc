#include "cli/plan_serving.h"

#include <gtest/gtest.h>

namespace sheaf::cli {
namespace {

// Two models: one on both slices of card 1, the other beside it on the second.
struct Planned {
  ServeSettings settings;
  std::vector<planner::Demand> demands;
  planner::Plan plan;
  PlanCards cards;

  Planned() {
    for (const char* name : {"a", "b"}) {
      settings.models.push_back({.name = name, .source = std::string("/models/") + name});
      demands.push_back({.name = name});
    }
    plan.models = {{.replicas = 2}, {.replicas = 1}};
    plan.slices = {slice("1g.18gb", {0}), slice("3g.71gb", {0, 1})};
    cards.indexes = {1};
  }

  static planner::PlannedSlice slice(const std::string& profile, std::vector<std::size_t> models) {
    planner::PlannedSlice slice;
    slice.part.profile = profile;
    slice.models = std::move(models);
    return slice;
  }

  PlanServing serving() const { return serving_on(cards, demands, plan, settings); }
};

slices::GpuInventory cut_into(const std::vector<std::string>& profiles) {
  slices::Gpu card;
  card.index = 1;
  card.uuid = "GPU-1";
  card.mig = slices::Nvml::MigMode{true, true};
  for (const std::string& profile : profiles) {
    slices::GpuInstance instance;
    instance.id = static_cast<unsigned>(card.instances.size()) + 3;
    instance.name = profile;
    instance.compute = {{.name = profile, .uuid = "MIG-" + std::to_string(instance.id)}};
    card.instances.push_back(instance);
  }
  return {.gpus = {card}};
}

TEST(PlanServing, NamesReplicasWhereTheFileDoesNot) {
  Planned planned;
  planned.settings.models[0].replicas = "2";
  EXPECT_EQ(text_of(planned.serving(), "s.yaml"),
            "serve it: sheaf serve --config s.yaml --device cuda\n"
            "once s.yaml says of its models, beside what it does:\n"
            "models:\n"
            "  - source: \"/models/b\"\n    name: \"b\"\n    replicas: 1\n");
  planned.settings.models[1].replicas = "1";
  EXPECT_EQ(text_of(planned.serving(), "s.yaml"),
            "serve it: sheaf serve --config s.yaml --device cuda\n");
}

TEST(PlanServing, NamesTheSlicesThatAreThere) {
  const Planned planned;
  PlanServing serving = planned.serving();
  name_slices(cut_into({"3g.71gb", "1g.18gb", "1g.18gb"}), planned.settings, serving);
  EXPECT_EQ(serving.models[0].slices, (std::vector<std::string>{"mig:1/4", "mig:1/3"}));
  EXPECT_EQ(serving.models[1].slices, std::vector<std::string>{"mig:1/3"});
  EXPECT_NE(text_of(serving, "f").find("    slices: [mig:1/4, mig:1/3]\n"), std::string::npos);
}

TEST(PlanServing, NamesNothingOfACardThatIsCutOtherwise) {
  const Planned planned;
  PlanServing serving = planned.serving();
  name_slices(cut_into({"1g.18gb", "1g.18gb"}), planned.settings, serving);
  EXPECT_TRUE(serving.models[0].slices.empty());
}

TEST(PlanServing, SharingByMpsIsServedSo) {
  Planned planned;
  planned.plan.slices[1].sharing = planner::Sharing::mps;
  EXPECT_NE(text_of(planned.serving(), "f").find("--gpu-assignment mps"), std::string::npos);
}

TEST(PlanServing, OfAModelWithoutRoomNothingIsSaid) {
  Planned planned;
  planned.plan.models[1].replicas = 0;
  EXPECT_EQ(text_of(planned.serving(), "f"), "");
}

}  // namespace
}  // namespace sheaf::cli
