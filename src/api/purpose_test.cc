// What clients say of their texts and of the vectors they want, in the words of several vendors.
#include <nlohmann/json.hpp>

#include "api/api_fixture.h"
#include "api/quantize.h"

namespace sheaf::api {
namespace {

using nlohmann::json;

class PurposeTest : public ApiTest {
 protected:
  PurposeTest() {
    router.serve("org/bare").prompts = {{"query", ""}, {"document", ""}};
    router.serve("org/many").prompts = {{"search_query", "q: "},
                                        {"search_document", "d: "},
                                        {"clustering", "c: "},
                                        {"nl2code_query", "code: "}};
    router.serve("org/adapters").adapters = true;
  }
  HttpResponse embed(json body) {
    body["input"] = "a";
    return ask("/v1/embeddings", body.dump());
  }
  // The prompt that the router is asked for, "refused", or "unset".
  std::string prompt_of(const char* model, const char* field, const json& word) {
    const HttpResponse answer = embed({{"model", model}, {field, word}});
    if (answer.status == 400) refusal = json::parse(answer.body)["error"];
    if (answer.status != 200) return "refused";
    return router.last().prompt_name.value_or("unset");
  }
  json refusal;
};

TEST_F(PurposeTest, WordsOfAllVendorsChooseThePromptThatTheModelHas) {
  EXPECT_EQ(prompt_of("org/model", "input_type", "search_query"), "query");
  EXPECT_EQ(prompt_of("org/model", "task", "retrieval.query"), "query");
  EXPECT_EQ(prompt_of("org/many", "input_type", "query"), "search_query");
  EXPECT_EQ(prompt_of("org/many", "input_type", "passage"), "search_document");
  EXPECT_EQ(prompt_of("org/many", "task", "retrieval.passage"), "search_document");
  EXPECT_EQ(prompt_of("org/many", "task", "separation"), "clustering");
  EXPECT_EQ(prompt_of("org/many", "task", "code.query"), "nl2code_query");
  EXPECT_EQ(prompt_of("org/many", "task", "search_document"), "search_document") << "its own name";
}

TEST_F(PurposeTest, WithoutAPromptForThemDocumentsAreBareAndOthersRefused) {
  EXPECT_EQ(prompt_of("org/model", "input_type", "document"), "");
  EXPECT_EQ(prompt_of("org/model", "task", "text-matching"), "refused");
  EXPECT_EQ(refusal["param"], "task");
  EXPECT_EQ(refusal["message"],
            "task is \"text-matching\", and none of the prompts of org/model is for that; the "
            "field may name one of them: query");
  EXPECT_EQ(prompt_of("org/many", "input_type", "classification"), "refused");
}

TEST_F(PurposeTest, AModelWithoutPromptsReadsAllTextsAlike) {
  for (const char* word : {"classification", "text-matching", "code.passage"})
    EXPECT_EQ(prompt_of("org/bare", "task", word), "") << word;
  EXPECT_EQ(prompt_of("org/bare", "input_type", "query"), "query") << "which is empty";
  EXPECT_EQ(prompt_of("org/bare", "task", "poem"), "refused");
}

TEST_F(PurposeTest, NothingIsSaidByNullOrAnEmptyWord) {
  for (const json& nothing : {json(), json("")})
    for (const char* model : {"org/model", "org/many", "org/adapters"}) {
      EXPECT_EQ(prompt_of(model, "task", nothing), "unset");
      EXPECT_EQ(prompt_of(model, "input_type", nothing), "unset");
    }
  EXPECT_EQ(prompt_of("org/model", "task", 5), "refused");
}

TEST_F(PurposeTest, AdaptersThatAreNotBuiltAreRefusedNotLeftOut) {
  for (const char* word : {"retrieval.query", "retrieval.passage", "text-matching"}) {
    EXPECT_EQ(prompt_of("org/adapters", "task", word), "refused");
    EXPECT_NE(refusal["message"].get<std::string>().find("adapter"), std::string::npos);
  }
  EXPECT_EQ(prompt_of("org/adapters", "input_type", "document"), "refused");
}

TEST_F(PurposeTest, FieldsThatContradictEachOtherAreRefused) {
  const json query = {{"input_type", "query"}, {"task", "retrieval.query"}};
  EXPECT_EQ(embed(query).status, 200);
  json body = query;
  body["prompt_name"] = "query";
  EXPECT_EQ(embed(body).status, 200);
  body["prompt_name"] = "";
  EXPECT_EQ(embed(body).status, 400);
  const HttpResponse answer = embed({{"input_type", "query"}, {"task", "retrieval.passage"}});
  EXPECT_EQ(answer.status, 400);
  EXPECT_NE(answer.body.find("prompt \\\"query\\\" is asked for too"), std::string::npos)
      << answer.body;
}

TEST_F(PurposeTest, VectorsComeInTheFormAskedFor) {
  const auto vector_of = [&](const json& fields) {
    const HttpResponse answer = embed(fields);
    return answer.status == 200 ? json::parse(answer.body)["data"][0]["embedding"] : json();
  };
  const auto floats = vector_of({}).get<std::vector<float>>();
  ASSERT_EQ(floats.size(), FakeRouter::kDimensions);
  EXPECT_EQ(vector_of({{"embedding_type", "binary"}}), to_binary(floats));
  EXPECT_EQ(vector_of({{"embedding_type", {"ubinary"}}}), to_ubinary(floats));
  EXPECT_EQ(vector_of({{"output_dtype", "int8"}, {"encoding_format", "float"}}), to_int8(floats));
  EXPECT_EQ(vector_of({{"embedding_type", ""}}).get<std::vector<float>>(), floats);
  const json base64 = vector_of({{"encoding_format", "base64"}});
  EXPECT_TRUE(base64.is_string());
  EXPECT_EQ(vector_of({{"embedding_type", "base64"}}), base64);
  EXPECT_EQ(vector_of({{"embedding_type", "float"}, {"encoding_format", "base64"}}), base64);
  for (const json& wrong : {json("float16"), json({"float", "binary"}), json::array(), json(8)})
    EXPECT_EQ(embed({{"embedding_type", wrong}}).status, 400) << wrong;
  EXPECT_EQ(embed({{"output_dtype", "uint8"}, {"encoding_format", "base64"}}).status, 400)
      << "which clients would read as floats";
}

TEST_F(PurposeTest, WhatWouldGiveOtherVectorsIsRefused) {
  for (const char* field : {"late_chunking", "return_multivector"}) {
    EXPECT_EQ(embed({{field, false}}).status, 200);
    EXPECT_EQ(embed({{field, nullptr}}).status, 200);
    const HttpResponse answer = embed({{field, true}});
    EXPECT_EQ(answer.status, 400);
    EXPECT_EQ(json::parse(answer.body)["error"]["param"], field);
  }
}

TEST_F(PurposeTest, OtherVendorsNamesOfOptionsReachTheRouter) {
  ASSERT_EQ(embed({{"output_dimension", 4}, {"normalized", false}, {"truncation", false}}).status,
            200);
  EXPECT_EQ(router.last().dimensions, 4u);
  EXPECT_FALSE(router.last().normalize);
  EXPECT_FALSE(router.last().truncate);
  ASSERT_EQ(embed({{"truncate", "START"}}).status, 200);
  EXPECT_TRUE(router.last().truncate);
  EXPECT_EQ(router.last().truncation_side, tokenizer::Side::left);
  ASSERT_EQ(embed({{"truncate", "NONE"}}).status, 200);
  EXPECT_FALSE(router.last().truncate);
  for (const json& wrong : {json("MIDDLE"), json(1)})
    EXPECT_EQ(embed({{"truncate", wrong}}).status, 400);
}

TEST_F(PurposeTest, InstructionsOfRerankersReachTheRouter) {
  router.serve_classifiers();
  for (const char* route : {"/rerank", "/v1/rerank", "/v2/rerank", "/score"}) {
    json body = {{"query", "q"}, {"documents", {"d"}}, {"text_1", "q"}, {"text_2", "d"}};
    if (std::string_view(route) == "/score") body.erase("documents");
    body["instruction"] = "Find jokes";
    ASSERT_EQ(ask(route, body.dump()).status, 200) << route;
    EXPECT_EQ(router.last().instruction, "Find jokes") << route;
    body["instruction"] = nullptr;
    body["prompt_name"] = "";
    ASSERT_EQ(ask(route, body.dump()).status, 200) << route;
    EXPECT_EQ(router.last().instruction, "");
    EXPECT_EQ(router.last().prompt_name, "");
  }
}

// In whatever order they come.
TEST_F(PurposeTest, FieldsThatContradictEachOtherAreRefusedNamingBoth) {
  const auto refusal_of = [&](const std::string& fields) {
    const HttpResponse answer = ask("/v1/embeddings", R"({"input":"a",)" + fields + "}");
    EXPECT_EQ(answer.status, 400) << fields;
    return answer.status == 400 ? json::parse(answer.body)["error"]["message"].get<std::string>()
                                : "";
  };
  EXPECT_EQ(refusal_of(R"("truncate":false,"truncate_prompt_tokens":5)"),
            "truncate is false and truncate_prompt_tokens is 5, which contradict each other; leave "
            "one out");
  EXPECT_EQ(refusal_of(R"("truncate_prompt_tokens":5,"truncate":false)"),
            "truncate_prompt_tokens is 5 and truncate is false, which contradict each other; leave "
            "one out");
  for (const char* fields :
       {R"("dimensions":3,"output_dimension":5)", R"("normalize":true,"normalized":false)",
        R"("truncate":"NONE","truncation":true)", R"("truncate":"START","truncation_side":"right")",
        R"("truncation_side":"left","truncation_direction":"right")",
        R"("embedding_type":"int8","output_dtype":"binary")"})
    EXPECT_NE(refusal_of(fields).find("which contradict each other"), std::string::npos) << fields;
}

TEST_F(PurposeTest, FieldsThatAgreeAreTaken) {
  ASSERT_EQ(embed({{"dimensions", 3}, {"output_dimension", 3}}).status, 200);
  EXPECT_EQ(router.last().dimensions, 3u);
  ASSERT_EQ(embed({{"truncate", true}, {"truncate_prompt_tokens", 5}}).status, 200);
  EXPECT_EQ(router.last().max_tokens, 5u);
  ASSERT_EQ(embed({{"truncate", "START"}, {"truncation_side", "left"}}).status, 200);
  EXPECT_EQ(router.last().truncation_side, tokenizer::Side::left);
  ASSERT_EQ(embed({{"embedding_type", ""}, {"output_dtype", "int8"}}).status, 200);
}

}  // namespace
}  // namespace sheaf::api
