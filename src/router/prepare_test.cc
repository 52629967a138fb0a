#include "router/prepare.h"

#include <gtest/gtest.h>

#include <future>

#include "router/tokenizer_pool.h"

namespace sheaf::router {
namespace {

// One id a byte, between 1 and 2 as special tokens; enough to see what reaches a tokenizer and what
// comes back.
class ByteTokenizer final : public tokenizer::Tokenizer {
 public:
  Result<std::size_t> encode(std::string_view text, const tokenizer::EncodeOptions& options,
                             std::vector<std::int32_t>& ids) const override {
    if (text == "lost") return Error{ErrorCode::invalid_argument, "a pattern takes too long"};
    const std::size_t room = options.max_tokens == 0 ? text.size() : options.max_tokens - 2;
    const std::string_view kept = text.size() <= room ? text
                                  : options.truncation_side == tokenizer::Side::right
                                      ? text.substr(0, room)
                                      : text.substr(text.size() - room);
    ids.push_back(1);
    for (unsigned char c : kept) ids.push_back(c);
    ids.push_back(2);
    return text.size() + 2;
  }
  Result<tokenizer::EncodedPair> encode_pair(std::string_view first, std::string_view second,
                                             const tokenizer::EncodeOptions&,
                                             std::vector<std::int32_t>& ids) const override {
    ids.push_back(1);
    for (unsigned char c : first) ids.push_back(c);
    ids.push_back(2);
    for (unsigned char c : second) ids.push_back(c);
    ids.push_back(2);
    return tokenizer::EncodedPair{first.size() + second.size() + 3, first.size() + 2};
  }
  Result<std::vector<tokenizer::Token>> encode_tokens(
      std::string_view, const tokenizer::EncodeOptions&) const override {
    return std::vector<tokenizer::Token>{};
  }
  Result<std::string> decode(const std::vector<std::int32_t>&, bool) const override {
    return std::string();
  }
  std::size_t vocab_size() const override { return 256; }
  std::size_t special_tokens_added() const override { return 2; }
};

ModelInfo small_model() {
  ModelInfo model;
  model.name = "m";
  model.max_length = 8;
  model.spec.vocab_size = 256;
  model.spec.dimensions = 4;
  model.spec.prompts = {{"query", "q: "}, {"none", ""}};
  return model;
}

std::string text_of(std::span<const std::int32_t> ids) {
  std::string text;
  for (std::int32_t id : ids.subspan(1, ids.size() - 2)) text += static_cast<char>(id);
  return text;
}

Result<PreparedInputs> prepare(const EmbedRequest& request,
                               const ModelInfo& model = small_model()) {
  PreparedInputs out;
  SHEAF_TRY(prepare_inputs(request, model, ByteTokenizer(), 0, request.inputs.size(), out));
  return out;
}

TEST(PrepareInputs, CutsAtTheLimitOnTheSideAskedFor) {
  EmbedRequest request{.inputs = {"0123456789", "ab"}};
  auto right = prepare(request);
  ASSERT_TRUE(right.ok());
  EXPECT_EQ(text_of(right->ids_of(0)), "012345");
  EXPECT_EQ(text_of(right->ids_of(1)), "ab");
  request.truncation_side = tokenizer::Side::left;
  EXPECT_EQ(text_of(prepare(request)->ids_of(0)), "456789");
}

TEST(PrepareInputs, RefusesATooLongTextNamingBothLengths) {
  const EmbedRequest request{.inputs = {"ab", "0123456789"}, .truncate = false};
  auto result = prepare(request);
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.error().code, ErrorCode::invalid_argument);
  EXPECT_EQ(result.error().message,
            "input 1: 12 tokens are more than the model's limit of 8 and truncation is off");
}

TEST(PrepareInputs, PutsThePromptBeforeTheText) {
  const EmbedRequest request{.inputs = {" a "}, .prompt_name = "query"};
  EXPECT_EQ(text_of(prepare(request)->ids_of(0)), "q:  a ");
  EXPECT_EQ(text_of(prepare({.inputs = {" a "}})->ids_of(0)), " a ");  // as it is
}

TEST(PrepareInputs, CutsTheSideThatTheModelWantsUnlessTold) {
  ModelInfo model = small_model();
  EmbedRequest request{.inputs = {"abcdefghij"}};
  EXPECT_EQ(text_of(prepare(request, model)->ids_of(0)), "abcdef");
  model.spec.cut_left = true;
  EXPECT_EQ(text_of(prepare(request, model)->ids_of(0)), "efghij");
  request.truncation_side = tokenizer::Side::right;
  EXPECT_EQ(text_of(prepare(request, model)->ids_of(0)), "abcdef");
}

TEST(PrepareInputs, NamesTheTextThatTheTokenizerCannotRead) {
  const auto result = prepare({.inputs = {"a", "lost"}});
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.error().code, ErrorCode::invalid_argument);
  EXPECT_EQ(result.error().message, "input 1: a pattern takes too long");
}

TEST(PrepareInputs, TakesIdsAsTheyAreAndChecksThem) {
  using Ids = std::vector<std::int32_t>;
  auto good = prepare({.inputs = {Ids{5, 6, 7}}});
  ASSERT_TRUE(good.ok());
  EXPECT_EQ(good->ids, (Ids{5, 6, 7}));
  for (const Ids& bad : {Ids{256}, Ids{-1}, Ids{}}) EXPECT_FALSE(prepare({.inputs = {bad}}).ok());
  auto foreign = prepare({.inputs = {Ids{1, 100257}}});
  ASSERT_FALSE(foreign.ok());
  EXPECT_NE(foreign.error().message.find("100257"), std::string::npos);
  EXPECT_NE(foreign.error().message.find("check_embedding_ctx_length"), std::string::npos);
  EXPECT_FALSE(prepare({.inputs = {Ids(9, 3)}, .truncate = false}).ok());
}

TEST(CheckRequest, NamesTheNumberAtFault) {
  const ModelInfo model = small_model();
  EXPECT_TRUE(check_request({.inputs = {"a"}, .dimensions = 4}, model, 2).ok());
  EXPECT_FALSE(check_request({}, model, 2).ok());
  EXPECT_EQ(check_request({.inputs = {"a", "b", "c"}}, model, 2).error().message,
            "3 inputs are more than the limit of 2 a request");
  EXPECT_EQ(check_request({.inputs = {"a"}, .dimensions = 5}, model, 2).error().message,
            "dimensions is 5, must be 1 to 4 for m");
  EXPECT_FALSE(check_request({.inputs = {"a"}, .dimensions = 0}, model, 2).ok());
  EXPECT_FALSE(check_request({.inputs = {"a"}, .prompt_name = "qeury"}, model, 2).ok());
}

TEST(TokenizerPool, GivesTheSameInputsInOrderHoweverItIsCut) {
  EmbedRequest request;
  for (int i = 0; i < 500; ++i)
    request.inputs.emplace_back(std::string(i % 700, static_cast<char>('a' + i % 26)));
  ModelInfo model = small_model();
  model.max_length = 512;
  const auto expected = prepare(request, model);
  telemetry::Metrics metrics;
  TokenizerPool pool(3, metrics);
  std::promise<Result<PreparedInputs>> promise;
  pool.prepare(request, model, std::make_shared<ByteTokenizer>(),
               [&](Result<PreparedInputs> inputs) { promise.set_value(std::move(inputs)); });
  const auto got = promise.get_future().get();
  ASSERT_TRUE(got.ok());
  EXPECT_EQ(got->ids, expected->ids);
  EXPECT_EQ(got->cu_seqlens, expected->cu_seqlens);
}

TEST(TokenizerPool, ReportsTheFirstFailureByIndex) {
  EmbedRequest request{.inputs = {}, .truncate = false};
  for (int i = 0; i < 400; ++i) request.inputs.emplace_back(std::string(i == 333 ? 600 : 300, 'x'));
  ModelInfo model = small_model();
  model.max_length = 512;
  telemetry::Metrics metrics;
  TokenizerPool pool(2, metrics);
  std::promise<Result<PreparedInputs>> promise;
  pool.prepare(request, model, std::make_shared<ByteTokenizer>(),
               [&](Result<PreparedInputs> inputs) { promise.set_value(std::move(inputs)); });
  const auto got = promise.get_future().get();
  ASSERT_FALSE(got.ok());
  EXPECT_EQ(got.error().message.rfind("input 333:", 0), 0u) << got.error().message;
}

}  // namespace
}  // namespace sheaf::router
