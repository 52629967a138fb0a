#include <gtest/gtest.h>

#include <cstdlib>

#include "arctic.grpc.pb.h"
#include "health.grpc.pb.h"
#include "reflection_v1.grpc.pb.h"
#include "server/grpc_channel_fixture.h"

namespace sheaf::server {
namespace {

namespace arctic = arctic_inference;
namespace health = grpc::health::v1;

struct ArcticClient {
  explicit ArcticClient(const TestServer& server)
      : stub(arctic::InferenceService::NewStub(channel_to(server))) {}

  grpc::Status encode(const arctic::EncodeRequest& request) {
    grpc::ClientContext context;
    return encode(context, request);
  }
  grpc::Status encode(grpc::ClientContext& context, const arctic::EncodeRequest& request) {
    response.Clear();
    const grpc::Status status = stub->Encode(&context, request, &response);
    for (const auto& [key, value] : context.GetServerTrailingMetadata()) {
      trailers[std::string(key.data(), key.size())] = std::string(value.data(), value.size());
    }
    return status;
  }

  std::unique_ptr<arctic::InferenceService::Stub> stub;
  arctic::EncodeResponse response;
  std::map<std::string, std::string> trailers;
};

arctic::EncodeRequest texts(std::vector<std::string> prompts) {
  arctic::EncodeRequest request;
  request.set_request_id("r1");
  request.set_n_prompts(int(prompts.size()));
  for (std::string& prompt : prompts) request.add_prompts(std::move(prompt));
  request.set_model_name("org/model");
  return request;
}

std::string row(const router::Input& input) {
  std::string bytes;
  for (std::uint32_t i = 0; i < api::FakeRouter::kDimensions; ++i) {
    const float value = api::FakeRouter::value(input, i);
    bytes.append(reinterpret_cast<const char*>(&value), sizeof value);
  }
  return bytes;
}

std::string bytes_of(const std::vector<std::int32_t>& ids) {
  return {reinterpret_cast<const char*>(ids.data()), ids.size() * sizeof(std::int32_t)};
}

TEST(GrpcServerTest, EncodesTexts) {
  TestServer server;
  ArcticClient client(server);
  std::vector<std::string> prompts;
  for (int i = 0; i < 16; ++i) prompts.push_back("text " + std::to_string(i));
  ASSERT_TRUE(client.encode(texts(prompts)).ok());
  EXPECT_EQ(client.response.error(), "");
  EXPECT_EQ(client.response.request_id(), "r1");
  EXPECT_EQ(client.response.n_prompts(), 16);
  EXPECT_EQ(client.response.embedding_dim(), 8);
  ASSERT_EQ(client.response.embedding_bytes_fp32_size(), 16);
  for (int i = 0; i < 16; ++i) {
    EXPECT_EQ(client.response.embedding_bytes_fp32(i), row(prompts[std::size_t(i)]));
  }
  EXPECT_EQ(client.trailers["x-sheaf-tokens"], "48");
  EXPECT_EQ(client.trailers["x-sheaf-compute-us"], "4900");
  EXPECT_EQ(client.trailers["x-sheaf-replica"], "0");
}

TEST(GrpcServerTest, TokenBytesWinOverPrompts) {
  TestServer server;
  ArcticClient client(server);
  arctic::EncodeRequest request = texts({"ignored"});
  request.clear_request_id();
  request.add_token_id_bytes_i32(bytes_of({101, 7, 102}));
  ASSERT_TRUE(client.encode(request).ok());
  EXPECT_EQ(client.response.error(), "");
  ASSERT_EQ(client.response.embedding_bytes_fp32_size(), 1);
  EXPECT_EQ(client.response.embedding_bytes_fp32(0), row(std::vector<std::int32_t>{101, 7, 102}));
  EXPECT_NE(client.response.request_id(), "");
  EXPECT_EQ(std::get<std::vector<std::int32_t>>(server.router.last().inputs[0]),
            (std::vector<std::int32_t>{101, 7, 102}));
}

TEST(GrpcServerTest, FailuresOfTheRequestAreInBand) {
  TestServer server;
  ArcticClient client(server);
  const auto error_of = [&](const arctic::EncodeRequest& request) {
    EXPECT_TRUE(client.encode(request).ok());
    EXPECT_EQ(client.response.embedding_bytes_fp32_size(), 0);
    EXPECT_EQ(client.response.request_id(), "r1");
    return client.response.error();
  };
  arctic::EncodeRequest request = texts({"a", "b"});
  request.set_n_prompts(3);
  EXPECT_EQ(error_of(request), "n_prompts is 3 but prompts holds 2 items");
  request = texts({"a"});
  request.set_model_name("other");
  EXPECT_EQ(error_of(request), "model \"other\" is not served");
  EXPECT_EQ(error_of(texts({})), "the request has no prompts");
  request = texts({"a"});
  request.add_token_id_bytes_i32("abcde");
  EXPECT_NE(error_of(request).find("token_id_bytes_i32[0] has 5 bytes"), std::string::npos);
  request = texts({"a"});
  request.add_token_id_bytes_i32(bytes_of({-1}));
  EXPECT_EQ(error_of(request), "a token id is not below 1000");
  EXPECT_EQ(error_of(texts(std::vector<std::string>(2049, "a"))),
            "the request holds 2049 texts; it may hold 2048");
  server.router.refuse_with(Error{ErrorCode::poisonous, "this text kills replicas"});
  EXPECT_EQ(error_of(texts({"a"})), "this text kills replicas");
  server.router.refuse_with(std::nullopt);
  request = texts({"a"});
  request.clear_model_name();
  EXPECT_TRUE(client.encode(request).ok());
  EXPECT_EQ(client.response.error(), "") << "an empty name is the default model";
}

TEST(GrpcServerTest, WhatMayBeRetriedIsAStatus) {
  TestServer server;
  ArcticClient client(server);
  server.router.refuse_with(Error{ErrorCode::unavailable, "no healthy replica"});
  grpc::Status status = client.encode(texts({"a"}));
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(status.error_message(), "no healthy replica");
  server.router.refuse_with(Error{ErrorCode::overloaded, "the queue holds 9 tokens"});
  EXPECT_EQ(client.encode(texts({"a"})).error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  server.router.refuse_with(Error{ErrorCode::deadline_exceeded, "late"});
  EXPECT_EQ(client.encode(texts({"a"})).error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
}

TEST(GrpcServerTest, DeadlinesReachTheRouterAndCancel) {
  TestServer server;
  ArcticClient client(server);
  ASSERT_TRUE(client.encode(texts({"a"})).ok());
  EXPECT_EQ(server.router.last().deadline_us, 0);
  server.router.hold();
  grpc::ClientContext context;
  const TimeUs before_us = monotonic_us();
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::milliseconds(200));
  EXPECT_EQ(client.encode(context, texts({"a"})).error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
  EXPECT_NEAR(double(server.router.last().deadline_us - before_us), 200e3, 50e3);
  EXPECT_TRUE(server.router.wait_cancelled(1));
}

TEST(GrpcServerTest, AClientsCancellationReachesTheRouter) {
  TestServer server;
  server.router.hold();
  ArcticClient client(server);
  grpc::ClientContext context;
  std::thread canceller([&] {
    EXPECT_TRUE(server.router.wait_held(1));
    context.TryCancel();
  });
  EXPECT_EQ(client.encode(context, texts({"a"})).error_code(), grpc::StatusCode::CANCELLED);
  canceller.join();
  EXPECT_TRUE(server.router.wait_cancelled(1));
}

TEST(GrpcServerTest, AbortEndsTheRequestsOfItsId) {
  TestServer server;
  server.router.hold();
  ArcticClient client(server), other(server);
  std::thread aborter([&] {
    EXPECT_TRUE(server.router.wait_held(1));
    arctic::AbortRequest request;
    arctic::AbortResponse response;
    request.set_request_id("unknown");
    grpc::ClientContext first, second;
    EXPECT_TRUE(other.stub->Abort(&first, request, &response).ok());
    EXPECT_FALSE(response.success());
    request.set_request_id("r1");
    EXPECT_TRUE(other.stub->Abort(&second, request, &response).ok());
    EXPECT_TRUE(response.success());
  });
  EXPECT_TRUE(client.encode(texts({"a"})).ok());
  EXPECT_EQ(client.response.error(), "the request was aborted");
  aborter.join();
  EXPECT_TRUE(server.router.wait_cancelled(1));
}

TEST(GrpcServerTest, SixtyMebibytesPass) {
  TestServer server;
  server.router.set_dimensions(7680);
  ArcticClient client(server);
  arctic::EncodeRequest request = texts(std::vector<std::string>(2048, "x"));
  ASSERT_TRUE(client.encode(request).ok());
  ASSERT_EQ(client.response.embedding_bytes_fp32_size(), 2048);
  EXPECT_EQ(client.response.embedding_bytes_fp32(2047).size(), 7680u * 4);
}

TEST(GrpcServerTest, TheMessageLimitHolds) {
  ServerOptions options;
  options.grpc_message_bytes_max = 1000;
  TestServer server(options);
  ArcticClient client(server);
  const grpc::Status status = client.encode(texts({std::string(2000, 'x')}));
  EXPECT_EQ(status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_NE(status.error_message().find("1000"), std::string::npos) << status.error_message();
  EXPECT_TRUE(client.encode(texts({"x"})).ok());
}

TEST(GrpcServerTest, AClientThatAnswersNoPingIsGone) {
  ServerOptions options;
  options.grpc_keepalive_ms = 50;
  options.grpc_ping_timeout_ms = 50;
  TestServer server(options);
  TestClient client(server.server->grpc_port());
  // The beginning of HTTP/2, and empty settings.
  const std::string_view hello("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0", 33);
  EXPECT_TRUE(client.send(hello));
  EXPECT_TRUE(client.ends());
}

TEST(GrpcServerTest, ClientsMayPing) {
  ServerOptions options;
  options.grpc_ping_interval_ms = 10;
  TestServer server(options);
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, 50);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  arguments.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  const auto channel = channel_to(server, arguments);
  const auto in = [](int seconds) {
    return std::chrono::system_clock::now() + std::chrono::seconds(seconds);
  };
  ASSERT_TRUE(channel->WaitForConnected(in(10)));
  EXPECT_FALSE(channel->WaitForStateChange(GRPC_CHANNEL_READY, in(1)))
      << "the third ping within ten minutes ended the connection";
}

TEST(GrpcServerTest, CallsBeyondTheConnectionsLimitWait) {
  ServerOptions options;
  options.grpc_calls_max = 2;
  TestServer server(options);
  server.router.hold();
  ArcticClient client(server);
  std::vector<std::thread> calls;
  const auto call = [&] {
    grpc::ClientContext context;
    arctic::EncodeResponse response;
    EXPECT_TRUE(client.stub->Encode(&context, texts({"a"}), &response).ok());
  };
  for (int i = 0; i < 3; ++i) calls.emplace_back(call);
  EXPECT_TRUE(server.router.wait_held(2));
  server.router.release();
  for (std::thread& thread : calls) thread.join();
  EXPECT_EQ(server.router.embeds(), 3u);
}

TEST(GrpcServerTest, TellsItsReplicasAndHealth) {
  TestServer server;
  ArcticClient client(server);
  arctic::ReplicaInfoResponse info;
  grpc::ClientContext first, second, third;
  ASSERT_TRUE(client.stub->GetReplicaInfo(&first, {}, &info).ok());
  EXPECT_EQ(info.n_replicas(), 1);
  EXPECT_EQ(info.n_healthy_replicas(), 1);
  EXPECT_EQ(info.replica_infos(0).model_name(), "org/model");
  EXPECT_EQ(info.replica_infos(0).dtype(), "float32");
  EXPECT_TRUE(info.replica_infos(0).ready());
  arctic::HealthCheckResponse answer;
  ASSERT_TRUE(client.stub->HealthCheck(&second, {}, &answer).ok());
  EXPECT_TRUE(answer.healthy());
  server.router.set_ready(false);
  ASSERT_TRUE(client.stub->HealthCheck(&third, {}, &answer).ok());
  EXPECT_FALSE(answer.healthy());
  EXPECT_EQ(answer.message(), "model org/model has no ready replica");
}

TEST(GrpcServerTest, KeysAreAskedFor) {
  ServerOptions options;
  options.api.api_keys = {"secret"};
  TestServer server(options);
  ArcticClient client(server);
  EXPECT_EQ(client.encode(texts({"a"})).error_code(), grpc::StatusCode::UNAUTHENTICATED);
  grpc::ClientContext context;
  context.AddMetadata("authorization", "Bearer secret");
  EXPECT_TRUE(client.encode(context, texts({"a"})).ok());
  auto stub = health::Health::NewStub(channel_to(server));
  grpc::ClientContext open;
  health::HealthCheckResponse answer;
  EXPECT_TRUE(stub->Check(&open, {}, &answer).ok());
}

health::HealthCheckResponse::ServingStatus check(health::Health::Stub& stub,
                                                 const std::string& service) {
  grpc::ClientContext context;
  health::HealthCheckRequest request;
  health::HealthCheckResponse response;
  request.set_service(service);
  const grpc::Status status = stub.Check(&context, request, &response);
  if (status.error_code() == grpc::StatusCode::NOT_FOUND) {
    return health::HealthCheckResponse::SERVICE_UNKNOWN;
  }
  EXPECT_TRUE(status.ok()) << status.error_message();
  return response.status();
}

TEST(GrpcServerTest, StandardHealthFollowsTheRouter) {
  TestServer server;
  auto stub = health::Health::NewStub(channel_to(server));
  for (const char* service :
       {"", "arctic_inference.InferenceService", "grpc.health.v1.Health",
        "grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection"}) {
    EXPECT_EQ(check(*stub, service), health::HealthCheckResponse::SERVING) << service;
  }
  EXPECT_EQ(check(*stub, "nobody"), health::HealthCheckResponse::SERVICE_UNKNOWN);

  grpc::ClientContext context;
  health::HealthCheckRequest request;
  request.set_service("arctic_inference.InferenceService");
  auto watch = stub->Watch(&context, request);
  health::HealthCheckResponse response;
  ASSERT_TRUE(watch->Read(&response));
  EXPECT_EQ(response.status(), health::HealthCheckResponse::SERVING);
  server.router.set_ready(false);
  ASSERT_TRUE(watch->Read(&response));
  EXPECT_EQ(response.status(), health::HealthCheckResponse::NOT_SERVING);
  EXPECT_EQ(check(*stub, ""), health::HealthCheckResponse::NOT_SERVING);
  server.router.set_ready(true);
  ASSERT_TRUE(watch->Read(&response));
  EXPECT_EQ(response.status(), health::HealthCheckResponse::SERVING);
  // A watcher does not hold up the drain.
  const TimeUs before_us = monotonic_us();
  EXPECT_TRUE(server.drain());
  EXPECT_LT(monotonic_us() - before_us, 5'000'000);
  while (watch->Read(&response)) {
  }
  watch->Finish();
}

TEST(GrpcServerTest, DrainFinishesWhatIsAtHand) {
  TestServer server;
  server.router.hold();
  ArcticClient client(server);
  std::thread drainer([&] {
    EXPECT_TRUE(server.router.wait_held(1));
    std::promise<void> drained;
    server.server->drain([&] { drained.set_value(); });
    auto future = drained.get_future();
    EXPECT_EQ(future.wait_for(std::chrono::milliseconds(50)), std::future_status::timeout);
    server.router.release();
    EXPECT_EQ(future.wait_for(std::chrono::seconds(10)), std::future_status::ready);
  });
  EXPECT_TRUE(client.encode(texts({"a"})).ok());
  EXPECT_EQ(client.response.n_prompts(), 1);
  drainer.join();
}

TEST(GrpcServerTest, MayBeDestroyedWithRequestsOpen) {
  TestServer server;
  server.router.hold();
  ArcticClient client(server);
  std::thread destroyer([&] {
    EXPECT_TRUE(server.router.wait_held(1));
    server.server.reset();
  });
  EXPECT_FALSE(client.encode(texts({"a"})).ok());
  destroyer.join();
  server.router.release();
}

TEST(GrpcServerTest, ATakenPortIsNamed) {
  TestServer server;
  boost::asio::io_context io;
  api::FakeRouter router(io);
  telemetry::Metrics metrics;
  ServerOptions options;
  options.http_port = 0;
  options.grpc_port = server.server->grpc_port();
  const auto second = Server::start(io, router, metrics, options);
  ASSERT_FALSE(second.ok());
  EXPECT_NE(second.error().message.find(std::to_string(options.grpc_port)), std::string::npos);
}

TEST(GrpcServerTest, ReflectionV1KnowsServicesAndTheirFiles) {
  namespace pb = grpc::reflection::v1;
  TestServer server;
  auto stub = pb::ServerReflection::NewStub(channel_to(server));
  grpc::ClientContext context;
  auto stream = stub->ServerReflectionInfo(&context);
  pb::ServerReflectionRequest request;
  pb::ServerReflectionResponse response;
  const auto ask = [&] { return stream->Write(request) && stream->Read(&response); };
  request.set_list_services("");
  ASSERT_TRUE(ask());
  EXPECT_EQ(response.list_services_response().service_size(), 9);
  request.set_file_containing_symbol("arctic_inference.InferenceService.Encode");
  ASSERT_TRUE(ask());
  EXPECT_EQ(response.file_descriptor_response().file_descriptor_proto_size(), 1);
  request.set_file_by_filename("health.proto");
  ASSERT_TRUE(ask());
  EXPECT_EQ(response.file_descriptor_response().file_descriptor_proto_size(), 1);
  request.set_file_containing_symbol("no.such.Symbol");
  ASSERT_TRUE(ask());
  EXPECT_EQ(response.error_response().error_code(), grpc::StatusCode::NOT_FOUND);
  request.mutable_file_containing_extension()->set_containing_type("no.such.Type");
  ASSERT_TRUE(ask());
  EXPECT_TRUE(response.has_error_response());
  request.set_all_extension_numbers_of_type("google.protobuf.FieldOptions");
  ASSERT_TRUE(ask());
  request.clear_message_request();
  ASSERT_TRUE(ask());
  EXPECT_EQ(response.error_response().error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  stream->WritesDone();
  EXPECT_TRUE(stream->Finish().ok());
}

// Both reflections, health and Encode as a Python client without our protos sees them.
TEST(GrpcServerTest, APythonClientFindsItsWayByReflection) {
  const char* python = std::getenv("SHEAF_TEST_PYTHON");
  if (python == nullptr) GTEST_SKIP() << "SHEAF_TEST_PYTHON is not set";
  TestServer server;
  const std::string command = std::string(python) +
                              " " SHEAF_SOURCE_DIR "/src/server/reflection_client.py 127.0.0.1:" +
                              std::to_string(server.server->grpc_port());
  EXPECT_EQ(std::system(command.c_str()), 0);
}

}  // namespace
}  // namespace sheaf::server
