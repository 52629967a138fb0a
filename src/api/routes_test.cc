#include "api/routes.h"

#include <gtest/gtest.h>

#include "api/cors.h"
#include "api/keys.h"
#include "api/url.h"

namespace sheaf::api {
namespace {

TEST(UrlTest, TargetsAreTidied) {
  EXPECT_EQ(split_target("/v1/models").path, "/v1/models");
  EXPECT_EQ(split_target("//v1///models//").path, "/v1/models");
  EXPECT_EQ(split_target("/").path, "/");
  EXPECT_EQ(split_target("//").path, "/");
  EXPECT_EQ(split_target("/a?b=c/?d").path, "/a");
  EXPECT_EQ(split_target("/a?b=c/?d").query, "b=c/?d");
  EXPECT_EQ(split_target("http://host:1/a/b?c").path, "/a/b");
  EXPECT_EQ(split_target("http://host").path, "/");
  EXPECT_EQ(split_target("/v1/models/a%2Fb").path, "/v1/models/a%2Fb");
}

TEST(UrlTest, EscapesAreDecoded) {
  EXPECT_EQ(percent_decode("a%2Fb%20c+d", false), "a/b c+d");
  EXPECT_EQ(percent_decode("a+b", true), "a b");
  EXPECT_EQ(percent_decode("%", false), "%");
  EXPECT_EQ(percent_decode("%4", false), "%4");
  EXPECT_EQ(percent_decode("%4x%41", false), "%4xA");
}

TEST(UrlTest, QueriesAreSearched) {
  EXPECT_EQ(query_value("model=a%2Fb&x=1", "model"), "a/b");
  EXPECT_EQ(query_value("models=1&model=", "model"), "");
  EXPECT_EQ(query_value("x=1&&model=m", "model"), "m");
  EXPECT_EQ(query_value("model", "model"), std::nullopt);
  EXPECT_EQ(query_value("", "model"), std::nullopt);
}

TEST(RoutesTest, PrefixesGiveTheRest) {
  const RouteMatch match = match_route("GET", "/v1/models/org/name");
  ASSERT_NE(match.route, nullptr);
  EXPECT_EQ(match.rest, "org/name");
  EXPECT_EQ(match_route("GET", "/v1/models").rest, "");
  EXPECT_EQ(match_route("GET", "/v1/modelsx").route, nullptr);
}

TEST(RoutesTest, MethodsOfAPathAreListed) {
  const RouteMatch match = match_route("DELETE", "/");
  EXPECT_EQ(match.route, nullptr);
  EXPECT_EQ(match.allow, "POST, GET, HEAD");
  EXPECT_EQ(match_route("GET", "/nothing").allow, "");
  EXPECT_NE(match_route("HEAD", "/health").route, nullptr);
}

TEST(KeysTest, BearerOrBareKey) {
  EXPECT_EQ(tenant_of({}, ""), 0u);
  EXPECT_EQ(tenant_of({"k1", "k2"}, "Bearer k2"), 2u);
  EXPECT_EQ(tenant_of({"k1"}, "k1"), 1u);
  EXPECT_EQ(tenant_of({"k1"}, ""), std::nullopt);
  EXPECT_EQ(tenant_of({"k1"}, "k"), std::nullopt);
  EXPECT_EQ(tenant_of({"k1"}, "k1k1"), std::nullopt);
  EXPECT_EQ(tenant_of({"k1"}, "Bearer k1 "), std::nullopt);
}

TEST(CorsTest, OnlyListedOrigins) {
  ApiOptions options;
  const Header origin{"Origin", "https://a"};
  HttpRequest request;
  request.headers = {&origin, 1};
  EXPECT_EQ(cors_origin(options, request), "");
  options.cors_allow_origin = {"*"};
  EXPECT_EQ(cors_origin(options, request), "*");
  options.cors_allow_origin = {"https://b", "https://a"};
  EXPECT_EQ(cors_origin(options, request), "https://a");
  options.cors_allow_origin = {"https://b"};
  EXPECT_EQ(cors_origin(options, request), "");
}

TEST(HttpTest, NoHeaderCanBeSmuggledIn) {
  HttpResponse response;
  response.add_header("x-a", "v\r\nx-b: w");
  EXPECT_EQ(response.headers, "x-a: v  x-b: w\r\n");
}

TEST(ErrorsTest, OpenAiBodiesHaveAllFourKeys) {
  const HttpResponse response =
      error_response(Dialect::openai, {ErrorCode::invalid_argument, "a \"b\"", "input"});
  EXPECT_EQ(response.status, 400);
  EXPECT_EQ(
      response.body,
      R"({"error":{"message":"a \"b\"","type":"invalid_request_error","param":"input","code":null}})");
}

}  // namespace
}  // namespace sheaf::api
