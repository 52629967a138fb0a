// What the routes of rerankers and classifiers ask of the router; what they answer is in
// src/server/transcripts.
#include "api/api_fixture.h"

namespace sheaf::api {
namespace {

class RerankTest : public ApiTest {
 protected:
  RerankTest() { router.serve_classifiers(); }
};

TEST_F(RerankTest, OptionsReachTheRouter) {
  ASSERT_EQ(ask("/rerank", R"({"query":"q","texts":["a","b"]})").status, 200);
  router::EmbedRequest request = router.last();
  EXPECT_EQ(request.task, model::Task::classify);
  EXPECT_EQ(request.model, "org/reranker");
  EXPECT_TRUE(request.truncate);
  EXPECT_FALSE(request.truncation_side);
  ASSERT_EQ(request.inputs.size(), 2u);
  EXPECT_EQ(*std::get<router::TextPair>(request.inputs[1]).first, "q");
  EXPECT_EQ(std::get<router::TextPair>(request.inputs[1]).second, "b");

  for (const char* route : {"/rerank", "/score"}) {
    const char* body = R"({"query":"q","texts":["a"],"text_1":"q","text_2":"a",
                           "truncate":"false","truncation_direction":"LEFT"})";
    ASSERT_EQ(ask(route, body).status, 200) << route;
    request = router.last();
    EXPECT_FALSE(request.truncate) << route;
    EXPECT_EQ(request.truncation_side, tokenizer::Side::left) << route;
  }
}

TEST_F(RerankTest, WithoutANameEachRouteAsksTheModelForIt) {
  ASSERT_EQ(ask("/predict", R"({"inputs":"a"})").status, 200);
  EXPECT_EQ(router.last().model, "org/classifier");
  ASSERT_EQ(ask("/rerank", R"({"query":"q","texts":["a"]})").status, 200);
  EXPECT_EQ(router.last().model, "org/reranker");
}

TEST_F(RerankTest, AModelIsNamedByTheBodyThenTheQuery) {
  ASSERT_EQ(ask("/predict?model=org/classifier", R"({"inputs":"a"})").status, 200);
  EXPECT_EQ(router.last().model, "org/classifier");
  ASSERT_EQ(ask("/predict?model=org/model", R"({"inputs":"a","model":"org/reranker"})").status,
            200);
  EXPECT_EQ(router.last().model, "org/reranker");
}

TEST_F(RerankTest, TooManyTextsAreRefusedWithTheirNumber) {
  std::string texts = R"(["a")";
  for (int i = 1; i < 2049; ++i) texts += R"(,"a")";
  texts += "]";
  for (const auto& [route, body] : {std::pair("/rerank", "{\"query\":\"q\",\"texts\":" + texts),
                                    std::pair("/score", "{\"text_1\":\"q\",\"text_2\":" + texts),
                                    std::pair("/predict", "{\"inputs\":" + texts)}) {
    const HttpResponse answer = ask(route, body + "}");
    EXPECT_EQ(answer.status, 413) << route;
    EXPECT_NE(answer.body.find("holds 2049 texts; a request may hold 2048"), std::string::npos)
        << answer.body;
  }
  EXPECT_EQ(router.embeds(), 0u);
}

TEST_F(RerankTest, AQueryOfThousandsOfPairsIsKeptOnce) {
  std::string documents = R"(["a")";
  for (int i = 1; i < 2048; ++i) documents += R"(,"a")";
  ASSERT_EQ(ask("/v2/rerank", "{\"query\":\"" + std::string(200'000, 'q') +
                                  "\",\"documents\":" + documents + "]}")
                .status,
            200);
  const std::vector<router::Input>& pairs = router.last().inputs;
  for (const router::Input& pair : pairs)
    EXPECT_EQ(std::get<router::TextPair>(pair).first,
              std::get<router::TextPair>(pairs.front()).first);
}

TEST_F(RerankTest, RefusalsWillNameTheFieldsThatWereSent) {
  const auto names_of = [&](std::string_view route, std::string body) {
    EXPECT_EQ(ask(route, std::move(body)).status, 200) << route;
    const router::InputNames names = router.last().names;
    return names.list + " | " + names.first + " | " + names.with;
  };
  EXPECT_EQ(names_of("/rerank", R"({"query":"q","texts":["a"]})"), "texts |  | query");
  EXPECT_EQ(names_of("/v2/rerank", R"({"query":"q","documents":["a"]})"), "documents |  | query");
  EXPECT_EQ(names_of("/score", R"({"data_1":"q","data_2":"a"})"), "data_2 |  | data_1");
  EXPECT_EQ(names_of("/score", R"({"queries":"q","items":"a"})"), "items |  | queries");
  EXPECT_EQ(names_of("/predict", R"({"inputs":"a"})"), "inputs |  | ");
  EXPECT_EQ(names_of("/classify", R"({"input":"a"})"), "input |  | ");
  EXPECT_EQ(names_of("/embed", R"({"inputs":"a"})"), "inputs |  | ");
  EXPECT_EQ(names_of("/v1/embeddings", R"({"input":"a"})"), "input |  | ");
  EXPECT_EQ(names_of("/v2/embed", R"({"texts":["a"]})"), "texts |  | ");
  EXPECT_EQ(names_of("/api/embeddings", R"({"prompt":"a"})"), "prompt |  | ");
  EXPECT_EQ(names_of("/similarity", R"({"inputs":{"source_sentence":"a","sentences":["b"]}})"),
            "inputs.sentences | inputs.source_sentence | ");
}

TEST_F(RerankTest, FieldsThatContradictEachOtherAreRefusedNamingBoth) {
  const auto refusal_of = [&](const std::string& fields) {
    return ask("/score", R"({"text_1":"q","text_2":"a",)" + fields + "}").body;
  };
  for (const auto& [fields, said] :
       {std::pair(R"("truncate":false,"truncate_prompt_tokens":9)",
                  "truncate is false and truncate_prompt_tokens is 9, which contradict"),
        std::pair(R"("truncate_prompt_tokens":9,"truncate":false)",
                  "truncate_prompt_tokens is 9 and truncate is false, which contradict"),
        std::pair(R"("raw_scores":true,"use_activation":true)",
                  "raw_scores is true and use_activation is true, which contradict")})
    EXPECT_NE(refusal_of(fields).find(said), std::string::npos) << refusal_of(fields);
  EXPECT_NE(refusal_of(R"("instruction":"a","instruct":"b")").find("which contradict each other"),
            std::string::npos);
  EXPECT_EQ(router.embeds(), 0u);
  ASSERT_EQ(
      ask("/score", R"({"text_1":"q","text_2":"a","raw_scores":true,"activation":false})").status,
      200);
}

TEST_F(RerankTest, LimitsOfTokensReachTheRouter) {
  ASSERT_EQ(ask("/v2/rerank", R"({"query":"q","documents":["a"],"max_tokens_per_doc":7})").status,
            200);
  EXPECT_EQ(router.last().max_second_tokens, 7u);
  EXPECT_EQ(router.last().max_tokens, 0u);
  ASSERT_EQ(ask("/score", R"({"text_1":"q","text_2":"a","truncate_prompt_tokens":9})").status, 200);
  EXPECT_EQ(router.last().max_tokens, 9u);
  ASSERT_EQ(ask("/score", R"({"text_1":"q","text_2":"a","truncate_prompt_tokens":-1})").status,
            200);
  EXPECT_EQ(router.last().max_tokens, 0u);
  const HttpResponse refused = ask("/score", R"({"text_1":"q","text_2":"a",
                                                 "truncate_prompt_tokens":0})");
  EXPECT_EQ(refused.status, 400);
  EXPECT_NE(refused.body.find("truncate_prompt_tokens is 0"), std::string::npos) << refused.body;
}

TEST_F(RerankTest, AnEmbedderAloneIsSaidToBeOne) {
  FakeRouter embedder(io);
  const Api alone(embedder, metrics, {});
  std::string body = R"({"query":"q","documents":["a"]})";
  body.reserve(body.size() + kBodyPadding);
  HttpRequest request{.method = "POST", .target = "/v1/rerank", .body = body};
  HttpResponse answer;
  alone.run(alone.begin(request, body.size()).ticket, request,
            [&](HttpResponse response) { answer = std::move(response); });
  EXPECT_EQ(answer.status, 400);
  EXPECT_NE(answer.body.find("model org/model embeds texts"), std::string::npos) << answer.body;
}

}  // namespace
}  // namespace sheaf::api
