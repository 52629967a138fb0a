#include "router/router.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <stdlib.h>

#include <atomic>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <condition_variable>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <future>
#include <thread>

// Real processes: sheaf-replica-fake answers vectors that are a function of the ids
// (src/replica/fake_engine.h), so that a lost or crossed answer shows.
namespace sheaf::router {
namespace {

constexpr std::uint32_t kDimensions = 36;  // of tests/golden/tiny_bert

// One word a letter: "a" is 4, "b" is 5, …
constexpr std::int32_t id_of(char letter) { return letter - 'a' + 4; }
constexpr char kCrashes = 'z', kHangs = 'y';

std::string tokenizer_json() {
  std::string vocabulary = R"("[PAD]":0,"[UNK]":1,"[CLS]":2,"[SEP]":3)";
  for (char letter = 'a'; letter <= 'z'; ++letter)
    vocabulary += std::string(",\"") + letter + "\":" + std::to_string(id_of(letter));
  return R"({"version":"1.0","added_tokens":[],"normalizer":null,
    "pre_tokenizer":{"type":"BertPreTokenizer"},
    "post_processor":{"type":"BertProcessing","sep":["[SEP]",3],"cls":["[CLS]",2]},
    "decoder":null,"model":{"type":"WordPiece","unk_token":"[UNK]",
    "continuing_subword_prefix":"##","max_input_chars_per_word":100,"vocab":{)" +
         vocabulary + "}}}";
}

float expected_value(const std::string& letters, std::size_t j) {
  std::uint32_t sum = static_cast<std::uint32_t>(j) * 31 + 2;
  for (char letter : letters)
    if (letter != ' ') sum = sum * 31 + static_cast<std::uint32_t>(id_of(letter));
  return static_cast<float>((sum * 31 + 3) % 65'521);
}

bool is_answer_to(const EmbedReply& reply, const std::vector<std::string>& texts) {
  if (reply.vectors.size() != texts.size() * kDimensions) return false;
  for (std::size_t i = 0; i < texts.size(); ++i)
    for (std::size_t j = 0; j < kDimensions; ++j)
      if (reply.vectors[i * kDimensions + j] != expected_value(texts[i], j)) return false;
  return true;
}

// Words a to x, never the two that do harm.
std::string harmless_text(unsigned seed) {
  std::string text;
  for (unsigned i = 0; i <= seed % 7; ++i) {
    seed = seed * 1'103'515'245u + 12'345u;
    text += (i > 0 ? " " : "") + std::string(1, static_cast<char>('a' + (seed >> 16) % 24));
  }
  return text;
}

class RouterTest : public ::testing::Test {
 protected:
  RouterTest() : work_(boost::asio::make_work_guard(io_)) {
    char path[] = "/tmp/sheaf-router-XXXXXX";
    folder_ = ::mkdtemp(path);
    std::filesystem::copy(SHEAF_SOURCE_DIR "/tests/golden/tiny_bert/model", folder_,
                          std::filesystem::copy_options::recursive);
    std::ofstream(folder_ + "/tokenizer.json") << tokenizer_json();
    std::ofstream(folder_ + "/dimensions") << kDimensions;
  }
  ~RouterTest() override {
    io_.stop();
    for (std::thread& thread : threads_) thread.join();
    router_.reset();
    std::filesystem::remove_all(folder_);
  }

  Status create(std::uint32_t replicas, const std::string& fault = "SHEAF_FAULT_SLOW_US=0") {
    RouterOptions options;
    options.models = {{.name = "tiny", .folder = folder_, .revision = "", .replicas = replicas}};
    options.replica_program = SHEAF_BIN_DIR "/sheaf-replica-fake";
    options.replica_environment = {"SHEAF_FAULT_CRASH_ID=" + std::to_string(id_of(kCrashes)),
                                   "SHEAF_FAULT_HANG_ID=" + std::to_string(id_of(kHangs)), fault};
    options.seed = 1;
    options.answer_floats_max = answer_floats_max_;
    options.queue_tokens_max = queue_tokens_max_;
    SHEAF_ASSIGN(router_, Router::create(io_, options, metrics_));
    for (int i = 0; i < 2; ++i) threads_.emplace_back([this] { io_.run(); });
    return {};
  }

  Result<EmbedReply> embed(const std::vector<std::string>& texts,
                           model::Output output = model::Output::vector) {
    EmbedRequest request;
    request.output = output;
    for (const std::string& text : texts) request.inputs.emplace_back(text);
    auto promise = std::make_shared<std::promise<Result<EmbedReply>>>();
    auto answer = promise->get_future();
    router_->embed(std::move(request),
                   [promise](Result<EmbedReply> reply) { promise->set_value(std::move(reply)); });
    if (answer.wait_for(std::chrono::seconds(60)) != std::future_status::ready)
      return Error{ErrorCode::internal, "no answer within 60 s"};
    return answer.get();
  }

  // From now on the model also gives sparse rows, and vectors of tokens of another width.
  void use_heads() {
    std::filesystem::remove_all(folder_);
    std::filesystem::copy(SHEAF_SOURCE_DIR "/tests/golden/sparse/bge_m3/model", folder_,
                          std::filesystem::copy_options::recursive);
    std::ofstream(folder_ + "/tokenizer.json") << tokenizer_json();
    std::ofstream(folder_ + "/dimensions") << "30 59 13";
  }

  // Clients on threads of their own that ask until `stop`; counts answers and what went wrong.
  struct Load {
    std::atomic<bool> stop{false};
    std::atomic<int> answered{0};
    std::atomic<int> wrong{0};
    std::vector<std::thread> clients;
    void join() {
      for (std::thread& client : clients) client.join();
      clients.clear();
    }
  };
  void begin(Load& load, unsigned clients) {
    for (unsigned client = 0; client < clients; ++client)
      load.clients.emplace_back([this, &load, client] {
        for (unsigned turn = 0; !load.stop; ++turn) {
          std::vector<std::string> texts;
          for (unsigned i = 0; i <= turn % 5; ++i)
            texts.push_back(harmless_text(client * 1'000'003 + turn * 17 + i));
          const auto reply = embed(texts);
          (reply.ok() && is_answer_to(*reply, texts) ? load.answered : load.wrong).fetch_add(1);
        }
      });
  }
  void wait_answers(const Load& load, int more) {
    const int goal = load.answered + more;
    const TimeUs limit = monotonic_us() + 60'000'000;
    while (load.answered < goal && monotonic_us() < limit) std::this_thread::yield();
    ASSERT_GE(load.answered, goal) << "too slow, or stuck";
  }

  std::string folder_;
  std::uint64_t answer_floats_max_ = RouterOptions().answer_floats_max;
  std::uint64_t queue_tokens_max_ = 0;
  boost::asio::io_context io_;
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_;
  telemetry::Metrics metrics_;
  std::unique_ptr<Router> router_;
  std::vector<std::thread> threads_;
};

TEST_F(RouterTest, AnswersEachClientItsOwnTexts) {
  ASSERT_TRUE(create(3).ok());
  Load load;
  begin(load, 6);
  wait_answers(load, 500);
  load.stop = true;
  load.join();
  EXPECT_EQ(load.wrong, 0);
  EXPECT_EQ(router_->open_requests(), 0u);
}

TEST_F(RouterTest, CutsVectorsAndCountsTokens) {
  ASSERT_TRUE(create(1).ok());
  EmbedRequest request{.inputs = {"a b c", std::vector<std::int32_t>{7}}, .dimensions = 5};
  std::promise<Result<EmbedReply>> promise;
  router_->embed(std::move(request),
                 [&](Result<EmbedReply> reply) { promise.set_value(std::move(reply)); });
  const auto reply = promise.get_future().get();
  ASSERT_TRUE(reply.ok());
  EXPECT_EQ(reply->dimensions, 5u);
  EXPECT_EQ(reply->vectors.size(), 10u);
  EXPECT_EQ(reply->vectors[4], expected_value("abc", 4));
  EXPECT_EQ(reply->tokens, (std::vector<std::uint32_t>{5, 1}));
  EXPECT_EQ(reply->total_tokens, 6u);
  EXPECT_EQ(reply->model, "tiny");
}

TEST_F(RouterTest, AnswersWithRowsOfEachKind) {
  use_heads();
  ASSERT_TRUE(create(2).ok());
  const auto tokens = embed({"a b", "c"}, model::Output::tokens);
  ASSERT_TRUE(tokens.ok()) << tokens.error().message;
  EXPECT_EQ(tokens->dimensions, 13u);
  EXPECT_TRUE(tokens->vectors.empty());
  ASSERT_EQ(tokens->rows.size(), 2u);
  ASSERT_EQ(tokens->rows[0].size(), 4 * 13u);  // [CLS] and [SEP] are tokens too
  ASSERT_EQ(tokens->rows[1].size(), 3 * 13u);
  EXPECT_EQ(tokens->rows[0][50], expected_value("ab", 50));
  EXPECT_EQ(tokens->rows[1][38], expected_value("c", 38));

  const auto sparse = embed({"b a b"}, model::Output::sparse);
  ASSERT_TRUE(sparse.ok()) << sparse.error().message;
  const std::vector<float> terms = {2, expected_value("bab", 0), 3, expected_value("bab", 2),
                                    4, expected_value("bab", 4), 5, expected_value("bab", 6)};
  EXPECT_EQ(sparse->rows, std::vector<std::vector<float>>{terms});

  const auto vector = embed({"b"});
  ASSERT_TRUE(vector.ok()) << vector.error().message;
  EXPECT_EQ(vector->vectors.size(), 30u);
}

TEST_F(RouterTest, RefusesAnswersThatAreTooLargeAndGoesOn) {
  use_heads();
  answer_floats_max_ = 60;
  ASSERT_TRUE(create(1).ok());
  for (int round = 0; round < 3; ++round) {
    const auto tokens = embed({"a b", "c"}, model::Output::tokens);  // 7 tokens: known beforehand
    ASSERT_FALSE(tokens.ok());
    EXPECT_EQ(tokens.error().code, ErrorCode::too_large);
    EXPECT_NE(tokens.error().message.find("2 texts of 7 tokens"), std::string::npos);
    // Three terms each: known only when they come.
    const auto sparse = embed(std::vector<std::string>(11, "a"), model::Output::sparse);
    ASSERT_FALSE(sparse.ok());
    EXPECT_EQ(sparse.error().code, ErrorCode::too_large);
    EXPECT_TRUE(embed(std::vector<std::string>(10, "a"), model::Output::sparse).ok());
    EXPECT_TRUE(embed({"a b"}, model::Output::tokens).ok());
    EXPECT_TRUE(embed(std::vector<std::string>(50, "a")).ok()) << "vectors are not counted";
  }
  EXPECT_EQ(router_->open_requests(), 0u);
}

// The value of the metric whose line begins so; 0 if it has none.
double metric(const telemetry::Metrics& metrics, const std::string& name) {
  const std::string text = "\n" + metrics.render();
  const std::size_t at = text.find("\n" + name + " ");
  return at == std::string::npos ? 0 : std::stod(text.substr(at + name.size() + 2));
}

TEST_F(RouterTest, AMessageThatFindsNoRoomIsNoFailure) {
  queue_tokens_max_ = 100;
  ASSERT_TRUE(create(1, "SHEAF_FAULT_SLOW_US=100000").ok());
  const auto send = [&](core::StreamId stream, std::promise<Result<EmbedReply>>& promise) {
    EmbedRequest request{.inputs = std::vector<Input>(10, "a b c"), .stream = stream};
    router_->embed(std::move(request),
                   [&](Result<EmbedReply> reply) { promise.set_value(std::move(reply)); });
    return promise.get_future();
  };
  ASSERT_TRUE(embed({"a"}).ok());
  std::vector<std::promise<Result<EmbedReply>>> promises(24);
  std::vector<std::future<Result<EmbedReply>>> replies;
  for (auto& promise : promises) replies.push_back(send(replies.size() < 12 ? 7 : 0, promise));
  double refused = 0, waiting = 0, answered = 0;
  for (std::size_t i = 0; i < replies.size(); ++i) {
    const auto reply = replies[i].get();
    answered += reply.ok();
    if (reply.ok()) continue;
    EXPECT_EQ(reply.error().code, ErrorCode::overloaded);
    ++(i < 12 ? waiting : refused);
  }
  EXPECT_GT(waiting, 0);
  EXPECT_GT(refused, 0);
  EXPECT_EQ(metric(metrics_, "te_request_failure{err=\"overloaded\"}"), refused);
  EXPECT_EQ(metric(metrics_, "te_request_success{method=\"batch\"}"), answered);
  EXPECT_EQ(metric(metrics_, "te_request_count{method=\"batch\"}"), answered + refused);
}

TEST_F(RouterTest, RefusesWhatTheModelDoesNotGive) {
  ASSERT_TRUE(create(1).ok());
  const auto sparse = embed({"a"}, model::Output::sparse);
  ASSERT_FALSE(sparse.ok());
  EXPECT_EQ(sparse.error().code, ErrorCode::wrong_model_type);
  EXPECT_NE(sparse.error().message.find("tiny"), std::string::npos);
}

TEST_F(RouterTest, LosesNothingWhenReplicasAreKilled) {
  ASSERT_TRUE(create(2).ok());
  Load load;
  begin(load, 4);
  wait_answers(load, 20);
  for (int kill = 0; kill < 10; ++kill) {
    for (const ReplicaView& view : router_->replicas())
      if (!view.pids.empty()) {
        ::kill(view.pids.front(), kill % 3 == 2 ? SIGSTOP : SIGKILL);
        break;
      }
    wait_answers(load, 20);
  }
  load.stop = true;
  load.join();
  EXPECT_EQ(load.wrong, 0);
}

TEST_F(RouterTest, RefusesTheTextThatKillsAndTheOneThatHangsAndNoOther) {
  ASSERT_TRUE(create(2).ok());
  Load load;
  begin(load, 4);
  wait_answers(load, 20);
  for (const char harmful : {kCrashes, kHangs}) {
    const auto reply = embed({"a b", std::string("a ") + harmful});
    ASSERT_FALSE(reply.ok()) << harmful;
    EXPECT_EQ(reply.error().code, ErrorCode::poisonous) << reply.error().message;
  }
  wait_answers(load, 20);
  load.stop = true;
  load.join();
  EXPECT_EQ(load.wrong, 0);
}

TEST_F(RouterTest, CancelledRequestsAreNotAnsweredLater) {
  ASSERT_TRUE(create(1, "SHEAF_FAULT_SLOW_US=30000").ok());
  ASSERT_TRUE(embed({"a"}).ok());
  std::atomic<int> calls{0};
  for (unsigned i = 0; i < 20; ++i)
    router_->cancel(router_->embed({.inputs = {harmless_text(i)}}, [&](const auto&) { ++calls; }));
  EXPECT_EQ(router_->open_requests(), 0u);
  ASSERT_TRUE(embed({"b"}).ok());  // what had been sent before it has come back by then
  EXPECT_EQ(calls, 0);
}

TEST_F(RouterTest, DrainFinishesWhatWasAcceptedAndRefusesTheRest) {
  ASSERT_TRUE(create(2).ok());
  std::atomic<int> answered{0}, refused{0};
  for (unsigned i = 0; i < 100; ++i) {
    // Some above the size that is tokenized at once, so that the drain finds them in the pool.
    std::string text = harmless_text(i);
    if (i % 10 == 0) text += std::string(40'000, ' ') + "a";
    router_->embed({.inputs = {text}}, [&](const Result<EmbedReply>& reply) {
      (reply.ok() ? answered : refused).fetch_add(1);
    });
  }
  std::promise<void> done;
  router_->drain([&] { done.set_value(); });
  const auto after = embed({"a"});
  ASSERT_FALSE(after.ok());
  EXPECT_EQ(after.error().code, ErrorCode::unavailable);
  ASSERT_EQ(done.get_future().wait_for(std::chrono::seconds(30)), std::future_status::ready);
  EXPECT_EQ(answered, 100);
  EXPECT_EQ(refused, 0);
  for (const ReplicaView& view : router_->replicas()) EXPECT_TRUE(view.pids.empty());
}

TEST_F(RouterTest, HealthIsAProbeAndNotAConstant) {
  ASSERT_TRUE(create(1).ok());
  const auto health = [&] {
    std::promise<Status> promise;
    router_->check_health([&](Status status) { promise.set_value(std::move(status)); });
    return promise.get_future().get();
  };
  ASSERT_TRUE(embed({"a"}).ok());
  EXPECT_TRUE(health().ok());
  EXPECT_TRUE(router_->ready());
  ::kill(router_->replicas().front().pids.at(0), SIGSTOP);
  // Stopped, noticed, replaced: healthy again by itself.
  const TimeUs limit = monotonic_us() + 20'000'000;
  while (router_->replicas().front().status.restarts == 0 && monotonic_us() < limit)
    ASSERT_TRUE(embed({"b"}).ok());
  EXPECT_TRUE(health().ok());
}

TEST_F(RouterTest, NamesWhatItCannotServe) {
  std::filesystem::remove(folder_ + "/tokenizer.json");
  const Status missing = create(1);
  ASSERT_FALSE(missing.ok());
  EXPECT_NE(missing.error().message.find("tokenizer.json"), std::string::npos);
  std::ofstream(folder_ + "/tokenizer.json") << tokenizer_json();
  ASSERT_TRUE(create(1).ok());
  const auto unknown = router_->find_model("other");
  ASSERT_FALSE(unknown.ok());
  EXPECT_EQ(unknown.error().code, ErrorCode::not_found);
  EXPECT_EQ(unknown.error().message, "model other is not served here; served: tiny");
}

}  // namespace
}  // namespace sheaf::router
