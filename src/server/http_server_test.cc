#include <gtest/gtest.h>
#include <zlib.h>

#include <nlohmann/json.hpp>

#include "server/gzip.h"
#include "server/server_test.h"

namespace sheaf::server {
namespace {

using nlohmann::json;

std::string gzip(const std::string& text) {
  std::string out(compressBound(text.size()) + 64, '\0');
  z_stream stream{};
  EXPECT_EQ(deflateInit2(&stream, 9, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  stream.avail_in = uInt(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = uInt(out.size());
  EXPECT_EQ(deflate(&stream, Z_FINISH), Z_STREAM_END);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

std::string chunked(std::string_view body, std::size_t chunk_bytes) {
  std::string out = "POST /v1/embeddings HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n";
  char size[32];
  for (; !body.empty(); body.remove_prefix(std::min(chunk_bytes, body.size()))) {
    const std::string_view chunk = body.substr(0, chunk_bytes);
    std::snprintf(size, sizeof size, "%zx\r\n", chunk.size());
    out.append(size).append(chunk).append("\r\n");
  }
  return out + "0\r\n\r\n";
}

std::vector<float> floats_of(const json& list) { return list.get<std::vector<float>>(); }

std::vector<float> expected(const std::string& text) {
  std::vector<float> values;
  for (std::uint32_t i = 0; i < api::FakeRouter::kDimensions; ++i) {
    values.push_back(api::FakeRouter::value(text, i));
  }
  return values;
}

std::string decode_base64(const std::string& text) {
  const std::string alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  std::uint32_t bits = 0;
  int count = 0;
  for (const char c : text) {
    if (c == '=') break;
    bits = bits << 6 | std::uint32_t(alphabet.find(c));
    if ((count += 6) >= 8) out.push_back(char(bits >> (count -= 8)));
  }
  return out;
}

TEST(HttpServerTest, VectorsAreThoseOfTheRouterInOrder) {
  TestServer server;
  TestClient client = server.client();
  const auto response = client.ask(post("/v1/embeddings", R"({"input": ["a", "bb", "ccc"]})"));
  ASSERT_TRUE(response);
  const json body = json::parse(response->body);
  ASSERT_EQ(body["data"].size(), 3u);
  const char* texts[] = {"a", "bb", "ccc"};
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(body["data"][i]["index"], i);
    EXPECT_EQ(floats_of(body["data"][i]["embedding"]), expected(texts[i]));
  }
}

TEST(HttpServerTest, Base64HoldsTheSameBytes) {
  TestServer server;
  TestClient client = server.client();
  for (const int dimensions : {8, 7, 6, 1}) {  // all paddings
    const auto response = client.ask(
        post("/v1/embeddings", R"({"input": "text", "encoding_format": "base64", "dimensions": )" +
                                   std::to_string(dimensions) + "}"));
    ASSERT_TRUE(response);
    const std::string bytes =
        decode_base64(json::parse(response->body)["data"][0]["embedding"].get<std::string>());
    ASSERT_EQ(bytes.size(), 4u * dimensions);
    EXPECT_EQ(std::memcmp(bytes.data(), expected("text").data(), bytes.size()), 0);
  }
}

TEST(HttpServerTest, PipelinedAnswersKeepTheirOrder) {
  TestServer server;
  TestClient client = server.client();
  std::string requests;
  for (int i = 0; i < 20; ++i) {
    requests += post("/embed", R"({"inputs": "text )" + std::to_string(i) + "\"}");
    requests += get("/health/live");
  }
  client.send(requests);
  for (int i = 0; i < 20; ++i) {
    const auto response = client.read();
    ASSERT_TRUE(response);
    EXPECT_EQ(floats_of(json::parse(response->body)[0]), expected("text " + std::to_string(i)));
    ASSERT_TRUE(client.read());
  }
}

TEST(HttpServerTest, BytesMayComeOneByOne) {
  TestServer server;
  TestClient client = server.client();
  for (const char c : post("/embed", R"({"inputs": "slow"})")) client.send({&c, 1});
  const auto response = client.read();
  ASSERT_TRUE(response);
  EXPECT_EQ(floats_of(json::parse(response->body)[0]), expected("slow"));
}

TEST(HttpServerTest, ChunkedBodies) {
  TestServer server;
  TestClient client = server.client();
  const std::string body = R"({"input": ")" + std::string(100'000, 'x') + "\"}";
  for (const std::size_t chunk : {7u, 1000u, 99'000u, 1'000'000u}) {
    const auto response = client.ask(chunked(body, chunk));
    ASSERT_TRUE(response);
    EXPECT_EQ(response->status, 200) << response->body;
  }
  EXPECT_EQ(std::get<std::string>(server.router.last().inputs[0]).size(), 100'000u);
  const auto broken =
      client.ask("POST /embed HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nnot a size\r\n");
  ASSERT_TRUE(broken);
  EXPECT_EQ(broken->status, 400);
  EXPECT_TRUE(client.closed());
}

TEST(HttpServerTest, GzippedBodies) {
  TestServer server;
  TestClient client = server.client();
  const std::string zipped = gzip(R"({"inputs": "zipped"})");
  auto response = client.ask(post("/embed", zipped, "Content-Encoding: gzip\r\n"));
  ASSERT_TRUE(response);
  EXPECT_EQ(floats_of(json::parse(response->body)[0]), expected("zipped"));
  response =
      client.ask(post("/embed", zipped.substr(0, zipped.size() - 5), "Content-Encoding: gzip\r\n"));
  ASSERT_TRUE(response);
  EXPECT_EQ(response->status, 400);
  EXPECT_NE(response->body.find("not a whole gzip stream"), std::string::npos);
  response = client.ask(post("/embed", "{}", "Content-Encoding: br\r\n"));
  ASSERT_TRUE(response);
  EXPECT_EQ(response->status, 415);
}

TEST(HttpServerTest, GzipExpansionIsBounded) {
  ServerOptions options;
  options.body_bytes_max = 1 << 20;
  TestServer server(options);
  TestClient client = server.client();
  const std::string bomb = gzip(std::string(50 << 20, ' '));
  ASSERT_LT(bomb.size(), options.body_bytes_max);
  const auto response = client.ask(post("/embed", bomb, "Content-Encoding: gzip\r\n"));
  ASSERT_TRUE(response);
  EXPECT_EQ(response->status, 413);
  EXPECT_NE(response->body.find("1048576"), std::string::npos) << response->body;
}

TEST(HttpServerTest, ExpectContinueIsAnsweredBeforeTheBody) {
  TestServer server;
  TestClient client = server.client();
  const std::string request = post("/embed", R"({"inputs": "a"})", "Expect: 100-continue\r\n");
  const std::size_t body = request.find("\r\n\r\n") + 4;
  client.send(request.substr(0, body));
  const auto go_on = client.read();
  ASSERT_TRUE(go_on);
  EXPECT_EQ(go_on->status, 100);
  client.send(request.substr(body));
  const auto response = client.read();
  ASSERT_TRUE(response);
  EXPECT_EQ(response->status, 200);
}

TEST(HttpServerTest, ExpectContinueIsRefusedAtTheDoor) {
  TestServer server;
  server.router.refuse_at_door(Error{ErrorCode::overloaded, "the queue holds 9 tokens", "", 7});
  TestClient client = server.client();
  const auto response =
      client.ask("POST /embed HTTP/1.1\r\nContent-Length: 1000\r\nExpect: 100-continue\r\n\r\n");
  ASSERT_TRUE(response);
  EXPECT_EQ(response->status, 429);
  EXPECT_TRUE(client.closed());
}

TEST(HttpServerTest, OverloadIsSaidAtTheDoorAndTheConnectionLives) {
  TestServer server;
  server.router.refuse_at_door(Error{ErrorCode::overloaded, "the queue holds 9 tokens", "", 7});
  TestClient client = server.client();
  for (int i = 0; i < 3; ++i) {
    const auto response = client.ask(post("/v1/embeddings", R"({"input": "a"})"));
    ASSERT_TRUE(response);
    EXPECT_EQ(response->status, 429);
    EXPECT_EQ(response->header("retry-after"), "7");
    EXPECT_EQ(json::parse(response->body)["error"]["type"], "rate_limit_error");
  }
  EXPECT_EQ(server.router.embeds(), 0u);
  server.router.refuse_at_door(std::nullopt);
  EXPECT_EQ(client.ask(post("/v1/embeddings", R"({"input": "a"})"))->status, 200);
}

TEST(HttpServerTest, ErrorsOfTheRouterHaveEachDialectsForm) {
  TestServer server;
  TestClient client = server.client();
  struct Case {
    ErrorCode code;
    int openai, tei;
    const char* type;
  };
  for (const Case& c : {Case{ErrorCode::overloaded, 429, 429, "Overloaded"},
                        Case{ErrorCode::unavailable, 503, 503, "Unhealthy"},
                        Case{ErrorCode::poisonous, 400, 424, "Backend"},
                        Case{ErrorCode::wrong_model_type, 400, 424, "Backend"},
                        Case{ErrorCode::deadline_exceeded, 504, 504, "Backend"},
                        Case{ErrorCode::internal, 500, 500, "Backend"}}) {
    server.router.refuse_with(Error{c.code, "the reason"});
    const auto openai = client.ask(post("/v1/embeddings", R"({"input": "a"})"));
    const auto tei = client.ask(post("/embed", R"({"inputs": "a"})"));
    ASSERT_TRUE(openai && tei);
    EXPECT_EQ(openai->status, c.openai);
    EXPECT_EQ(tei->status, c.tei);
    EXPECT_EQ(json::parse(openai->body)["error"]["message"], "the reason");
    EXPECT_EQ(json::parse(tei->body), json({{"error", "the reason"}, {"error_type", c.type}}));
    const bool retry = c.code == ErrorCode::overloaded || c.code == ErrorCode::unavailable;
    EXPECT_EQ(tei->header("retry-after"), retry ? "1" : "");
  }
}

TEST(HttpServerTest, LimitsNameTheirNumbers) {
  TestServer server;
  {
    TestClient client = server.client();
    const auto response = client.ask(get("/health", "X: " + std::string(40'000, 'x') + "\r\n"));
    ASSERT_TRUE(response);
    EXPECT_EQ(response->status, 431);
    EXPECT_NE(response->body.find("32768"), std::string::npos);
    EXPECT_NE(response->header("x-request-id"), "");
    EXPECT_TRUE(client.closed());
  }
  {
    TestClient client = server.client();
    client.send("POST /embed HTTP/1.1\r\nContent-Length: 40000000\r\n\r\n");
    const auto response = client.read();
    ASSERT_TRUE(response);
    EXPECT_EQ(response->status, 413);
    EXPECT_NE(response->body.find("33554432"), std::string::npos);
    EXPECT_EQ(json::parse(response->body)["error_type"], "Validation");
    EXPECT_TRUE(client.closed());
  }
  json many;
  many["input"] = std::vector<std::string>(2049, "a");
  TestClient client = server.client();
  const auto response = client.ask(post("/v1/embeddings", many.dump()));
  ASSERT_TRUE(response);
  EXPECT_EQ(response->status, 413);
  EXPECT_NE(response->body.find("input holds 2049 texts; a request may hold 2048"),
            std::string::npos);
  many["input"].erase(0);
  EXPECT_EQ(client.ask(post("/v1/embeddings", many.dump()))->status, 200);
}

TEST(HttpServerTest, AChunkedBodyIsBounded) {
  ServerOptions options;
  options.body_bytes_max = 10'000;
  TestServer server(options);
  TestClient client = server.client();
  const auto response = client.ask(chunked(std::string(20'000, 'x'), 3'000));
  ASSERT_TRUE(response);
  EXPECT_EQ(response->status, 413);
  EXPECT_NE(response->body.find("10000"), std::string::npos);
}

TEST(HttpServerTest, BodiesAreBoundedTogether) {
  ServerOptions options;
  options.bodies_bytes_max = 10'000;
  TestServer server(options);
  const std::string large = post("/embed", R"({"inputs": ")" + std::string(7'000, 'a') + "\"}");
  const std::string gzipped =
      post("/embed", gzip(R"({"inputs": ")" + std::string(9'000, 'a') + "\"}"),
           "Content-Encoding: gzip\r\n");
  for (const std::string& more : {large, gzipped}) {
    bool slow_was_first = false;
    for (int round = 0; round < 50 && !slow_was_first; ++round) {
      TestClient slow = server.client();
      slow.send(large.substr(0, large.size() - 1));
      std::optional<TestResponse> refused;
      for (int i = 0; i < 1000; ++i) {  // until what the slow one sent is read
        refused = server.client().ask(more);
        if (refused && refused->status == 429) break;
      }
      ASSERT_TRUE(refused);
      EXPECT_EQ(refused->status, 429);
      EXPECT_EQ(refused->header("retry-after"), "1");
      EXPECT_NE(refused->body.find("more than 10000 bytes together"), std::string::npos)
          << refused->body;
      EXPECT_EQ(server.client().ask(post("/embed", R"({"inputs": "a"})"))->status, 200)
          << "small ones pass";
      // Read while one of the others was, the slow one may have been refused in turn.
      const auto answer = slow.ask(large.substr(large.size() - 1));
      slow_was_first = answer && answer->status == 200;
      if (slow_was_first) {
        EXPECT_EQ(slow.ask(post("/embed", R"({"inputs": "a"})"))->status, 200)
            << "it holds no more";
      }
    }
    EXPECT_TRUE(slow_was_first);
  }
  EXPECT_EQ(server.client().ask(large)->status, 200);
}

TEST(HttpServerTest, RoutesThatShowTokensTakeLess) {
  TestServer server;
  TestClient client = server.client();
  for (const char* path : {"/tokenize", "/decode"}) {
    const auto response =
        client.ask(post(path, R"({"inputs": ")" + std::string(2 << 20, 'a') + "\"}"));
    ASSERT_TRUE(response);
    EXPECT_EQ(response->status, 413) << path;
    EXPECT_NE(response->body.find("takes 1048576"), std::string::npos) << response->body;
  }
}

TEST(HttpServerTest, FramingIsBounded) {
  TestServer server;
  const std::string head = "POST /embed HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
  for (const std::string& begin : {head + "1;x=", head + "0\r\nX: ", head + "0\r\nX: y\r\nY: "}) {
    TestClient client = server.client();
    client.send(begin);
    for (int i = 0; i < 10; ++i) client.send(std::string(10'000, 'x'));
    const auto response = client.read();
    ASSERT_TRUE(response);
    EXPECT_EQ(response->status, 413);
    EXPECT_NE(response->body.find("32768"), std::string::npos) << response->body;
  }
}

TEST(HttpServerTest, AnUnknownTransferEncodingEndsTheConnection) {
  TestServer server;
  for (const std::string coding : {"xchunked", "gzip, chunked", "identity", ""}) {
    TestClient client = server.client();
    client.send("POST /embed HTTP/1.1\r\nTransfer-Encoding: " + coding + "\r\n\r\n" +
                get("/health"));
    const auto response = client.read();
    ASSERT_TRUE(response);
    EXPECT_EQ(response->status, 501) << coding;
    EXPECT_NE(response->body.find(coding), std::string::npos) << response->body;
    EXPECT_TRUE(client.closed()) << "what follows may be a body";
  }
}

TEST(HttpServerTest, TwentyMegabytesAreTaken) {
  TestServer server;
  TestClient client = server.client();
  json body;
  body["inputs"] = std::vector<std::string>(2000, std::string(10'000, 'y'));
  const auto response = client.ask(post("/embed", body.dump()));
  ASSERT_TRUE(response);
  EXPECT_EQ(response->status, 200);
  EXPECT_EQ(json::parse(response->body).size(), 2000u);
  EXPECT_EQ(client.ask(get("/health"))->status, 200);
}

TEST(HttpServerTest, SlowSendersAreEnded) {
  ServerOptions options;
  options.header_timeout_ms = 50;
  options.body_timeout_ms = 60;
  options.idle_timeout_ms = 70;
  TestServer server(options);
  TestClient half_header = server.client();
  TestClient half_body = server.client();
  TestClient silent = server.client();
  half_header.send("GET /health HT");
  half_body.send("POST /embed HTTP/1.1\r\nContent-Length: 10\r\n\r\n{");
  auto response = half_header.read();
  ASSERT_TRUE(response);
  EXPECT_EQ(response->status, 408);
  EXPECT_NE(response->body.find("within 50 ms"), std::string::npos);
  response = half_body.read();
  ASSERT_TRUE(response);
  EXPECT_EQ(response->status, 408);
  EXPECT_NE(response->body.find("within 60 ms"), std::string::npos);
  EXPECT_TRUE(silent.closed());
}

TEST(HttpServerTest, AReaderThatStopsReadingIsEnded) {
  ServerOptions options;
  options.write_timeout_ms = 100;
  TestServer server(options);
  server.router.set_dimensions(4096);
  json body;
  body["inputs"] = std::vector<std::string>(2048, "a");
  TestClient client = server.client();
  client.send(post("/embed", body.dump()));  // an answer of some 80 MB, never read
  const auto wait_for = [&](std::size_t connections) {
    for (int i = 0; i < 3000 && server.server->connections() != connections; ++i)
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    return server.server->connections() == connections;
  };
  ASSERT_TRUE(wait_for(1));
  EXPECT_TRUE(wait_for(0));
}

TEST(HttpServerTest, TheConnectionCapIsSaid) {
  ServerOptions options;
  options.connections_max = 2;
  TestServer server(options);
  TestClient first = server.client(), second = server.client();
  ASSERT_EQ(first.ask(get("/health"))->status, 200);
  ASSERT_EQ(second.ask(get("/health"))->status, 200);
  TestClient third = server.client();
  const auto response = third.read();
  ASSERT_TRUE(response);
  EXPECT_EQ(response->status, 503);
  EXPECT_NE(response->body.find("all 2 connections"), std::string::npos);
  EXPECT_NE(response->header("x-request-id"), "");
  EXPECT_TRUE(third.closed());
  EXPECT_EQ(first.ask(get("/health"))->status, 200);
}

TEST(HttpServerTest, AClientThatLeavesCancelsItsRequest) {
  TestServer server;
  server.router.hold();
  for (std::size_t i = 1; i <= 3; ++i) {
    TestClient client = server.client();
    client.send(post("/embed", R"({"inputs": "a"})"));
    ASSERT_TRUE(server.router.wait_held(1));
    client.close();
    EXPECT_TRUE(server.router.wait_cancelled(i));
  }
}

// The watch for a disconnect survives the turns of a kept-alive connection.
TEST(HttpServerTest, AClientThatLeavesLaterCancelsThatRequest) {
  TestServer server;
  TestClient client = server.client();
  for (int i = 0; i < 50; ++i) {
    server.router.hold();
    client.send(post("/embed", R"({"inputs": "a"})"));
    ASSERT_TRUE(server.router.wait_held(1));
    server.router.release();
    ASSERT_EQ(client.read()->status, 200);
  }
  server.router.hold();
  client.send(post("/embed", R"({"inputs": "a"})"));
  ASSERT_TRUE(server.router.wait_held(1));
  client.close();
  EXPECT_TRUE(server.router.wait_cancelled(1));
}

TEST(HttpServerTest, DrainFinishesWhatIsAtHand) {
  TestServer server;
  TestClient busy = server.client(), idle = server.client();
  ASSERT_EQ(idle.ask(get("/health"))->status, 200);
  server.router.hold();
  busy.send(post("/embed", R"({"inputs": "a"})"));
  ASSERT_TRUE(server.router.wait_held(1));
  std::promise<void> drained;
  server.server->drain([&] { drained.set_value(); });
  auto future = drained.get_future();
  EXPECT_TRUE(idle.closed());
  EXPECT_EQ(future.wait_for(std::chrono::milliseconds(20)), std::future_status::timeout);
  server.router.release();
  const auto response = busy.read();
  ASSERT_TRUE(response);
  EXPECT_EQ(response->status, 200);
  EXPECT_EQ(response->header("connection"), "close");
  EXPECT_EQ(future.wait_for(std::chrono::seconds(10)), std::future_status::ready);
  EXPECT_FALSE(server.client().connected());
}

TEST(HttpServerTest, DrainEndsAfterItsTimeout) {
  ServerOptions options;
  options.drain_timeout_ms = 50;
  TestServer server(options);
  server.router.hold();
  TestClient busy = server.client();
  busy.send(post("/embed", R"({"inputs": "a"})"));
  ASSERT_TRUE(server.router.wait_held(1));
  EXPECT_TRUE(server.drain());
  EXPECT_TRUE(busy.closed());
  EXPECT_TRUE(server.router.wait_cancelled(1));
}

TEST(HttpServerTest, MayBeDestroyedWithRequestsOpen) {
  TestServer server;
  server.router.hold();
  TestClient client = server.client();
  client.send(post("/embed", R"({"inputs": "a"})"));
  ASSERT_TRUE(server.router.wait_held(1));
  server.server.reset();
  EXPECT_TRUE(client.closed());
  server.router.release();
}

TEST(HttpServerTest, KeysOpenWhatIsNotPublic) {
  ServerOptions options;
  options.api.api_keys = {"secret", "other"};
  TestServer server(options);
  TestClient client = server.client();
  const auto ask = [&](const std::string& path, const std::string& authorization) {
    const std::string header =
        authorization.empty() ? "" : "Authorization: " + authorization + "\r\n";
    return path == "/v1/embeddings" ? *client.ask(post(path, R"({"input": "a"})", header))
                                    : *client.ask(get(path, header));
  };
  for (const char* wrong :
       {"", "Bearer ", "Bearer", "Bearer secre", "Bearer secrett", "Bearer x", "Basic secret"}) {
    const TestResponse response = ask("/v1/embeddings", wrong);
    EXPECT_EQ(response.status, 401) << wrong;
    EXPECT_EQ(json::parse(response.body)["error"]["code"], "invalid_api_key");
    EXPECT_NE(response.header("x-request-id"), "");
  }
  for (const char* right : {"Bearer secret", "bearer other", "secret"}) {
    EXPECT_EQ(ask("/v1/embeddings", right).status, 200) << right;
  }
  for (const char* path : {"/v1/models", "/info", "/v1/fleet"})
    EXPECT_EQ(ask(path, "").status, 401);
  for (const char* path : {"/", "/health", "/health/live", "/health/ready", "/metrics", "/ping"}) {
    EXPECT_EQ(ask(path, "").status, 200) << path;
  }
}

TEST(HttpServerTest, NoKeyIsAskedForWithoutKeys) {
  TestServer server;
  TestClient client = server.client();
  for (const char* header : {"", "Authorization:\r\n", "Authorization: Bearer anything\r\n"}) {
    EXPECT_EQ(client.ask(post("/v1/embeddings", R"({"input": "a"})", header))->status, 200);
  }
}

TEST(HttpServerTest, BrowsersMayAskWithAnyStainlessHeader) {
  ServerOptions options;
  options.api.cors_allow_origin = {"https://a.example", "https://b.example"};
  options.api.api_keys = {"secret"};
  TestServer server(options);
  TestClient client = server.client();
  auto response = client.ask(
      "OPTIONS /v1/embeddings HTTP/1.1\r\nOrigin: "
      "https://b.example\r\nAccess-Control-Request-Method: "
      "POST\r\nAccess-Control-Request-Headers: "
      "authorization,x-stainless-lang,x-stainless-new\r\n\r\n");
  ASSERT_TRUE(response);
  EXPECT_EQ(response->status, 204);
  EXPECT_EQ(response->header("access-control-allow-origin"), "https://b.example");
  EXPECT_EQ(response->header("access-control-allow-headers"),
            "authorization,x-stainless-lang,x-stainless-new");
  EXPECT_EQ(response->header("access-control-allow-methods"), "POST");
  response = client.ask(post("/v1/embeddings", "{}", "Origin: https://a.example\r\n"));
  EXPECT_EQ(response->status, 401);  // readable by the page all the same
  EXPECT_EQ(response->header("access-control-allow-origin"), "https://a.example");
  EXPECT_EQ(response->header("vary"), "Origin");
  response = client.ask(get("/health", "Origin: https://c.example\r\n"));
  EXPECT_EQ(response->header("access-control-allow-origin"), "");
}

TEST(HttpServerTest, HealthFollowsTheRouter) {
  TestServer server;
  server.router.set_ready(false);
  TestClient client = server.client();
  for (const char* path : {"/health", "/", "/ping", "/health/ready"}) {
    const auto response = client.ask(get(path));
    EXPECT_EQ(response->status, 503) << path;
    EXPECT_EQ(json::parse(response->body)["error_type"], "Unhealthy");
    EXPECT_EQ(response->header("retry-after"), "1");
  }
  EXPECT_EQ(client.ask(get("/health/live"))->status, 200);
}

TEST(HttpServerTest, BrokenTextIsRefused) {
  TestServer server;
  TestClient client = server.client();
  for (const std::string& text :
       {std::string("\xff"), std::string("\xc3"), std::string("\xed\xa0\x80"),
        std::string("\\ud800"), std::string("a\nb")}) {
    const auto response = client.ask(post("/v1/embeddings", "{\"input\": \"" + text + "\"}"));
    ASSERT_TRUE(response);
    EXPECT_EQ(response->status, 400) << response->body;
  }
  const auto response = client.ask(post("/v1/embeddings", "{\"input\": \"\xff\"}"));
  EXPECT_NE(response->body.find("not valid UTF-8"), std::string::npos);
}

TEST(HttpServerTest, NestingIsBounded) {
  TestServer server;
  TestClient client = server.client();
  for (const std::size_t depth : {100u, 1'000'000u}) {
    const auto response =
        client.ask(post("/v1/embeddings",
                        "{\"input\": " + std::string(depth, '[') + std::string(depth, ']') + "}"));
    ASSERT_TRUE(response);
    EXPECT_EQ(response->status, 400);
    EXPECT_NE(response->body.find("64 levels"), std::string::npos) << response->body;
  }
}

TEST(HttpServerTest, WhatIsNotHttpIsRefusedAndDisturbsNobody) {
  TestServer server;
  TestClient good = server.client();
  for (const std::string& bytes :
       {std::string("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 11), std::string("GET\r\n\r\n"),
        std::string("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), std::string(1000, '\0'),
        std::string("POST /embed HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello"),
        std::string("POST /embed HTTP/1.1\r\nContent-Length: -5\r\n\r\nhello"),
        std::string(
            "POST /embed HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n")}) {
    TestClient client = server.client();
    const auto response = client.ask(bytes);
    ASSERT_TRUE(response);
    EXPECT_EQ(response->status, 400) << bytes;
    EXPECT_TRUE(json::parse(response->body).contains("error"));
    EXPECT_TRUE(client.closed());
    EXPECT_EQ(good.ask(get("/health"))->status, 200);
  }
}

TEST(HttpServerTest, TimeoutsBecomeDeadlines) {
  TestServer server;
  TestClient client = server.client();
  client.ask(post("/embed", R"({"inputs": "a"})"));
  EXPECT_EQ(server.router.last().deadline_us, 0);
  const TimeUs before_us = monotonic_us();
  client.ask(post("/embed", R"({"inputs": "a"})", "x-request-timeout-ms: 1500\r\n"));
  const TimeUs deadline_us = server.router.last().deadline_us;
  EXPECT_GE(deadline_us, before_us + 1'500'000);
  EXPECT_LE(deadline_us, monotonic_us() + 1'500'000);
}

TEST(HttpServerTest, OptionsReachTheRouter) {
  ServerOptions options;
  options.api.allow_token_ids = true;
  options.api.auto_truncate = false;
  TestServer server(options);
  TestClient client = server.client();
  client.ask(post("/v1/embeddings?model=org%2Fmodel", R"({"input": [[1, 2], [3]]})"));
  router::EmbedRequest request = server.router.last();
  EXPECT_EQ(request.model, "org/model");
  ASSERT_EQ(request.inputs.size(), 2u);
  EXPECT_EQ(std::get<std::vector<std::int32_t>>(request.inputs[0]),
            (std::vector<std::int32_t>{1, 2}));
  EXPECT_FALSE(request.truncate);
  client.ask(post("/embed", R"({"inputs": "a", "truncate": "TRUE", "truncation_direction": "left",
                                "normalize": false, "dimensions": 3, "prompt_name": "query"})"));
  request = server.router.last();
  EXPECT_TRUE(request.truncate);
  EXPECT_EQ(request.truncation_side, tokenizer::Side::left);
  EXPECT_FALSE(request.normalize);
  EXPECT_EQ(request.dimensions, 3u);
  EXPECT_EQ(request.prompt_name, "query");
}

TEST(HttpServerTest, HttpOneDotZeroAndCloseAreHonoured) {
  TestServer server;
  TestClient old = server.client();
  ASSERT_EQ(old.ask("GET /health/live HTTP/1.0\r\n\r\n")->status, 200);
  EXPECT_TRUE(old.closed());
  TestClient closing = server.client();
  const auto response = closing.ask(get("/health/live", "Connection: close\r\n"));
  EXPECT_EQ(response->header("connection"), "close");
  EXPECT_TRUE(closing.closed());
}

TEST(HttpServerTest, ManyClientsAtOnce) {
  TestServer server;
  std::atomic<int> wrong = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&, t] {
      TestClient client = server.client();
      for (int i = 0; i < 50; ++i) {
        const std::string text = std::to_string(t) + " " + std::to_string(i);
        const auto response = client.ask(post("/embed", R"({"inputs": ")" + text + "\"}"));
        wrong += !response || floats_of(json::parse(response->body)[0]) != expected(text);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
}

TEST(HttpServerTest, ATakenPortIsNamed) {
  TestServer server;
  boost::asio::io_context io;
  api::FakeRouter router(io);
  telemetry::Metrics metrics;
  ServerOptions options;
  options.http_port = server.server->http_port();
  const auto second = Server::start(io, router, metrics, options);
  ASSERT_FALSE(second.ok());
  EXPECT_NE(second.error().message.find(std::to_string(options.http_port)), std::string::npos);
}

TEST(GzipTest, MembersAndLimits) {
  const std::string text(10'000, 'a');
  EXPECT_EQ(*gunzip(gzip(text), 10'000), text);
  EXPECT_EQ(gunzip(gzip(text), 9'999).error().code, ErrorCode::too_large);
  EXPECT_EQ(*gunzip(gzip(text) + gzip("b"), 10'001), text + "b");
  EXPECT_EQ(*gunzip(gzip(""), 0), "");
  const std::string zipped = gzip("some text that is long enough to be cut");
  for (std::size_t bytes = 0; bytes < zipped.size(); ++bytes) {
    EXPECT_FALSE(gunzip(zipped.substr(0, bytes), 1000).ok()) << bytes;
  }
}

}  // namespace
}  // namespace sheaf::server
