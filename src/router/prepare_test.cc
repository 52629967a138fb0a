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
  Status encode_bare(std::string_view text, std::vector<std::int32_t>& ids) const override {
    ++texts_encoded;
    if (text == "lost") return Error{ErrorCode::invalid_argument, "a pattern takes too long"};
    for (unsigned char c : text) ids.push_back(c);
    return {};
  }
  Result<tokenizer::EncodedPair> join_pair(std::span<const std::int32_t> first,
                                           std::span<const std::int32_t> second,
                                           const tokenizer::EncodeOptions& options,
                                           std::vector<std::int32_t>& ids) const override {
    const std::size_t from = ids.size(), all = first.size() + second.size() + 3;
    ids.push_back(1);
    ids.insert(ids.end(), first.begin(), first.end());
    ids.push_back(2);
    ids.insert(ids.end(), second.begin(), second.end());
    ids.push_back(2);
    if (options.max_tokens != 0) ids.resize(from + std::min(all, options.max_tokens));
    return tokenizer::EncodedPair{all, first.size() + 2};
  }
  Result<std::vector<tokenizer::Token>> encode_tokens(
      std::string_view text, const tokenizer::EncodeOptions&) const override {
    std::vector<tokenizer::Token> tokens = {{.id = 1, .text = "", .special = true}};
    for (unsigned char c : text) tokens.push_back({.id = c, .text = std::string(1, char(c))});
    tokens.push_back({.id = 2, .text = "", .special = true});
    return tokens;
  }
  Result<std::string> decode(const std::vector<std::int32_t>&, bool) const override {
    return std::string();
  }
  std::size_t vocab_size() const override { return 256; }
  std::size_t special_tokens_added() const override { return 2; }

  mutable int texts_encoded = 0;  // by encode_bare()
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
  EXPECT_EQ(right->cut, 1U);
  EXPECT_EQ(prepare({.inputs = {"012345", "ab"}})->cut, 0U);  // as many as the model takes
  request.truncation_side = tokenizer::Side::left;
  EXPECT_EQ(text_of(prepare(request)->ids_of(0)), "456789");
}

TEST(PrepareInputs, RefusesATooLongTextNamingBothLengths) {
  const EmbedRequest request{.inputs = {"ab", "0123456789"}, .truncate = false};
  auto result = prepare(request);
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.error().code, ErrorCode::invalid_argument);
  EXPECT_EQ(result.error().message,
            "input[1]: 12 tokens are more than the model's limit of 8 and truncation is off; "
            "\"truncate\": true, or the server's --auto-truncate, cuts them");
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
  EXPECT_EQ(result.error().message, "input[1]: a pattern takes too long");
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

using SharedText = std::shared_ptr<const std::string>;

Input pair_of(const SharedText& first, std::string second) {
  return TextPair{first, std::move(second)};
}

TEST(PrepareInputs, EncodesAQueryOnceForItsPairs) {
  const auto query = std::make_shared<const std::string>("qu");
  const auto other = std::make_shared<const std::string>("o");
  EmbedRequest request{.inputs = {pair_of(query, "a"), pair_of(query, "bc"), pair_of(other, "d")},
                       .task = model::Task::classify};
  const ByteTokenizer tokenizer;
  PreparedInputs out;
  ASSERT_TRUE(prepare_inputs(request, small_model(), tokenizer, 0, 3, out).ok());
  EXPECT_EQ(tokenizer.texts_encoded, 5);
  EXPECT_EQ(text_of(out.ids_of(0)), "qu\2a");
  EXPECT_EQ(text_of(out.ids_of(1)), "qu\2bc");
  EXPECT_EQ(text_of(out.ids_of(2)), "o\2d");
  EXPECT_EQ(out.second_at, (std::vector<std::uint32_t>{4, 4, 3}));
}

TEST(PrepareInputs, KeepsTheRequestsOwnLimits) {
  using Ids = std::vector<std::int32_t>;
  EmbedRequest request{.inputs = {"abcdefgh", Ids{3, 4, 5, 6, 7}}, .max_tokens = 4};
  const auto cut = prepare(request);
  ASSERT_TRUE(cut.ok());
  EXPECT_EQ(text_of(cut->ids_of(0)), "ab");
  EXPECT_EQ(cut->ids_of(1).size(), 4u);
  request.truncate = false;
  EXPECT_EQ(prepare(request).error().message,
            "input[0]: 10 tokens are more than the request's limit of 4 and truncation is off; "
            "\"truncate\": true, or the server's --auto-truncate, cuts them");

  const auto query = std::make_shared<const std::string>("q");
  const auto short_document = prepare({.inputs = {pair_of(query, "abcdef")},
                                       .task = model::Task::classify,
                                       .truncate = false,
                                       .max_second_tokens = 3});
  ASSERT_TRUE(short_document.ok());
  EXPECT_EQ(text_of(short_document->ids_of(0)), "q\2abc");
  request.max_tokens = 1000;  // more than the model has is the model's
  EXPECT_NE(prepare(request).error().message.find("the model's limit of 8"), std::string::npos);
}

// The model is told where the text begins, if its pooling is to leave the prompt out.
TEST(PrepareInputs, CountsThePromptWherePoolingLeavesItOut) {
  ModelInfo model = small_model();
  using Begins = std::vector<std::uint32_t>;
  EmbedRequest request{.inputs = {"abc", "", std::vector<std::int32_t>{5, 6}},
                       .prompt_name = "query"};
  EXPECT_EQ(prepare(request, model)->second_at, (Begins{0, 0, 0}));
  model.spec.pools_prompt = false;
  EXPECT_EQ(prepare(request, model)->second_at, (Begins{4, 4, 0}));  // 1, "q: "
  request.prompt_name = "none";
  EXPECT_EQ(prepare(request, model)->second_at, (Begins{0, 0, 0}));
  request.prompt_name = "query";
  request.max_tokens = 4;
  EXPECT_EQ(prepare(request, model).error().message,
            "input[0]: its prompt takes all 4 tokens that the text may have, and the model pools "
            "those of the text alone");
}

TEST(CheckRequest, AnInstructionNeedsATemplateForPairs) {
  ModelInfo model = small_model();
  model.spec.labels = {"LABEL_0"};
  const auto refusal = [&](EmbedRequest request) {
    request.task = model::Task::classify;
    const Status status = check_request(request, model, 2);
    return status.ok() ? "" : status.error().message;
  };
  const TextPair pair{std::make_shared<std::string>("a"), "b"};
  EXPECT_NE(refusal({.inputs = {pair}, .instruction = "i"}).find("instruction is set, but m reads"),
            std::string::npos);
  EXPECT_NE(refusal({.inputs = {pair}, .prompt_name = "query"}).find("prompt_name is set"),
            std::string::npos);
  EXPECT_EQ(refusal({.inputs = {pair}, .prompt_name = "none"}).find("prompt_name is set"), 0u);
  EXPECT_EQ(refusal({.inputs = {pair}, .prompt_name = ""}), "");
  EXPECT_EQ(refusal({.inputs = {"a"}, .prompt_name = "query"}), "") << "put before single texts";
  model.spec.pair_template.after_document = "!";
  EXPECT_EQ(refusal({.inputs = {pair}, .instruction = "i"}), "");
  EXPECT_EQ(refusal({.inputs = {pair}, .prompt_name = "query"}), "");
  EXPECT_NE(refusal({.inputs = {pair, "a"}, .instruction = "i"}).find("input[1]: model m reads"),
            std::string::npos);
  EXPECT_NE(refusal({.inputs = {pair}, .prompt_name = "query", .instruction = "i"}).find("both"),
            std::string::npos);
  EXPECT_NE(refusal({.inputs = {pair}, .instruction = std::string(9000, 'i')}).find("9000 bytes"),
            std::string::npos);
}

TEST(CheckRequest, OneTextIsNothingForATemplateForPairs) {
  ModelInfo model = small_model();
  model.spec.labels = {"LABEL_0"};
  model.spec.pair_template.after_document = "!";
  EmbedRequest request{.inputs = {TextPair{std::make_shared<std::string>("a"), "b"}, "c"},
                       .task = model::Task::classify};
  EXPECT_EQ(check_request(request, model, 2).error().message,
            "input[1]: model m reads pairs of a query and a document, and this is one text");
  request.inputs[1] = std::vector<std::int32_t>{0};  // as the server's own probe has it
  EXPECT_TRUE(check_request(request, model, 2).ok());
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

TEST(PrepareInputs, ErrorsNameTheFieldThatWasSent) {
  EmbedRequest request{.inputs = {"lost"}, .names = {.list = "texts"}};
  EXPECT_EQ(prepare(request).error().message, "texts: a pattern takes too long");
  EXPECT_EQ(prepare(request).error().param, "texts");
  request.inputs = {"a", "b", "lost"};
  EXPECT_EQ(prepare(request).error().message, "texts[2]: a pattern takes too long");
  request.names = {.list = "inputs.sentences", .first = "inputs.source_sentence"};
  EXPECT_EQ(prepare(request).error().message, "inputs.sentences[1]: a pattern takes too long");
  request.inputs = {"lost", "a"};
  EXPECT_EQ(prepare(request).error().message, "inputs.source_sentence: a pattern takes too long");
  EXPECT_EQ(prepare(request).error().param, "inputs.source_sentence");
  request.inputs = {"a", "lost"};
  EXPECT_EQ(prepare(request).error().message, "inputs.sentences: a pattern takes too long");
  request.names = {.each = {"notes.txt:7", "notes.txt:8"}};
  EXPECT_EQ(prepare(request).error().message, "notes.txt:8: a pattern takes too long");
}

TEST(PrepareInputs, ErrorsOfPairsNameTheTextThatIsAtFault) {
  const auto query = std::make_shared<const std::string>("query");
  EmbedRequest request{.inputs = {TextPair{query, ""}, TextPair{query, "document"}},
                       .names = {.list = "documents", .with = "query"},
                       .task = model::Task::classify,
                       .truncate = false};
  Error error = prepare(request).error();
  EXPECT_EQ(error.message,
            "documents[1] with query: 16 tokens are more than the model's limit of 8 and "
            "truncation is off; \"truncate\": true, or the server's --auto-truncate, cuts them");
  EXPECT_EQ(error.param, "documents");
  request.inputs = {TextPair{std::make_shared<const std::string>("lost"), "a"}, request.inputs[0]};
  error = prepare(request).error();
  EXPECT_EQ(error.message, "query: a pattern takes too long");
  EXPECT_EQ(error.param, "query");
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
  EXPECT_EQ(got.error().message.rfind("input[333]:", 0), 0u) << got.error().message;
}

TEST(PrepareInputs, CharactersAreCodePointsNotBytes) {
  EXPECT_EQ(characters_of(std::string("Größe 🚀")), 7u);
  EXPECT_EQ(characters_of(TextPair{std::make_shared<const std::string>("ä"), "öü"}), 3u);
  EXPECT_EQ(characters_of(std::vector<std::int32_t>{1, 2, 3}), 3u);
}

TEST(PrepareInputs, AnInstructionMayBeMissingWithWhatStandsAroundIt) {
  ModelInfo model = small_model();
  model.max_length = 40;
  model.spec.labels = {"LABEL_0"};
  model.spec.pair_template = {.before_instruction = "<",
                              .instruction_begin = "[",
                              .instruction_end = "]",
                              .before_query = "q=",
                              .before_document = ";d=",
                              .after_document = ">"};
  EmbedRequest request{.inputs = {TextPair{std::make_shared<std::string>("ab"), "cd"}}};
  const auto text = [&] {
    const auto prepared = prepare(request, model);
    return std::string(prepared->ids.begin(), prepared->ids.end());
  };
  EXPECT_EQ(text(), "<q=ab;d=cd>");
  request.instruction = "jokes";
  EXPECT_EQ(text(), "<[jokes]q=ab;d=cd>");
  request.instruction.clear();
  request.prompt_name = "query";
  EXPECT_EQ(text(), "<[q: ]q=ab;d=cd>");
}

// Whatever is asked would score the same.
TEST(PrepareInputs, RefusesAnInstructionThatLeavesNoRoomForTheQuery) {
  ModelInfo model = small_model();
  model.max_length = 20;
  model.spec.labels = {"LABEL_0"};
  model.spec.pair_template = {
      .before_instruction = "<", .instruction = "i", .before_query = ">", .after_document = "!"};
  EmbedRequest request{.inputs = {TextPair{std::make_shared<std::string>("ab"), "cd"}},
                       .instruction = std::string(14, 'i')};
  EXPECT_EQ(prepare(request, model)->ids_of(0).size(), 20u) << "one token of the document";
  request.instruction += "iii";
  EXPECT_EQ(prepare(request, model).error().message,
            "input: the instruction and the template around it have 20 tokens, and the model's "
            "limit of 20 leaves none for query and document");
  request.instruction.clear();
  request.max_tokens = 4;
  EXPECT_NE(prepare(request, model).error().message.find("4 tokens, and the request's limit of 4"),
            std::string::npos);
  request.truncate = false;
  EXPECT_NE(prepare(request, model).error().message.find("8 tokens are more"), std::string::npos);
}

TEST(PrepareInputs, RefusesALimitThatSpecialTokensUseUp) {
  EmbedRequest request{.inputs = {"abc"}, .max_tokens = 2};
  EXPECT_EQ(prepare(request).error().message,
            "input: the request's limit of 2 has no room for a text beside 2 special tokens");
  request.max_tokens = 3;
  EXPECT_EQ(text_of(prepare(request)->ids_of(0)), "a");
  request.inputs = {TextPair{std::make_shared<std::string>("ab"), "cd"}};
  request.task = model::Task::classify;
  request.max_tokens = 4;
  EXPECT_EQ(prepare(request).error().message,
            "input: the request's limit of 4 has no room for two texts beside 3 special tokens");
  request.max_tokens = 5;
  EXPECT_TRUE(prepare(request).ok());
}

TEST(PrepareInputs, AsksAboutAPairInTheModelsTemplate) {
  ModelInfo model = small_model();
  model.max_length = 20;
  model.spec.labels = {"LABEL_0"};
  model.spec.pair_template = {.before_instruction = "<",
                              .instruction = "i",
                              .before_query = ">q=",
                              .after_query = ";d=",
                              .before_document = "_",
                              .after_document = "!?"};
  const auto all_of = [](std::span<const std::int32_t> ids) {
    return std::string(ids.begin(), ids.end());
  };
  EmbedRequest request{.inputs = {TextPair{std::make_shared<std::string>("ab"), "cd"},
                                  TextPair{std::make_shared<std::string>("ab"), "cdefghijklmn"},
                                  TextPair{std::make_shared<std::string>(20, 'x'), "y"},
                                  TextPair{std::make_shared<std::string>(20, 'x'), "z"}}};
  auto prepared = prepare(request, model);
  ASSERT_TRUE(prepared.ok()) << prepared.error().message;
  EXPECT_EQ(all_of(prepared->ids_of(0)), "<i>q=ab;d=_cd!?");
  EXPECT_EQ(all_of(prepared->ids_of(1)), "<i>q=ab;d=_cdefghi!?");  // the end stays
  EXPECT_EQ(all_of(prepared->ids_of(2)), "<i>q=xxxxxxxxxxxxx!?");
  EXPECT_EQ(all_of(prepared->ids_of(3)), "<i>q=xxxxxxxxxxxxx!?");
  EXPECT_EQ(prepared->second_at, (std::vector<std::uint32_t>{0, 0, 0, 0}));
  request.max_second_tokens = 1;  // of the document's own
  EXPECT_EQ(all_of(prepare(request, model)->ids_of(0)), "<i>q=ab;d=_c!?");
  request.truncation_side = tokenizer::Side::left;
  EXPECT_EQ(all_of(prepare(request, model)->ids_of(0)), "<i>q=ab;d=_d!?");
  request.max_second_tokens = 0;

  request.prompt_name = "query";
  EXPECT_EQ(all_of(prepare(request, model)->ids_of(0)), "<q: >q=ab;d=_cd!?");
  request.instruction = "jokes";
  EXPECT_EQ(all_of(prepare(request, model)->ids_of(0)), "<jokes>q=ab;d=_cd!?");
  request.instruction.clear();

  request.truncate = false;
  prepared = prepare(request, model);
  ASSERT_FALSE(prepared.ok());
  EXPECT_NE(prepared.error().message.find("input[1]: 27 tokens"), std::string::npos)
      << prepared.error().message;

  request.truncate = true;
  prepared = prepare(request, model);
  ASSERT_TRUE(prepared.ok());
  EXPECT_EQ(all_of(prepared->ids_of(1)), "<q: >q=ab;d=_jklmn!?");  // cut on the left
}

}  // namespace
}  // namespace sheaf::router
