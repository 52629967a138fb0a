#include "model/spec/transformer_module.h"

#include "model/spec/model_folder_fixture.h"

namespace sheaf::model {
namespace {

using nlohmann::json;

constexpr const char* kFile = "sentence_bert_config.json";

class TransformerModuleTest : public ModelFolderTest {
 protected:
  TransformerModuleTest() { use("tiny_bert"); }

  ModelSpec read_with(const std::string& text) {
    write(kFile, text);
    const auto spec = read_spec(folder_);
    EXPECT_TRUE(spec.ok()) << spec.error().message;
    return spec.ok() ? *spec : ModelSpec();
  }
};

TEST_F(TransformerModuleTest, ItsTokenizersArgumentsCountMoreThanTheTokenizersFiles) {
  write("tokenizer_config.json", R"({"model_max_length": 12, "truncation_side": "right"})");
  const ModelSpec spec = read_with(
      R"({"max_seq_length": null, "tokenizer_args": {"truncation_side": "left",
          "model_max_length": 9, "padding_side": "left", "use_fast": null}})");
  EXPECT_TRUE(spec.cut_left);
  EXPECT_EQ(spec.max_length, 9u);
  EXPECT_EQ(read_with(R"({"max_seq_length": 7, "processor_kwargs": {}})").max_length, 7u);
  EXPECT_EQ(read_with(R"({"max_seq_length": 7,
                          "processor_kwargs": {"model_max_length": 11}})")
                .max_length,
            11u);
}

TEST_F(TransformerModuleTest, WhatEachCallIsToldCountsMost) {
  const ModelSpec spec = read_with(
      R"({"transformer_task": "feature-extraction", "max_seq_length": 20, "unpad_inputs": false,
          "query_length": 4, "query_expansion": null,
          "model_args": {"trust_remote_code": true, "torch_dtype": "float16"},
          "config_args": {"use_memory_efficient_attention": false},
          "processing_kwargs": {"text": {"max_length": 6, "truncation": true, "padding": "longest"},
                                "common": {"return_tensors": "pt"}, "image": {"size": 1}}})");
  EXPECT_EQ(spec.max_length, 6u);
  EXPECT_FALSE(spec.cut_left);
  ASSERT_EQ(notes_on(spec).size(), 1u);
  EXPECT_NE(notes_on(spec)[0].find("query_length"), std::string::npos);
}

TEST_F(TransformerModuleTest, RefusesWhatWouldMakeAnotherVector) {
  const std::vector<std::pair<json, std::string>> cases = {
      {{{"transformer_task", "retrieval"}}, "field 'transformer_task' is 'retrieval'; built are"},
      {{{"tokenizer_args", {{"truncation_side", "both"}}}},
       "field 'tokenizer_args.truncation_side'"},
      {{{"tokenizer_args", {{"model_max_length", 0}}}}, "field 'tokenizer_args.model_max_length'"},
      {{{"tokenizer_args", {{"add_prefix_space", true}}}},
       "field 'tokenizer_args.add_prefix_space'"},
      {{{"tokenizer_args", 1}}, "field 'tokenizer_args'"},
      {{{"model_kwargs", {{"num_hidden_layers", 1}}}}, "field 'model_kwargs.num_hidden_layers'"},
      {{{"config_args", {{"hidden_act", "relu"}}}}, "field 'config_args.hidden_act'"},
      {{{"query_expansion", {{"length", 32}}}}, "field 'query_expansion'"},
      {{{"tokenizer_name_or_path", "other"}}, "field 'tokenizer_name_or_path'"},
      {{{"processing_kwargs", {{"text", {{"truncation", false}}}}}},
       "field 'processing_kwargs.text.truncation' is false; built is: true"},
      {{{"processing_kwargs", {{"text", {{"add_special_tokens", false}}}}}},
       "field 'processing_kwargs.text.add_special_tokens'"},
      {{{"processing_kwargs", {{"common", {{"stride", 2}}}}}},
       "field 'processing_kwargs.common.stride'"},
      {{{"processing_kwargs", {{"chat_template", {{"enable_thinking", true}}}}}},
       "field 'processing_kwargs.chat_template.enable_thinking'"},
  };
  for (const auto& [file, complaint] : cases) {
    write(kFile, file.dump());
    const std::string said = refusal();
    EXPECT_NE(said.find(std::string(kFile) + ": " + complaint), std::string::npos)
        << file << "\n  " << said;
  }
}

}  // namespace
}  // namespace sheaf::model
