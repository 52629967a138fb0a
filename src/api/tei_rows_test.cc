// Routes whose answers have rows of varying length, over a router that is made up.
#include <nlohmann/json.hpp>

#include "api/api_fixture.h"

namespace sheaf::api {
namespace {

using nlohmann::json;

class TeiRowsTest : public ApiTest {
 protected:
  TeiRowsTest() { router.serve_splade(); }
};

TEST_F(TeiRowsTest, SparseRowsAreListsOfIndexAndValue) {
  const HttpResponse response =
      ask("/embed_sparse?model=org/splade", R"({"inputs":["a","b"],"normalize":true})");
  ASSERT_EQ(response.status, 200) << response.body;
  EXPECT_EQ(router.last().output, model::Output::sparse);
  const json answer = json::parse(response.body);
  ASSERT_EQ(answer.size(), 2u);
  for (std::size_t i = 0; i < 2; ++i) {
    ASSERT_EQ(answer[i].size(), 2u);
    EXPECT_EQ(answer[i][0]["value"], 0.25);
    EXPECT_LT(answer[i][0]["index"].get<int>(), answer[i][1]["index"].get<int>());
    EXPECT_TRUE(answer[i][1]["index"].is_number_unsigned());
    const router::Input input(std::string(i == 0 ? "a" : "b"));
    EXPECT_EQ(answer[i][1]["value"].get<float>(), FakeRouter::value(input, 0));
  }
  EXPECT_NE(answer[0], answer[1]);
}

TEST_F(TeiRowsTest, OneTextIsAnsweredWithAListOfOne) {
  EXPECT_EQ(json::parse(ask("/embed_sparse?model=org/splade", R"({"inputs":"a"})").body).size(),
            1u);
  EXPECT_EQ(json::parse(ask("/embed_all", R"({"inputs":"a"})").body).size(), 1u);
}

TEST_F(TeiRowsTest, VectorsOfTokensAreThreeLevelsDeep) {
  const HttpResponse response =
      ask("/embed_all", R"({"inputs":["a","b"],"truncate":false,"prompt_name":"query"})");
  ASSERT_EQ(response.status, 200) << response.body;
  EXPECT_EQ(router.last().output, model::Output::tokens);
  EXPECT_FALSE(router.last().truncate);
  EXPECT_EQ(router.last().prompt_name, "query");
  const json answer = json::parse(response.body);
  ASSERT_EQ(answer.size(), 2u);
  for (const json& text : answer) {
    ASSERT_EQ(text.size(), 3u);
    for (const json& token : text) EXPECT_EQ(token.size(), FakeRouter::kDimensions);
  }
  EXPECT_EQ(answer[1][2][7].get<float>(), FakeRouter::value(router::Input(std::string("b")), 23));
}

TEST_F(TeiRowsTest, TheRootAnswersWhatASpladeModelIsFor) {
  const HttpResponse response = ask("/?model=org/splade", R"({"inputs":"a"})");
  ASSERT_EQ(response.status, 200) << response.body;
  EXPECT_TRUE(json::parse(response.body)[0][0].contains("index"));
}

TEST_F(TeiRowsTest, AModelThatCannotIsAnsweredAsTeiDoes) {
  for (const char* wrong : {"/embed_sparse?model=org/model", "/embed?model=org/splade"}) {
    const HttpResponse response = ask(wrong, R"({"inputs":"a"})");
    EXPECT_EQ(response.status, 424) << wrong;
    EXPECT_EQ(json::parse(response.body)["error_type"], "Backend");
  }
  EXPECT_EQ(ask("/embed_sparse", R"({"inputs":[]})").status, 400);
  EXPECT_EQ(ask("/embed_all", R"({"inputs":)").status, 400);
  EXPECT_EQ(ask("/embed_all", R"({"inputs":3})").status, 422);
}

TEST_F(TeiRowsTest, InfoSaysSplade) {
  HttpRequest request;
  request.method = "GET";
  request.target = "/info?model=org/splade";
  HttpResponse answer;
  api.run(api.begin(request, 0).ticket, request, [&](HttpResponse response) { answer = response; });
  EXPECT_EQ(json::parse(answer.body)["model_type"]["embedding"]["pooling"], "splade");
}

}  // namespace
}  // namespace sheaf::api
