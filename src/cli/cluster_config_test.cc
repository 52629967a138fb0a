#include "cli/cluster_config.h"

#include <gtest/gtest.h>
#include <yaml-cpp/yaml.h>

namespace sheaf::cli {
namespace {

using slices::ComputeInstance;
using slices::Gpu;
using slices::GpuInstance;

// An A100 with two 1g.5gb, of which one has media engines, beside a whole L4.
std::vector<Gpu> machine() {
  Gpu a100, l4;
  a100.name = "NVIDIA A100-SXM4-40GB";
  a100.mig = slices::Nvml::MigMode{true, true};
  a100.minor = 1;
  a100.instances.push_back({.id = 7, .compute = {{.id = 0, .name = "1g.5gb", .uuid = "MIG-a"}}});
  a100.instances.push_back({.id = 8, .compute = {{.id = 0, .name = "1g.5gb", .uuid = "MIG-b"}}});
  a100.instances.push_back({.id = 9, .compute = {{.id = 0, .name = "1g.5gb+me", .uuid = "MIG-c"}}});
  l4.index = 1;
  l4.name = "NVIDIA L4";
  return {a100, l4};
}

TEST(ClusterConfig, TimeSlicingOfAllThatTheNodeHas) {
  const std::vector<Gpu> gpus = machine();
  const auto text = device_plugin_config(slices::usable_places(gpus), {Sharing::Way::time, 4});
  ASSERT_TRUE(text.ok());
  EXPECT_NE(text->find("# this node has nvidia.com/mig-1g.5gb: 8\n"), std::string::npos) << *text;
  const YAML::Node config = YAML::Load(*text);
  EXPECT_EQ(config["version"].as<std::string>(), "v1");
  EXPECT_EQ(config["flags"]["migStrategy"].as<std::string>(), "mixed");
  const YAML::Node sharing = config["sharing"]["timeSlicing"];
  EXPECT_TRUE(sharing["failRequestsGreaterThanOne"].as<bool>());
  ASSERT_EQ(sharing["resources"].size(), 3u);
  EXPECT_EQ(sharing["resources"][0]["name"].as<std::string>(), "nvidia.com/gpu");
  EXPECT_EQ(sharing["resources"][2]["name"].as<std::string>(), "nvidia.com/mig-1g.5gb.me");
  EXPECT_EQ(sharing["resources"][2]["replicas"].as<int>(), 4);
}

TEST(ClusterConfig, MpsOnlyWithoutMig) {
  const std::vector<Gpu> gpus = machine();
  EXPECT_FALSE(device_plugin_config(slices::usable_places(gpus), {Sharing::Way::mps, 4}).ok());
  const std::vector<Gpu> whole = {gpus[1]};
  const auto text = device_plugin_config(slices::usable_places(whole), {Sharing::Way::mps, 4});
  ASSERT_TRUE(text.ok());
  const YAML::Node config = YAML::Load(*text);
  EXPECT_EQ(config["flags"]["migStrategy"].as<std::string>(), "none");
  EXPECT_EQ(config["sharing"]["mps"]["resources"][0]["replicas"].as<int>(), 4);
  EXPECT_FALSE(config["sharing"]["mps"]["failRequestsGreaterThanOne"]);
  const auto alone = device_plugin_config(slices::usable_places(whole), {});
  EXPECT_EQ(*alone,
            "# this node has nvidia.com/gpu: 1\nversion: v1\nflags:\n  migStrategy: none\n");
}

TEST(ClusterConfig, GresOfTheGeometry) {
  const std::vector<Gpu> gpus = machine();
  EXPECT_EQ(gres_config(slices::usable_places(gpus), {Sharing::Way::time, 3}),
            "# slurm.conf: GresTypes=gpu,shard; on the node's line "
            "Gres=gpu:1g.5gb:2,gpu:1g.5gb+me:1,gpu:NVIDIA_L4:1,shard:3\n"
            "# before Slurm 23.02 a job should ask for one MIG slice only\n"
            "Name=gpu Type=1g.5gb MultipleFiles=/dev/nvidia1,/dev/nvidia-caps/nvidia-cap201,"
            "/dev/nvidia-caps/nvidia-cap202\n"
            "Name=gpu Type=1g.5gb MultipleFiles=/dev/nvidia1,/dev/nvidia-caps/nvidia-cap210,"
            "/dev/nvidia-caps/nvidia-cap211\n"
            "Name=gpu Type=1g.5gb+me MultipleFiles=/dev/nvidia1,/dev/nvidia-caps/nvidia-cap219,"
            "/dev/nvidia-caps/nvidia-cap220\n"
            "Name=gpu Type=NVIDIA_L4 File=/dev/nvidia1\n"
            "Name=shard Count=3 File=/dev/nvidia1\n");
  const std::vector<Gpu> whole = {gpus[1]};
  const std::string mps = gres_config(slices::usable_places(whole), {Sharing::Way::mps, 2});
  EXPECT_NE(mps.find("GresTypes=gpu,mps; on the node's line Gres=gpu:NVIDIA_L4:1,mps:100\n"),
            std::string::npos);
  EXPECT_NE(mps.find("Name=mps Count=100 File=/dev/nvidia1\n"), std::string::npos);
}

}  // namespace
}  // namespace sheaf::cli
