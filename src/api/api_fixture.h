#pragma once

#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <utility>

#include "api/api.h"
#include "api/fake_router.h"

namespace sheaf::api {

// A test of routes over a router that is made up.
class ApiTest : public testing::Test {
 protected:
  // A POST, run to its answer.
  HttpResponse ask(std::string_view target, std::string body) {
    body.reserve(body.size() + kBodyPadding);
    HttpRequest request;
    request.method = "POST";
    request.target = target;
    request.body = body;
    const auto begun = api.begin(request, body.size());
    HttpResponse answer;
    api.run(begun.ticket, request, [&](HttpResponse response) { answer = std::move(response); });
    io.restart();
    io.poll();
    return answer;
  }

  boost::asio::io_context io;
  FakeRouter router{io};
  telemetry::Metrics metrics;
  Api api{router, metrics, {}};
};

}  // namespace sheaf::api
