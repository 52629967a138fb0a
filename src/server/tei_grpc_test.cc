// TEI's services over gRPC, in front of a router that is made up.
#include <gtest/gtest.h>

#include <chrono>
#include <future>
#include <thread>

#include "server/grpc_channel_fixture.h"
#include "tei.grpc.pb.h"

namespace sheaf::server {
namespace {

namespace pb = tei::v1;
using Stream = grpc::ClientReaderWriter<pb::EmbedRequest, pb::EmbedResponse>;

pb::EmbedRequest text(const std::string& inputs) {
  pb::EmbedRequest request;
  request.set_inputs(inputs);
  return request;
}

float first_value(const std::string& inputs) {
  return api::FakeRouter::value(router::Input(inputs), 0);
}

bool wait_until(const std::function<bool()>& condition) {
  const TimeUs end = monotonic_us() + 10'000'000;
  while (!condition() && monotonic_us() < end) std::this_thread::yield();
  return condition();
}

// One EmbedStream.
struct Client {
  explicit Client(const TestServer& server)
      : stub(pb::Embed::NewStub(channel_to(server))), stream(stub->EmbedStream(&context)) {}

  void send(int from, int to) {
    for (int i = from; i < to; ++i) EXPECT_TRUE(stream->Write(text("text " + std::to_string(i))));
  }
  // Reads answers until the stream ends, and checks that they are of texts 0, 1, 2, …
  int read_all() {
    int count = 0;
    for (pb::EmbedResponse answer; stream->Read(&answer); ++count)
      EXPECT_EQ(answer.embeddings(0), first_value("text " + std::to_string(count)));
    return count;
  }

  std::unique_ptr<pb::Embed::Stub> stub;
  grpc::ClientContext context;
  std::unique_ptr<Stream> stream;
};

TEST(TeiGrpcTest, EmbedsWhatItIsTold) {
  TestServer server;
  auto stub = pb::Embed::NewStub(channel_to(server));
  grpc::ClientContext context;
  context.AddMetadata("x-sheaf-model", "org/model");
  pb::EmbedRequest request = text("a");
  request.set_prompt_name("query");
  request.set_normalize(false);
  request.set_dimensions(3);
  request.set_truncation_direction(pb::TRUNCATION_DIRECTION_LEFT);
  pb::EmbedResponse answer;
  ASSERT_TRUE(stub->Embed(&context, request, &answer).ok());
  ASSERT_EQ(answer.embeddings_size(), 3);
  EXPECT_EQ(answer.embeddings(0), first_value("a"));
  EXPECT_EQ(answer.metadata().compute_tokens(), 3u);
  EXPECT_EQ(answer.metadata().total_time_ns(), 5'300'000u);
  EXPECT_EQ(answer.metadata().tokenization_time_ns(), 100'000u);
  EXPECT_EQ(answer.metadata().queue_time_ns(), 200'000u);
  EXPECT_EQ(answer.metadata().inference_time_ns(), 4'900'000u);
  const router::EmbedRequest heard = server.router.last();
  EXPECT_EQ(heard.model, "org/model");
  EXPECT_EQ(heard.prompt_name, "query");
  EXPECT_FALSE(heard.normalize);
  EXPECT_FALSE(heard.truncate) << "proto3's default";
  EXPECT_EQ(heard.truncation_side, tokenizer::Side::left);
  const auto& trailers = context.GetServerTrailingMetadata();
  const auto replica = trailers.find("x-sheaf-replica");
  ASSERT_NE(replica, trailers.end());
  EXPECT_EQ(replica->second, "0");
}

TEST(TeiGrpcTest, AStreamAnswersInOrder) {
  TestServer server;
  server.router.hold();
  Client client(server);
  client.send(0, 20);
  EXPECT_TRUE(client.stream->WritesDone());
  ASSERT_TRUE(server.router.wait_held(20));
  server.router.release();
  EXPECT_EQ(client.read_all(), 20);
  EXPECT_TRUE(client.stream->Finish().ok());
}

TEST(TeiGrpcTest, AClientThatOnlySendsIsHeldBack) {
  TestServer server;
  server.router.hold();
  Client client(server);
  std::thread sender([&] {
    client.send(0, 1000);
    client.stream->WritesDone();
  });
  ASSERT_TRUE(server.router.wait_held(64));  // until the size of an answer is known
  server.router.release();
  EXPECT_EQ(client.read_all(), 1000);
  sender.join();
  EXPECT_TRUE(client.stream->Finish().ok());
}

// The client's cancellation ends all `requests` that its stream has under way.
template <class StreamClient>
void expect_cancel_reaches(TestServer& server, StreamClient& client, std::size_t requests) {
  ASSERT_TRUE(server.router.wait_held(requests));
  client.context.TryCancel();
  EXPECT_TRUE(server.router.wait_cancelled(requests));
  EXPECT_EQ(client.stream->Finish().error_code(), grpc::StatusCode::CANCELLED);
}

TEST(TeiGrpcTest, ACancelledStreamEndsItsRequests) {
  TestServer server;
  server.router.hold();
  Client client(server);
  client.send(0, 5);
  expect_cancel_reaches(server, client, 5);
}

TEST(TeiGrpcTest, AStreamsDeadlineReachesTheRouter) {
  TestServer server;
  server.router.hold();
  auto stub = pb::Embed::NewStub(channel_to(server));
  grpc::ClientContext context;
  const TimeUs before_us = monotonic_us();
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::milliseconds(300));
  auto stream = stub->EmbedStream(&context);
  EXPECT_TRUE(stream->Write(text("a")));
  EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
  EXPECT_NEAR(double(server.router.last().deadline_us - before_us), 300e3, 100e3);
  EXPECT_TRUE(server.router.wait_cancelled(1));
}

TEST(TeiGrpcTest, AFailureEndsAStreamAndItsOtherRequests) {
  TestServer server;
  Client client(server);
  client.send(0, 2);
  pb::EmbedResponse answer;
  EXPECT_TRUE(client.stream->Read(&answer) && client.stream->Read(&answer));
  server.router.hold();
  client.send(2, 4);
  ASSERT_TRUE(server.router.wait_held(2));
  pb::EmbedRequest wrong = text("wrong");
  wrong.set_dimensions(99);
  EXPECT_TRUE(client.stream->Write(wrong));
  client.send(5, 6);
  ASSERT_TRUE(server.router.wait_held(3));
  server.router.release();
  EXPECT_TRUE(client.stream->Read(&answer) && client.stream->Read(&answer));
  EXPECT_FALSE(client.stream->Read(&answer));
  const grpc::Status status = client.stream->Finish();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(status.error_message(), "dimensions is 99; 1 to 8 are possible");
}

TEST(TeiGrpcTest, MessagesOfAStreamBelongTogether) {
  TestServer server;
  Client first(server), second(server);
  const auto stream_of = [&](Client& client) {
    pb::EmbedResponse answer;
    client.send(0, 1);
    EXPECT_TRUE(client.stream->Read(&answer));
    return server.router.last().stream;
  };
  const core::StreamId stream = stream_of(first);
  EXPECT_NE(stream, 0u);
  EXPECT_NE(stream_of(second), stream);
  EXPECT_EQ(stream_of(first), stream);
  grpc::ClientContext context;
  pb::EmbedResponse answer;
  EXPECT_TRUE(first.stub->Embed(&context, text("a"), &answer).ok());
  EXPECT_EQ(server.router.last().stream, 0u);
}

TEST(TeiGrpcTest, StreamsShareTheirMemoryAndAllGoOn) {
  ServerOptions options;
  options.grpc_streams_bytes_max = 8u << 20;
  TestServer server(options);
  server.router.hold();
  Client greedy(server), late(server);
  greedy.send(0, 100);
  ASSERT_TRUE(server.router.wait_held(4)) << "a mebibyte each, as long as no answer is known";
  late.send(0, 100);
  ASSERT_TRUE(server.router.wait_held(4 + 2));
  greedy.stream->WritesDone();
  late.stream->WritesDone();
  server.router.release();
  EXPECT_EQ(late.read_all(), 100);
  EXPECT_EQ(greedy.read_all(), 100);
  EXPECT_TRUE(late.stream->Finish().ok() && greedy.stream->Finish().ok());
}

TEST(TeiGrpcTest, AStreamWaitsForRoomInTheQueue) {
  TestServer server;
  server.router.refuse_with(Error{ErrorCode::overloaded, "the queue is full"});
  Client client(server);
  client.send(0, 3);
  client.stream->WritesDone();
  ASSERT_TRUE(wait_until([&] { return server.router.embeds() >= 3; })) << "it tries again";
  server.router.refuse_with(std::nullopt);
  EXPECT_EQ(client.read_all(), 3);
  EXPECT_TRUE(client.stream->Finish().ok());

  auto stub = pb::Embed::NewStub(channel_to(server));
  server.router.refuse_with(Error{ErrorCode::overloaded, "the queue is full"});
  grpc::ClientContext context;
  pb::EmbedResponse answer;
  EXPECT_EQ(stub->Embed(&context, text("a"), &answer).error_code(),
            grpc::StatusCode::RESOURCE_EXHAUSTED);
}

TEST(TeiGrpcTest, AStreamThatWaitsForRoomCanBeCancelled) {
  TestServer server;
  server.router.refuse_with(Error{ErrorCode::overloaded, "the queue is full"});
  Client client(server);
  client.send(0, 1);
  ASSERT_TRUE(wait_until([&] { return server.router.embeds() >= 1; }));
  client.context.TryCancel();
  EXPECT_EQ(client.stream->Finish().error_code(), grpc::StatusCode::CANCELLED);
  EXPECT_TRUE(server.drain());
}

TEST(TeiGrpcTest, ADrainAnswersWhatWasReadAndEndsTheStream) {
  TestServer server;
  server.router.hold();
  Client client(server), idle(server);
  client.send(0, 2);
  ASSERT_TRUE(server.router.wait_held(2));
  std::promise<void> drained;
  server.server->drain([&] { drained.set_value(); });
  pb::EmbedResponse answer;
  EXPECT_FALSE(idle.stream->Read(&answer));
  EXPECT_EQ(idle.stream->Finish().error_code(), grpc::StatusCode::UNAVAILABLE);
  server.router.release();
  EXPECT_EQ(client.read_all(), 2);
  const grpc::Status status = client.stream->Finish();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(status.error_message(), "the server is shutting down");
  EXPECT_EQ(drained.get_future().wait_for(std::chrono::seconds(10)), std::future_status::ready);
}

TEST(TeiGrpcTest, MayBeDestroyedWithStreamsOpen) {
  TestServer server;
  server.router.hold();
  Client client(server);
  client.send(0, 3);
  ASSERT_TRUE(server.router.wait_held(3));
  server.server.reset();
  EXPECT_FALSE(client.stream->Finish().ok());
  server.router.release();
}

struct RankClient {
  explicit RankClient(const TestServer& server)
      : stub(pb::Rerank::NewStub(channel_to(server))),
        stream(stub->RerankStream(&context, &answer)) {}
  bool send(const std::string& query, const std::string& document, bool first = false) {
    pb::RerankStreamRequest request;
    request.set_query(query);
    request.set_text(document);
    request.set_raw_scores(first);
    request.set_return_text(first);
    return stream->Write(request);
  }
  pb::RerankResponse answer;
  std::unique_ptr<pb::Rerank::Stub> stub;
  grpc::ClientContext context;
  std::unique_ptr<grpc::ClientWriter<pb::RerankStreamRequest>> stream;
};

TEST(TeiGrpcTest, ARankStreamIsRankedAsOneRequest) {
  TestServer server;
  server.router.serve_classifiers();
  RankClient client(server);
  EXPECT_TRUE(client.send("qq", "abc", true));
  EXPECT_TRUE(client.send("qq", "abcdef"));
  EXPECT_TRUE(client.send("q", "abcd"));
  EXPECT_TRUE(client.stream->WritesDone());
  ASSERT_TRUE(client.stream->Finish().ok());
  ASSERT_EQ(client.answer.ranks_size(), 3);
  EXPECT_EQ(client.answer.ranks(0).text(), "abcdef");
  EXPECT_EQ(client.answer.ranks(0).score(), 4);
  EXPECT_EQ(client.answer.ranks(0).index(), 1u);
  EXPECT_EQ(client.answer.ranks(1).text(), "abcd");
  EXPECT_EQ(client.answer.ranks(1).score(), 3);
  EXPECT_EQ(client.answer.ranks(2).score(), 1);
  const router::EmbedRequest heard = server.router.last();
  EXPECT_EQ(heard.model, "org/reranker");
  EXPECT_EQ(std::get<router::TextPair>(heard.inputs[0]).first,
            std::get<router::TextPair>(heard.inputs[1]).first)
      << "a query that stays is kept once";
}

TEST(TeiGrpcTest, ARankStreamIsRefusedAtTheFirstWrongMessage) {
  TestServer server;
  server.router.serve_classifiers();
  RankClient client(server);
  EXPECT_TRUE(client.send("q", "abc"));
  pb::RerankStreamRequest other;
  other.set_truncation_direction(pb::TRUNCATION_DIRECTION_LEFT);
  client.stream->Write(other);
  const grpc::Status status = client.stream->Finish();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_NE(status.error_message().find("another truncation_direction"), std::string::npos);
  EXPECT_EQ(server.router.embeds(), 0u);
}

TEST(TeiGrpcTest, ACancelledRankStreamEndsItsRequest) {
  TestServer server;
  server.router.serve_classifiers();
  server.router.hold();
  RankClient client(server);
  EXPECT_TRUE(client.send("q", "abc"));
  EXPECT_TRUE(client.stream->WritesDone());
  expect_cancel_reaches(server, client, 1);
}

TEST(TeiGrpcTest, PredictionsAreRankedLabels) {
  TestServer server;
  server.router.serve_classifiers();
  auto stub = pb::Predict::NewStub(channel_to(server));
  grpc::ClientContext context;
  context.AddMetadata("x-sheaf-model", "org/classifier");
  pb::PredictRequest request;
  request.set_inputs("abcd");
  request.set_raw_scores(true);
  pb::PredictResponse answer;
  ASSERT_TRUE(stub->Predict(&context, request, &answer).ok());
  ASSERT_EQ(answer.predictions_size(), 3);
  EXPECT_EQ(answer.predictions(0).label(), "contradiction");
  EXPECT_EQ(answer.predictions(0).score(), 4);
  EXPECT_EQ(answer.predictions(2).label(), "neutral");
}

}  // namespace
}  // namespace sheaf::server
