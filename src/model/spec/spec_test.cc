#include "model/spec/spec.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "model/spec/spec_json.h"

namespace sheaf::model {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

// A copy of the tiny model's folder, for a test to spoil.
class SpecTest : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::temp_directory_path() / ("sheaf_spec_test_" + std::to_string(::getpid()));
    fs::remove_all(folder_);
    fs::copy(SHEAF_SOURCE_DIR "/tests/golden/tiny_bert/model", folder_,
             fs::copy_options::recursive);
  }
  void TearDown() override { fs::remove_all(folder_); }

  void write(const std::string& file, const std::string& content) {
    std::ofstream(folder_ / file, std::ios::binary) << content;
  }
  // Sets one field of one file to a JSON text; "" removes it.
  void set(const std::string& file, const std::string& field, const std::string& value) {
    json root = json::parse(std::ifstream(folder_ / file));
    if (value.empty())
      root.erase(field);
    else
      root[field] = json::parse(value);
    write(file, root.dump());
  }
  void expect_refused(const std::string& file, const std::string& complaint) {
    const auto spec = read_spec(folder_);
    ASSERT_FALSE(spec.ok()) << complaint;
    EXPECT_NE(spec.error().message.find(file), std::string::npos) << spec.error().message;
    EXPECT_NE(spec.error().message.find(complaint), std::string::npos) << spec.error().message;
  }

  fs::path folder_;
};

TEST_F(SpecTest, ReadsTheTinyModel) {
  const auto spec = read_spec(folder_);
  ASSERT_TRUE(spec.ok()) << spec.error().message;
  EXPECT_EQ(spec->hidden_size, 36u);
  EXPECT_EQ(spec->heads, 3u);
  EXPECT_EQ(spec->head_size, 12u);
  EXPECT_EQ(spec->layers, 2u);
  EXPECT_EQ(spec->positions, 33u);
  EXPECT_EQ(spec->max_length, 20u);
  EXPECT_EQ(spec->dimensions, 36u);
  EXPECT_EQ(spec->pooling, std::vector<Pooling>{Pooling::mean});
  EXPECT_FALSE(spec->normalize);
  EXPECT_EQ(spec->weights_dtype, "F32");
  // Embeddings, two layers, pooler: as PyTorch counts them.
  const std::uint64_t layer = 4 * (36 * 36 + 36) + 2 * 36 * 70 + 36 + 70 + 4 * 36;
  EXPECT_EQ(spec->parameter_count, (61 + 33 + 2 + 2) * 36 + 2 * layer + 36 * 36 + 36);
}

TEST_F(SpecTest, SurvivesJson) {
  set("config.json", "layer_norm_eps", "1e-7");
  write("config_sentence_transformers.json",
        R"({"prompts":{"q":"query: ","d":""},"default_prompt_name":"q"})");
  const auto spec = read_spec(folder_);
  ASSERT_TRUE(spec.ok()) << spec.error().message;
  EXPECT_EQ(spec->prompts.at("q"), "query: ");
  const auto back = spec_from_json(to_json(*spec), "f");
  ASSERT_TRUE(back.ok()) << back.error().message;
  EXPECT_EQ(to_json(*back), to_json(*spec));
  EXPECT_EQ(back->norm_epsilon, 1e-7f);
}

TEST_F(SpecTest, BadFieldsAreRefusedNamingFileAndField) {
  const struct {
    const char* file;
    const char* field;
    const char* value;
  } cases[] = {
      {"config.json", "model_type", ""},
      {"config.json", "model_type", "7"},
      {"config.json", "model_type", "\"gpt2\""},
      {"config.json", "hidden_size", ""},
      {"config.json", "hidden_size", "0"},
      {"config.json", "hidden_size", "-36"},
      {"config.json", "hidden_size", "36.0"},
      {"config.json", "hidden_size", "\"36\""},
      {"config.json", "hidden_size", "[36]"},
      {"config.json", "hidden_size", "99999999999999999999999"},
      {"config.json", "hidden_size", "18446744073709551615"},
      {"config.json", "num_attention_heads", "5"},
      {"config.json", "num_attention_heads", "0"},
      {"config.json", "num_hidden_layers", "1000000"},
      {"config.json", "intermediate_size", "4294967297"},
      {"config.json", "vocab_size", "null"},
      {"config.json", "type_vocab_size", "0"},
      {"config.json", "max_position_embeddings", "{}"},
      {"config.json", "layer_norm_eps", "-1"},
      {"config.json", "layer_norm_eps", "\"small\""},
      {"config.json", "hidden_act", "\"relu6\""},
      {"config.json", "position_embedding_type", "\"relative_key\""},
      {"config.json", "is_decoder", "true"},
      {"config.json", "is_decoder", "1"},
      {"1_Pooling/config.json", "word_embedding_dimension", "35"},
      {"1_Pooling/config.json", "pooling_mode_mean_tokens", "1"},
      {"1_Pooling/config.json", "pooling_mode", "\"median\""},
      {"1_Pooling/config.json", "pooling_mode", "[]"},
      {"1_Pooling/config.json", "pooling_mode", "[1]"},
      {"1_Pooling/config.json", "include_prompt", "false"},
      {"sentence_bert_config.json", "max_seq_length", "0"},
      {"sentence_bert_config.json", "max_seq_length", "-1"},
      {"sentence_bert_config.json", "max_seq_length", "\"256\""},
      {"sentence_bert_config.json", "do_lower_case", "0"},
  };
  for (const auto& c : cases) {
    SetUp();
    set(c.file, c.field, c.value);
    expect_refused(c.file, c.field);
  }
}

TEST_F(SpecTest, BadModulesAreRefused) {
  const std::string transformer =
      R"({"idx":0,"name":"0","path":"","type":"sentence_transformers.models.Transformer"})";
  const auto modules = [&](const std::string& rest) {
    write("modules.json", "[" + transformer + "," + rest + "]");
  };
  write("modules.json", "{}");
  expect_refused("modules.json", "list of modules");
  write("modules.json", "[3]");
  expect_refused("modules.json", "0.");
  write("modules.json", "[" + transformer + "]");
  expect_refused("modules.json", "no Pooling");
  modules(R"({"type":"x.Pooling","path":"../../etc"})");
  expect_refused("modules.json", "../../etc");
  modules(R"({"type":"x.Pooling","path":"/etc"})");
  expect_refused("modules.json", "/etc");
  modules(R"({"type":"x.Pooling","path":"9_None"})");
  expect_refused("9_None/config.json", "no such file");
  modules(R"({"type":"x.Pooling","path":"1_Pooling"},{"type":"x.LSTM","path":"2_LSTM"})");
  expect_refused("modules.json", "x.LSTM");
  modules(R"({"type":"x.Dense","path":"1_Pooling"})");
  expect_refused("modules.json", "1.type");
  const std::string pooling = R"({"type":"x.Pooling","path":"1_Pooling"},)";
  modules(pooling + R"({"type":"x.Normalize"},{"type":"x.Dense","path":"2_Dense"})");
  expect_refused("modules.json", "3.type");
  modules(pooling + R"({"type":"x.Dense","path":"2_Dense/../../x"})");
  expect_refused("modules.json", "2.path");
  modules(pooling + R"({"type":"x.Dense","path":"2_Dense"})");
  expect_refused("2_Dense/config.json", "no such file");
  write("modules.json", "[]");
  expect_refused("modules.json", "list of modules");
}

TEST_F(SpecTest, HostileJsonIsRefused) {
  for (const char* file :
       {"config.json", "modules.json", "sentence_bert_config.json", "1_Pooling/config.json",
        "config_sentence_transformers.json", "tokenizer_config.json"}) {
    SetUp();
    if (std::string(file) == "tokenizer_config.json")
      fs::remove(folder_ / "sentence_bert_config.json");
    for (const std::string& text :
         {std::string(), std::string("nul"), std::string(100'000, '['), std::string("\xff\xfe{}"),
          std::string("{} {}"), std::string(R"({"a":1,"a":2})"), std::string("\"text\""),
          std::string("{\"a\":\"\xc0\x80\"}")}) {
      write(file, text);
      expect_refused(file, "");
    }
  }
}

TEST_F(SpecTest, PoolingFollowsEitherForm) {
  write("1_Pooling/config.json",
        R"({"pooling_mode":["lasttoken","cls"],"embedding_dimension":36})");
  auto spec = read_spec(folder_);
  ASSERT_TRUE(spec.ok()) << spec.error().message;
  EXPECT_EQ(spec->pooling, (std::vector<Pooling>{Pooling::last_token, Pooling::cls}));
  EXPECT_EQ(spec->dimensions, 72u);
  write("1_Pooling/config.json", R"({"pooling_mode_mean_tokens":true,"pooling_mode_max_tokens":true,
      "pooling_mode_cls_token":true,"pooling_mode_weightedmean_tokens":true})");
  spec = read_spec(folder_);
  ASSERT_TRUE(spec.ok()) << spec.error().message;
  EXPECT_EQ(spec->pooling, (std::vector<Pooling>{Pooling::cls, Pooling::max, Pooling::mean,
                                                 Pooling::weighted_mean}));
  fs::remove(folder_ / "modules.json");
  spec = read_spec(folder_);
  ASSERT_TRUE(spec.ok()) << spec.error().message;
  EXPECT_EQ(spec->pooling, std::vector<Pooling>{Pooling::mean});
}

TEST_F(SpecTest, LengthComesFromTheModelThenTheTokenizerThenThePositions) {
  set("sentence_bert_config.json", "max_seq_length", "1000");  // beyond the position table
  EXPECT_EQ(read_spec(folder_)->max_length, 33u);
  set("sentence_bert_config.json", "max_seq_length", "null");
  write("tokenizer_config.json", R"({"model_max_length":12})");
  EXPECT_EQ(read_spec(folder_)->max_length, 12u);
  write("tokenizer_config.json", R"({"model_max_length":1000000000000000019884624838656})");
  EXPECT_EQ(read_spec(folder_)->max_length, 33u);
  fs::remove(folder_ / "tokenizer_config.json");
  fs::remove(folder_ / "sentence_bert_config.json");
  EXPECT_EQ(read_spec(folder_)->max_length, 33u);
}

TEST_F(SpecTest, MissingFilesAreNamed) {
  fs::remove(folder_ / "model.safetensors");
  expect_refused("model.safetensors", "No such file");
  fs::remove(folder_ / "config.json");
  expect_refused("config.json", "no such file");
}

TEST(Spec, WorkingSetGrowsSlowlyAndStaysLean) {
  ModelSpec spec;
  spec.hidden_size = 384;
  spec.heads = 12;
  spec.kv_heads = 12;
  spec.head_size = 32;
  spec.intermediate_size = 1536;
  spec.positions = 512;
  EXPECT_LE(working_set_bytes(spec, 16), working_set_bytes(spec, 512));
  EXPECT_LE(working_set_bytes(spec, 1u << 16), 25u << 20);
}

}  // namespace
}  // namespace sheaf::model
