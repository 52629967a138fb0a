#include "cli/remote_question.h"

#include <gtest/gtest.h>

#include <cmath>

namespace sheaf::cli {
namespace {

using Rows = std::vector<std::vector<float>>;
const std::vector<std::string> kTexts = {"a\"b", ""};

RemoteQuestion question_of(model::Output output) { return {{.output = output}, "m"}; }
RemoteQuestion ranking_question() {
  return {{.output = model::Output::vector, .query = std::make_shared<std::string>("q")}, "m"};
}

std::string refusal(const RemoteQuestion& question, const std::string& answer) {
  EmbeddedBatch batch;
  const Status read = question.read(answer, 2, batch);
  return read.ok() ? "ok" : read.error().message;
}

TEST(RemoteQuestion, VectorsAreAskedInOpenaisWords) {
  const RemoteQuestion question = question_of(model::Output::vector);
  EXPECT_EQ(question.target(), "/v1/embeddings");
  EXPECT_EQ(question.body(kTexts),
            R"({"model":"m","encoding_format":"base64","input":["a\"b",""]})");
  EXPECT_EQ(RemoteQuestion({.output = model::Output::vector, .prompt_name = "query"}, "")
                .body(std::vector<std::string>{"x"}),
            R"({"prompt_name":"query","encoding_format":"base64","input":["x"]})");
}

TEST(RemoteQuestion, ATextThatIsRefusedIsCalledByItsPlace) {
  const std::vector<std::string> places = {"a.txt:1", "a.txt:2"};
  const auto said = [&](const RemoteQuestion& question, const char* message, std::size_t count) {
    return question.in_its_place({ErrorCode::io, message}, std::span(places).first(count)).message;
  };
  const RemoteQuestion vectors = question_of(model::Output::vector);
  EXPECT_EQ(said(vectors, "HTTP 400: input[1]: is bad", 2), "HTTP 400: a.txt:2: is bad");
  EXPECT_EQ(said(vectors, "HTTP 400: input: is bad", 1), "HTTP 400: a.txt:1: is bad");
  EXPECT_EQ(said(ranking_question(), "HTTP 422: texts[0] with query: no", 2),
            "HTTP 422: a.txt:1 with query: no");
  EXPECT_EQ(said(question_of(model::Output::tokens), "HTTP 422: inputs[1]: no", 2),
            "HTTP 422: a.txt:2: no");
  for (const char* other :
       {"HTTP 400: input: is bad", "HTTP 400: input[2]: is bad", "HTTP 400", "HTTP 400: input[",
        "HTTP 400: input[1", "HTTP 400: input[1]", "HTTP 400: bad input: why",
        "HTTP 413: the body has more bytes than 10"})
    EXPECT_EQ(said(vectors, other, 2), other);
  EXPECT_EQ(said(vectors, "HTTP 400: inputs are strange", 1), "HTTP 400: inputs are strange");
}

TEST(RemoteQuestion, AnInstructionGoesWithTheQuery) {
  const RemoteQuestion question({.output = model::Output::vector,
                                 .instruction = "Find \"it\"",
                                 .query = std::make_shared<std::string>("q")},
                                "");
  EXPECT_EQ(question.body(std::vector<std::string>{"x"}),
            R"({"instruction":"Find \"it\"","raw_scores":true,"query":"q","texts":["x"]})");
}

TEST(RemoteQuestion, TheModelThatIsTakenIsTheFirstThatEmbeds) {
  EXPECT_EQ(main_output_in(R"({"data":[{"sheaf":{"kind":"reranker"}},
                                       {"sheaf":{"kind":"sparse embedder"}},
                                       {"sheaf":{"kind":"embedder"}}]})"),
            model::Output::sparse);
  EXPECT_EQ(main_output_in(R"({"data":[{"sheaf":{"kind":"embedder"}}]})"), model::Output::vector);
  for (const char* none : {R"({"data":[{"id":"gpt"}]})", R"({"data":[]})", R"({"data":7})", "[]",
                           "", R"({"data":[{"sheaf":{"kind":"reranker"}}]})"})
    EXPECT_EQ(main_output_in(none), std::nullopt) << none;
}

TEST(RemoteQuestion, AnEmptyPromptIsSaidToBeNone) {
  EXPECT_EQ(RemoteQuestion({.output = model::Output::vector, .prompt_name = ""}, "")
                .body(std::vector<std::string>{"x"}),
            R"({"prompt_name":"","encoding_format":"base64","input":["x"]})");
}

TEST(RemoteQuestion, AScoreThatIsNoNumberIsNull) {
  EmbeddedBatch batch;
  const std::string answer = R"([{"index":1,"score":0.5},{"index":0,"score":null}])";
  ASSERT_TRUE(ranking_question().read(answer, 2, batch).ok());
  EXPECT_TRUE(std::isnan(batch.rows[0][0]));
  EXPECT_EQ(batch.rows[1][0], 0.5f);
}

TEST(RemoteQuestion, VectorsComeAsBase64) {
  const RemoteQuestion question = question_of(model::Output::vector);
  EmbeddedBatch batch;
  const std::string answer =  // 1 and 2, 0.5 and -1
      R"({"data":[{"embedding":"AACAPwAAAEA="},{"embedding":"AAAAPwAAgL8="}]})";
  ASSERT_TRUE(question.read(answer, 2, batch).ok());
  ASSERT_TRUE(question.read(answer, 2, batch).ok());
  EXPECT_EQ(batch.rows, (Rows{{1, 2}, {0.5, -1}, {1, 2}, {0.5, -1}}));
  EXPECT_EQ(batch.width, 2u);
  EXPECT_NE(refusal(question, R"({"data":[{"embedding":"AACAPw=="}]})").find("1 entries for 2"),
            std::string::npos);
  EXPECT_NE(refusal(question, R"({"data":[{"embedding":"AACAPw=="},{"embedding":"AACAPwAAAEA="}]})")
                .find("different lengths"),
            std::string::npos);
  for (const char* strange :
       {"", "[]", "{}", R"({"data":[{},{}]})", R"({"data":[{"embedding":"A"},{"embedding":"A"}]})"})
    EXPECT_NE(refusal(question, strange).find("the server's answer"), std::string::npos) << strange;
}

TEST(RemoteQuestion, TermsAndTokensAreAskedInTeisWords) {
  const RemoteQuestion sparse = question_of(model::Output::sparse);
  EXPECT_EQ(sparse.target(), "/embed_sparse");
  EXPECT_EQ(sparse.body(kTexts), R"({"model":"m","inputs":["a\"b",""]})");
  EmbeddedBatch terms;
  ASSERT_TRUE(
      sparse.read(R"([[{"index":7,"value":0.5},{"index":9,"value":0.25}],[]])", 2, terms).ok());
  EXPECT_EQ(terms.rows, (Rows{{7, 0.5, 9, 0.25}, {}}));
  EXPECT_NE(refusal(sparse, R"([[{"index":-1,"value":1}],[]])").find("index"), std::string::npos);
  EXPECT_NE(refusal(sparse, R"([1,2])").find("lists of terms"), std::string::npos);

  const RemoteQuestion all = question_of(model::Output::tokens);
  EXPECT_EQ(all.target(), "/embed_all");
  EmbeddedBatch tokens;
  ASSERT_TRUE(all.read("[[[1,2],[3,4]],[[5,6]]]", 2, tokens).ok());
  EXPECT_EQ(tokens.rows, (Rows{{1, 2, 3, 4}, {5, 6}}));
  EXPECT_EQ(tokens.width, 2u);
  EXPECT_NE(refusal(all, "[[[1,2],[3]],[]]").find("different lengths"), std::string::npos);
  EXPECT_NE(refusal(all, "[[[1,\"x\"]],[]]").find("numbers"), std::string::npos);
}

TEST(RemoteQuestion, ScoresGoBackToTheirDocuments) {
  const RemoteQuestion question = ranking_question();
  EXPECT_EQ(question.target(), "/rerank");
  EXPECT_EQ(question.body(kTexts),
            R"({"model":"m","raw_scores":true,"query":"q","texts":["a\"b",""]})");
  EmbeddedBatch batch;
  ASSERT_TRUE(question.read(R"([{"index":1,"score":3.5},{"index":0,"score":-1}])", 2, batch).ok());
  EXPECT_EQ(batch.rows, (Rows{{-1}, {3.5}}));
  for (const char* twice : {R"([{"index":1,"score":1},{"index":1,"score":1}])",
                            R"([{"index":2,"score":1},{"index":0,"score":1}])"})
    EXPECT_NE(refusal(question, twice).find("each document once"), std::string::npos) << twice;
}

TEST(MainOutputOf, IsSparseOnlyWhereTheServerSaysSo) {
  EXPECT_EQ(main_output_of(R"({"model_type":{"embedding":{"pooling":"splade"}}})"),
            model::Output::sparse);
  for (const char* info : {R"({"model_type":{"embedding":{"pooling":"mean"}}})",
                           R"({"model_type":{"reranker":{}}})", "{}", "[]", "<html>", ""})
    EXPECT_EQ(main_output_of(info), model::Output::vector) << info;
}

}  // namespace
}  // namespace sheaf::cli
