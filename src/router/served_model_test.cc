#include "router/served_model.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>

namespace sheaf::router {
namespace {

std::string vocabulary_of(std::uint32_t size) {
  std::string entries = R"("[PAD]":0,"[UNK]":1,"[CLS]":2,"[SEP]":3)";
  for (std::uint32_t id = 4; id < size; ++id)
    entries += ",\"w" + std::to_string(id) + "\":" + std::to_string(id);
  return entries;
}

// The weights' folder of tests/golden/tiny_bert with a tokenizer of `words` ids.
class ServedModelTest : public ::testing::Test {
 protected:
  ServedModelTest() {
    char path[] = "/tmp/sheaf-served-XXXXXX";
    config_.folder = ::mkdtemp(path);
    config_.name = "tiny";
    std::filesystem::copy(SHEAF_SOURCE_DIR "/tests/golden/tiny_bert/model", config_.folder,
                          std::filesystem::copy_options::recursive);
    write_tokenizer(8);
  }
  ~ServedModelTest() override { std::filesystem::remove_all(config_.folder); }

  void write_tokenizer(std::uint32_t words) {
    std::ofstream(config_.folder + "/tokenizer.json")
        << R"({"version":"1.0","added_tokens":[],"normalizer":null,
      "pre_tokenizer":{"type":"BertPreTokenizer"},"post_processor":null,"decoder":null,
      "model":{"type":"WordPiece","unk_token":"[UNK]","continuing_subword_prefix":"##",
      "max_input_chars_per_word":100,"vocab":{)"
        << vocabulary_of(words) << "}}}";
  }

  std::unique_ptr<ServedModel> load() {
    auto model = ServedModel::load(config_);
    EXPECT_TRUE(model.ok()) << model.error().message;
    return model.ok() ? std::move(model).value() : nullptr;
  }
  std::string refusal() {
    const auto model = ServedModel::load(config_);
    return model.ok() ? "" : model.error().message;
  }

  // A text of `bytes` bytes that was run as `tokens` tokens, `times` times over.
  static void learn(ServedModel& model, std::size_t bytes, std::size_t tokens, int times) {
    EmbedRequest request;
    request.inputs.emplace_back(std::string(bytes, 'x'));
    PreparedInputs inputs;
    inputs.ids.assign(tokens, 4);
    inputs.cu_seqlens.push_back(static_cast<std::uint32_t>(tokens));
    for (int i = 0; i < times; ++i) model.learn(request, inputs);
  }

  ModelConfig config_;
};

TEST_F(ServedModelTest, TakesLengthsFromTheModelUnlessTold) {
  const auto own = load();
  ASSERT_TRUE(own);
  EXPECT_EQ(own->info().max_length, own->info().spec.max_length);
  config_.max_length = own->info().spec.max_length - 1;
  config_.max_batch_tokens = 777;
  const auto told = load();
  ASSERT_TRUE(told);
  EXPECT_EQ(told->info().max_length, config_.max_length);
  EXPECT_EQ(told->info().max_batch_tokens, 777u);
}

TEST_F(ServedModelTest, PoolsAsItIsTold) {
  EXPECT_EQ(load()->info().spec.pooling, std::vector<model::Pooling>{model::Pooling::mean});
  config_.pooling = "last-token";
  EXPECT_EQ(load()->info().spec.pooling, std::vector<model::Pooling>{model::Pooling::last_token});
}

TEST_F(ServedModelTest, TakesAnotherDefaultPrompt) {
  std::ofstream(config_.folder + "/config_sentence_transformers.json")
      << R"({"prompts": {"query": "q: ", "passage": "p: "}, "default_prompt_name": "query"})";
  const auto prompt = [this] { return std::string(prompt_of({}, load()->info())); };
  EXPECT_EQ(prompt(), "q: ");
  config_.default_prompt_name = "passage";
  EXPECT_EQ(prompt(), "p: ");
  config_.default_prompt_name = "";
  EXPECT_EQ(prompt(), "");
  config_.default_prompt_name = "pasage";
  EXPECT_EQ(refusal(),
            "default prompt \"pasage\" is not one of the prompts of tiny (passage, query)");
  config_.default_prompt = "d: ";
  EXPECT_NE(refusal().find("by name and by text"), std::string::npos) << refusal();
  config_.default_prompt_name.reset();
  EXPECT_EQ(prompt(), "d: ");
}

TEST_F(ServedModelTest, ADefaultPromptIsForEmbeddersAlone) {
  const std::string path = config_.folder + "/config.json";
  std::ifstream file(path);
  std::string json{std::istreambuf_iterator<char>(file), {}};
  const std::string_view name = "BertModel";
  std::ofstream(path) << json.replace(json.find(name), name.size(),
                                      "BertForSequenceClassification");
  std::filesystem::remove(config_.folder + "/modules.json");
  config_.default_prompt_name = "query";
  EXPECT_EQ(refusal(), "") << "that an embedder beside it has";
  config_.default_prompt_name.reset();
  config_.default_prompt = "d: ";
  EXPECT_EQ(prompt_of({}, load()->info()), "");
}

TEST_F(ServedModelTest, TokenizesAsTheOtherFilesSay) {
  const auto ids = [this](const char* text) {
    std::vector<std::int32_t> ids;
    EXPECT_TRUE(load()->tokenizer()->encode(text, {}, ids).ok());
    return ids;
  };
  EXPECT_EQ(ids("W4 w5"), (std::vector<std::int32_t>{1, 5}));
  std::ofstream(config_.folder + "/tokenizer_config.json")
      << R"({"add_bos_token": true, "bos_token": "[CLS]", "add_eos_token": true, "eos_token": "[SEP]"})";
  EXPECT_EQ(ids("W4 w5"), (std::vector<std::int32_t>{2, 1, 5, 3}));
  config_.max_length = 2;
  EXPECT_EQ(refusal(), "max length 2 leaves no room for texts: tiny puts 2 tokens around them");
  config_.max_length = 0;
  std::ofstream(config_.folder + "/sentence_bert_config.json") << R"({"do_lower_case": true})";
  EXPECT_EQ(ids("W4 w5"), (std::vector<std::int32_t>{2, 4, 5, 3}));
  std::ofstream(config_.folder + "/tokenizer_config.json")
      << R"({"add_eos_token": true, "eos_token": "</s>"})";
  EXPECT_NE(refusal().find("tokenizer.json: \"</s>\" is to be added"), std::string::npos)
      << refusal();
}

TEST_F(ServedModelTest, RefusesMoreThanTheModelHas) {
  const std::uint32_t positions = load()->info().spec.positions;
  const std::uint32_t rows = load()->info().spec.vocab_size;
  config_.max_length = positions + 1;
  EXPECT_NE(refusal().find(std::to_string(positions + 1)), std::string::npos) << refusal();
  config_.max_length = 0;
  write_tokenizer(rows);
  EXPECT_EQ(refusal(), "");
  write_tokenizer(rows + 1);
  EXPECT_NE(refusal().find("ids up to " + std::to_string(rows)), std::string::npos) << refusal();
}

TEST_F(ServedModelTest, LearnsHowManyBytesATokenHas) {
  const auto model = load();
  ASSERT_TRUE(model);
  EXPECT_EQ(model->estimate_tokens(400), 101u);
  learn(*model, 20, 10, 300);
  EXPECT_NEAR(static_cast<double>(model->estimate_tokens(400)), 201, 2);
}

TEST_F(ServedModelTest, LearnsNothingFromACutText) {
  const auto model = load();
  ASSERT_TRUE(model);
  learn(*model, 100'000, model->info().max_length, 300);
  EXPECT_EQ(model->estimate_tokens(400), 101u);
}

TEST_F(ServedModelTest, WhatIsCutDoesNotCount) {
  const auto model = load();
  ASSERT_TRUE(model);
  const std::uint64_t longest = model->info().max_length;
  EmbedRequest request;
  request.inputs = {std::string(400'000, 'x'), std::vector<std::int32_t>(longest + 5, 4),
                    std::vector<std::int32_t>(2, 4)};
  EXPECT_EQ(model->estimate_tokens(request), 2 * longest + 2);
  request.truncate = false;
  EXPECT_EQ(model->estimate_tokens(request), 100'001 + longest + 5 + 2);
}

}  // namespace
}  // namespace sheaf::router
