#include "api/similarity.h"

#include <nlohmann/json.hpp>

#include "api/api_fixture.h"

namespace sheaf::api {
namespace {

using model::Similarity;
using nlohmann::json;

TEST(Similarity, IsWhatSentenceTransformersCallsSo) {
  const std::vector<float> a = {1, -2, 3}, b = {4, 2, -9};
  EXPECT_EQ(similarity_of(Similarity::dot, a, b), -27.0f);
  EXPECT_EQ(similarity_of(Similarity::euclidean, a, b), -13.0f);
  EXPECT_EQ(similarity_of(Similarity::manhattan, a, b), -19.0f);
  EXPECT_FLOAT_EQ(similarity_of(Similarity::cosine, {{0.6f, 0.8f}}, {{0.8f, 0.6f}}), 0.96f);
}

class SimilarityRoute : public ApiTest {
 protected:
  SimilarityRoute() {
    for (const Similarity how :
         {Similarity::cosine, Similarity::dot, Similarity::euclidean, Similarity::manhattan})
      router.serve(std::string(name_of(how))).similarity = how;
    model::ModelSpec& spec = router.serve("normalized");
    spec.similarity = Similarity::dot;
    spec.normalize = true;
  }
  // Of "a" and "b", and whether their vectors were to be normalized.
  std::pair<float, bool> ask_of(const std::string& model) {
    const json body = {{"inputs", {{"source_sentence", "a"}, {"sentences", {"b"}}}},
                       {"model", model}};
    const HttpResponse answer = ask("/similarity", body.dump());
    EXPECT_EQ(answer.status, 200) << answer.body;
    return {json::parse(answer.body)[0], router.last().normalize};
  }
};

TEST_F(SimilarityRoute, ComparesAsTheModelSays) {
  std::vector<float> a, b;
  for (std::uint32_t i = 0; i < FakeRouter::kDimensions; ++i) {
    a.push_back(FakeRouter::value("a", i));
    b.push_back(FakeRouter::value("b", i));
  }
  for (const Similarity how : {Similarity::dot, Similarity::euclidean, Similarity::manhattan}) {
    const auto [got, normalized] = ask_of(std::string(name_of(how)));
    EXPECT_FLOAT_EQ(got, similarity_of(how, a, b)) << name_of(how);
    EXPECT_FALSE(normalized) << name_of(how);
  }
  // The router that is made up normalizes nothing: it is asked to.
  for (const char* model : {"cosine", "normalized"}) {
    const auto [got, normalized] = ask_of(model);
    EXPECT_FLOAT_EQ(got, similarity_of(Similarity::dot, a, b)) << model;
    EXPECT_TRUE(normalized) << model;
  }
}

}  // namespace
}  // namespace sheaf::api
