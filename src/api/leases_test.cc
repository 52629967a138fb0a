#include "api/leases.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <future>
#include <nlohmann/json.hpp>

#include "api/api_fixture.h"
#include "slices/lease_clerk.h"
#include "slices/slice.h"

namespace sheaf::api {
namespace {

std::string fresh_folder() {
  std::string name = std::filesystem::temp_directory_path().string() + "/sheaf-leases-XXXXXX";
  return mkdtemp(name.data());
}

// Real leases in a folder of their own.
class LeasesTest : public testing::Test {
 protected:
  ~LeasesTest() override {
    clerk.close();
    std::filesystem::remove_all(folder);
  }

  // Waits for the answer, which comes from another thread.
  HttpResponse ask(std::string_view method, std::string_view target, std::string body = "") {
    body.reserve(body.size() + kBodyPadding);
    HttpRequest request;
    request.method = method;
    request.target = target;
    request.body = body;
    const auto begun = api.begin(request, body.size());
    if (begun.answer) return *begun.answer;
    std::promise<HttpResponse> answer;
    api.run(begun.ticket, request, [&](HttpResponse response) { answer.set_value(response); });
    return answer.get_future().get();
  }
  nlohmann::json facts(std::string_view method, std::string_view target, std::string body = "") {
    const HttpResponse answer = ask(method, target, std::move(body));
    EXPECT_EQ(answer.status, 200) << answer.body;
    return nlohmann::json::parse(answer.body);
  }

  std::string folder = fresh_folder();
  slices::LeaseClerk clerk{folder};
  boost::asio::io_context io;
  FakeRouter router{io};
  telemetry::Metrics metrics;
  ApiOptions options{.leases = &clerk};
  Api api{router, metrics, options};
};

TEST_F(LeasesTest, AcquireRenewListRelease) {
  const auto lease = facts("POST", "/v1/slices/lease", R"({"cores":1,"task_id":"t","ttl_s":5})");
  const std::string id = lease.at("id");
  EXPECT_EQ(lease.at("kind"), "cores");
  EXPECT_EQ(lease.at("ttl_s"), 5.0);
  EXPECT_EQ(lease.at("holder_pid"), 0);
  EXPECT_EQ(lease.at("environment").at("SHEAF_LEASE"), id);
  EXPECT_EQ(facts("POST", "/v1/slices/lease", R"({"cores":1,"task_id":"t"})").at("id"), id);
  const auto renewed = facts("POST", "/v1/slices/lease/" + id + "/renew", R"({"ttl_s":100.5})");
  EXPECT_EQ(renewed.at("ttl_s"), 100.5);
  EXPECT_EQ(facts("POST", "/v1/slices/lease/" + id + "/renew").at("ttl_s"), 100.5);
  const auto list = facts("GET", "/v1/slices/lease");
  ASSERT_EQ(list.at("data").size(), 1u);
  EXPECT_EQ(list.at("data")[0].at("task_id"), "t");
  EXPECT_EQ(facts("DELETE", "/v1/slices/lease/" + id).at("id"), id);
  EXPECT_EQ(ask("DELETE", "/v1/slices/lease/" + id).status, 404);
  EXPECT_EQ(facts("GET", "/v1/slices/lease").at("data").size(), 0u);
}

TEST_F(LeasesTest, WhatIsNotFreeIsWaitedForOrRefused) {
  const std::string all = "{\"cores\":" + std::to_string(slices::detect_machine()->cores.size());
  const auto first = facts("POST", "/v1/slices/lease", all + "}");
  const HttpResponse refused = ask("POST", "/v1/slices/lease", all + "}");
  EXPECT_EQ(refused.status, 503) << refused.body;
  EXPECT_NE(refused.headers.find("Retry-After"), std::string::npos);
  EXPECT_EQ(ask("POST", "/v1/slices/lease", all + ",\"wait_s\":0.1}").status, 504);
  auto waiting = std::async(std::launch::async, [&] {
    return ask("POST", "/v1/slices/lease", all + ",\"wait_s\":60}").status;
  });
  facts("DELETE", "/v1/slices/lease/" + first.at("id").get<std::string>());
  EXPECT_EQ(waiting.get(), 200);
}

TEST_F(LeasesTest, BadRequestsNameTheField) {
  const auto message = [this](const std::string& body) {
    const HttpResponse answer = ask("POST", "/v1/slices/lease", body);
    EXPECT_EQ(answer.status, 400) << answer.body;
    return nlohmann::json::parse(answer.body).at("error").at("message").get<std::string>();
  };
  EXPECT_EQ(message("{}"), "say which slice, or what it must be: kind, profile, memory or cores");
  EXPECT_EQ(message(R"({"core":1})"),
            "there is no field core; there are slice, kind, profile, memory_bytes, cores, shared, "
            "task_id, ttl_s, wait_s, drain");
  EXPECT_EQ(message(R"({"cores":1,"ttl_s":-1})"),
            "ttl_s is a number of seconds, from 0 to 1000000");
  EXPECT_EQ(message(R"({"cores":1,"ttl_s":0.5})"),
            "a lease of 500 ms is not given; from 1000 to 604800000 ms are");
  EXPECT_EQ(message(R"({"cores":70000})"), "no machine has 70000 cores");
  EXPECT_EQ(message(R"({"slice":7})").substr(0, 5), "slice");
  EXPECT_EQ(ask("POST", "/v1/slices/lease/x").status, 404);
  EXPECT_EQ(ask("POST", "/v1/slices/lease/x/renew").status, 404);
  EXPECT_EQ(ask("PUT", "/v1/slices/lease").status, 405);
}

TEST_F(LeasesTest, OfAnotherKeyIsAnothers) {
  options.api_keys = {"a", "b"};
  const Api keyed(router, metrics, options);
  const auto with_key = [&](std::string_view method, const std::string& target, std::string key,
                            std::string body) {
    body.reserve(body.size() + kBodyPadding);
    const Header header{"authorization", key};
    HttpRequest request{.method = method, .target = target, .headers = {&header, 1}, .body = body};
    const auto begun = keyed.begin(request, body.size());
    std::promise<HttpResponse> answer;
    keyed.run(begun.ticket, request, [&](HttpResponse response) { answer.set_value(response); });
    return answer.get_future().get();
  };
  const auto made = with_key("POST", "/v1/slices/lease", "a", R"({"slice":"cores:0"})");
  ASSERT_EQ(made.status, 200) << made.body;
  const std::string id = nlohmann::json::parse(made.body).at("id");
  EXPECT_EQ(with_key("DELETE", "/v1/slices/lease/" + id, "b", "").status, 403);
  EXPECT_EQ(with_key("DELETE", "/v1/slices/lease/" + id, "a", "").status, 200);
}

TEST(Leases, WithoutAClerkThereAreNone) {
  boost::asio::io_context io;
  FakeRouter router{io};
  telemetry::Metrics metrics;
  Api api{router, metrics, {}};
  HttpRequest request;
  request.method = "GET";
  request.target = "/v1/slices/lease";
  const auto begun = api.begin(request, 0);
  HttpResponse answer;
  api.run(begun.ticket, request, [&](HttpResponse response) { answer = std::move(response); });
  EXPECT_EQ(answer.status, 400);
}

}  // namespace
}  // namespace sheaf::api
