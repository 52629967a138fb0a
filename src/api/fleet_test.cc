#include "api/fleet.h"

#include <unistd.h>

#include <nlohmann/json.hpp>

#include "api/api_fixture.h"

namespace sheaf::api {
namespace {

using nlohmann::json;

class FleetRoute : public ApiTest {
 protected:
  json get_fleet() {
    HttpRequest request;
    request.method = "GET";
    request.target = "/v1/fleet";
    const auto begun = api.begin(request, 0);
    HttpResponse answer;
    api.run(begun.ticket, request, [&](HttpResponse response) { answer = std::move(response); });
    EXPECT_EQ(answer.status, 200) << answer.body;
    return json::parse(answer.body);
  }
};

TEST_F(FleetRoute, TellsOfReplicasModelsAndCards) {
  metrics.set_reader([] {
    telemetry::Readings readings;
    readings.models = {{"org/\"model\"", 2, 300, 1'000'000}};
    return readings;
  });
  metrics.set_gpu_reader([] {
    slices::SliceSample card{.slice = "gpu:0"};
    card.load = 0.5;
    card.load_source = slices::LoadSource::nvml;
    card.processes = {{.pid = 7, .name = "not \xff UTF-8", .bytes = 1}};
    return telemetry::GpuReadings{.samples = {card, card}, .reactions = {}};
  });
  const json fleet = get_fleet();
  EXPECT_EQ(fleet["ready"], true);
  EXPECT_EQ(fleet["replicas"][0]["pid"], 4242);
  EXPECT_EQ(fleet["replicas"][0]["slice"], "cores:0-1");
  EXPECT_EQ(fleet["models"][0]["name"], "org/\"model\"");
  EXPECT_EQ(fleet["models"][0]["queue_tokens"], 300);
  ASSERT_EQ(fleet["slices"].size(), 2u);
  EXPECT_EQ(fleet["slices"][0]["slice"], "gpu:0");
  EXPECT_EQ(fleet["slices"][0]["load_source"], "nvml");
  EXPECT_EQ(fleet["slices"][0]["processes"][0]["name"], "not \uFFFD UTF-8");
  EXPECT_GT(fleet["time_us"], 0);
}

TEST_F(FleetRoute, ListsEachProcessOfAReplica) {
  router.set_processes({::getpid(), -1});  // the second has just gone
  const json replica = get_fleet()["replicas"][0];
  EXPECT_EQ(replica["pid"], ::getpid());
  ASSERT_EQ(replica["processes"].size(), 2u);
  EXPECT_EQ(replica["processes"][0]["pid"], ::getpid());
  EXPECT_GT(replica["processes"][0]["memory_bytes"], 1 << 20);
  EXPECT_TRUE(replica["processes"][1]["memory_bytes"].is_null());
  router.set_processes({});
  EXPECT_EQ(get_fleet()["replicas"][0]["pid"], 0);
  EXPECT_EQ(get_fleet()["replicas"][0]["processes"], json::array());
}

TEST_F(FleetRoute, IsWholeWithoutCards) {
  const json fleet = get_fleet();
  EXPECT_EQ(fleet["slices"], json::array());
  EXPECT_EQ(fleet["models"], json::array());
}

}  // namespace
}  // namespace sheaf::api
