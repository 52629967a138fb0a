#include "model/spec/classifier.h"

#include <gtest/gtest.h>

#include "model/spec/model_folder_fixture.h"
#include "model/spec/spec_json.h"

namespace sheaf::model {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

class ClassifierTest : public ModelFolderTest {
 protected:
  ClassifierTest() { use("classifiers/bert"); }
};

TEST_F(ClassifierTest, OneLabelIsAReranker) {
  const auto spec = read_spec(folder_);
  ASSERT_TRUE(spec.ok()) << spec.error().message;
  EXPECT_EQ(spec->task(), Task::classify);
  EXPECT_TRUE(spec->is_reranker());
  EXPECT_EQ(kind_of(*spec), "reranker");
  EXPECT_EQ(spec->dimensions, 1u);
  EXPECT_EQ(spec->pooling, std::vector<Pooling>{Pooling::cls});
}

TEST_F(ClassifierTest, LabelsHaveTheirNamesOrThoseThatTransformersMakes) {
  set("config.json", "id2label", {{"0", "no"}, {"2", "maybe"}, {"1", "yes"}});
  EXPECT_EQ(read_spec(folder_)->labels, (std::vector<std::string>{"no", "yes", "maybe"}));
  remove("config.json", "id2label");
  EXPECT_EQ(read_spec(folder_)->labels, (std::vector<std::string>{"LABEL_0", "LABEL_1"}));
}

TEST_F(ClassifierTest, SeveralLabelsMayHold) {
  EXPECT_FALSE(read_spec(folder_)->independent_labels);
  set("config.json", "problem_type", "multi_label_classification");
  EXPECT_TRUE(read_spec(folder_)->independent_labels);
  set("config.json", "problem_type", "single_label_classification");
  EXPECT_FALSE(read_spec(folder_)->independent_labels);
}

TEST_F(ClassifierTest, NotesThatItsFileWantsAnotherActivation) {
  set("config.json", "sbert_ce_default_activation_function", "torch.nn.modules.activation.Sigmoid");
  EXPECT_TRUE(notes_on(*read_spec(folder_)).empty());
  set("config.json", "sentence_transformers",
      {{"activation_fn", "torch.nn.modules.linear.Identity"}});
  EXPECT_EQ(
      notes_on(*read_spec(folder_)),
      std::vector<std::string>{"its config.json wants torch.nn.modules.linear.Identity of "
                               "scores; answers are their sigmoid unless raw_scores is true"});
  set("config.json", "sentence_transformers", {{"activation_fn", 5}});
  EXPECT_NE(refusal().find("sentence_transformers.activation_fn"), std::string::npos) << refusal();
}

TEST_F(ClassifierTest, BadLabelsAreRefusedNamingTheField) {
  set("config.json", "id2label", {{"0", "no"}, {"2", "maybe"}});
  EXPECT_NE(refusal().find("'id2label' has 2 entries, but no name for 1"), std::string::npos)
      << refusal();
  set("config.json", "id2label", {{"0", 5}});
  EXPECT_NE(refusal().find("id2label"), std::string::npos) << refusal();
  set("config.json", "id2label", {"a", "b"});
  EXPECT_NE(refusal().find("id2label"), std::string::npos) << refusal();
  remove("config.json", "id2label");
  set("config.json", "num_labels", 0);
  EXPECT_NE(refusal().find("num_labels"), std::string::npos) << refusal();
}

TEST_F(ClassifierTest, DebertasPoolerIsConfigured) {
  use("classifiers/deberta");
  auto spec = read_spec(folder_);
  ASSERT_TRUE(spec.ok()) << spec.error().message;
  EXPECT_TRUE(spec->is_reranker());
  EXPECT_EQ(spec->dense.front().activation, DenseActivation::gelu);
  set("config.json", "pooler_hidden_act", "silu");
  EXPECT_EQ(read_spec(folder_)->dense.front().activation, DenseActivation::silu);
  set("config.json", "pooler_hidden_act", "mish");
  EXPECT_NE(refusal().find("'pooler_hidden_act' is 'mish'"), std::string::npos) << refusal();
  remove("config.json", "pooler_hidden_act");
  set("config.json", "pooler_hidden_size", 48);
  EXPECT_NE(refusal().find("'pooler_hidden_size' is 48"), std::string::npos) << refusal();
}

TEST_F(ClassifierTest, AFamilyWithoutAHeadIsRefused) {
  use("families/gemma3");
  fs::remove(folder_ / "modules.json");
  set("config.json", "architectures", {"Gemma3TextForSequenceClassification"});
  EXPECT_NE(refusal().find("architectures"), std::string::npos) << refusal();
}

// Embedders were often saved by a class that has a head; cross-encoders that sentence-transformers
// saves list modules too.
TEST_F(ClassifierTest, APoolingModuleMakesAnEmbedder) {
  const std::string transformer =
      R"({"idx":0,"name":"0","path":"","type":"sentence_transformers.models.Transformer"})";
  write("modules.json", "[" + transformer + "]");
  EXPECT_EQ(read_spec(folder_)->task(), Task::classify);
  fs::create_directory(folder_ / "1_Pooling");
  write("1_Pooling/config.json", R"({"pooling_mode_cls_token":true})");
  write(
      "modules.json",
      "[" + transformer + R"(,{"idx":1,"name":"1","path":"1_Pooling","type":"x.models.Pooling"}])");
  EXPECT_EQ(read_spec(folder_)->task(), Task::embed);
}

TEST_F(ClassifierTest, TheTokenizerSaysWhichSideIsCut) {
  EXPECT_FALSE(read_spec(folder_)->cut_left);
  write("tokenizer_config.json", R"({"truncation_side":"left"})");
  EXPECT_TRUE(read_spec(folder_)->cut_left);
  write("tokenizer_config.json", R"({"truncation_side":"both"})");
  EXPECT_NE(refusal().find("truncation_side"), std::string::npos) << refusal();
}

// Language models as rerankers, by tests/golden/rerankers/make.py.
class LanguageRerankerTest : public ModelFolderTest {
 protected:
  void use(const std::string& model, const std::string& name) { copy("rerankers/" + model, name); }
};

TEST_F(LanguageRerankerTest, QwensOwnIsKnownByItsName) {
  use("qwen3_reranker", "Qwen3-Reranker-0.6B");
  auto spec = read_spec(folder_);
  ASSERT_TRUE(spec.ok()) << spec.error().message;
  EXPECT_EQ(kind_of(*spec), "reranker");
  EXPECT_EQ(spec->pooling, std::vector<Pooling>{Pooling::last_token});
  ASSERT_EQ(spec->dense.size(), 1u);
  EXPECT_EQ(spec->dense[0].name, "embed_tokens");  // tied
  EXPECT_EQ(spec->dense[0].rows, (std::vector<std::uint32_t>{1200, 1201}));
  EXPECT_FALSE(spec->pair_template.empty());
  use("qwen3_reranker", "models--Qwen--Qwen3-Reranker-0.6B/snapshots/e61197ed");
  EXPECT_TRUE(read_spec(folder_)->is_reranker());
  EXPECT_EQ(read_spec(folder_)->assumed, "") << "that is its publisher's word";
  use("qwen3_reranker", "rerankers/Qwen3-Embedding-0.6B");
  EXPECT_EQ(read_spec(folder_)->task(), Task::embed);
}

TEST_F(LanguageRerankerTest, QwensOwnUnderAnotherNameIsKnownByItsFiles) {
  use("qwen3_reranker", "qr");
  EXPECT_EQ(read_spec(folder_)->task(), Task::embed);
  write("README.md", "---\nlicense: apache-2.0\npipeline_tag: text-ranking\n---\n# A model\n");
  EXPECT_TRUE(read_spec(folder_)->is_reranker());
  EXPECT_EQ(read_spec(folder_)->assumed, "");
  EXPECT_EQ(read_spec(folder_, "last_token")->task(), Task::embed) << "one may know better";
  write("README.md", "---\npipeline_tag: feature-extraction\n---\npipeline_tag: text-ranking\n");
  EXPECT_EQ(read_spec(folder_)->task(), Task::embed);

  use("qwen3_reranker", "qr");
  fs::copy_file(SHEAF_SOURCE_DIR "/tests/golden/rerankers/logit_score/chat_template.jinja",
                folder_ / "chat_template.jinja");
  EXPECT_TRUE(read_spec(folder_)->is_reranker()) << "its chat template is of pairs";
}

TEST_F(LanguageRerankerTest, WhatIsAssumedIsSaidAndCanBeToldOtherwise) {
  use("qwen3_reranker", "qr");
  const std::string embedder = read_spec(folder_)->assumed;
  EXPECT_NE(embedder.find("pools by mean"), std::string::npos) << embedder;
  EXPECT_NE(embedder.find("rerank for Qwen3-Reranker"), std::string::npos) << embedder;
  const auto told = read_spec(folder_, "rerank");
  ASSERT_TRUE(told.ok()) << told.error().message;
  EXPECT_TRUE(told->is_reranker());
  EXPECT_FALSE(told->pair_template.empty());
  EXPECT_EQ(told->assumed, "");
  EXPECT_EQ(read_spec(folder_, "last_token")->assumed, "");

  use("qwen3_reranker", "Qwen3-Reranker-0.6B");
  const std::string reranker = read_spec(folder_)->assumed;
  EXPECT_NE(reranker.find("by its folder's name"), std::string::npos) << reranker;
  EXPECT_EQ(read_spec(folder_, "last_token")->task(), Task::embed);
  EXPECT_EQ(read_spec(folder_, "rerank")->assumed, "");
}

TEST_F(LanguageRerankerTest, OnlyBareLanguageModelsCanBeToldToRank) {
  use("bert", "model");
  EXPECT_TRUE(read_spec(folder_, "rerank")->is_reranker()) << "it is one, and has been";
  copy("tiny_bert/model", "model");
  fs::remove(folder_ / "modules.json");
  auto refused = read_spec(folder_, "rerank");
  ASSERT_FALSE(refused.ok());
  EXPECT_NE(refused.error().message.find("of language models"), std::string::npos)
      << refused.error().message;
  use("logit_score", "model");
  write("modules.json", R"([{"type":"Transformer","path":""},
                            {"type":"Pooling","path":"1_Pooling"}])");
  refused = read_spec(folder_, "rerank");
  ASSERT_FALSE(refused.ok());
  EXPECT_NE(refused.error().message.find("has a Pooling module"), std::string::npos)
      << refused.error().message;
}

TEST_F(LanguageRerankerTest, MixedbreadsIsKnownByItsNameAlone) {
  use("qwen3_reranker", "models--mixedbread-ai--mxbai-rerank-base-v2/snapshots/e61197ed");
  set("config.json", "model_type", "qwen2");
  const auto spec = read_spec(folder_);
  ASSERT_TRUE(spec.ok()) << spec.error().message;
  EXPECT_TRUE(spec->is_reranker());
  EXPECT_EQ(spec->assumed, "");
  const json vocab = read("tokenizer.json")["model"]["vocab"];
  EXPECT_EQ(spec->dense[0].rows, (std::vector<std::uint32_t>{vocab["1"], vocab["0"]}));
  EXPECT_EQ(spec->pair_template.before_query, "query: ");
  EXPECT_EQ(spec->pair_template.instruction, "");
  EXPECT_EQ(spec_from_json(to_json(*spec), "f")->pair_template.instruction_begin, "instruction: ");
  EXPECT_EQ(read_spec(folder_, "last_token")->task(), Task::embed);

  use("qwen3_reranker", "mxbai-rerank-large-v2");
  set("config.json", "model_type", "qwen2");
  EXPECT_NE(read_spec(folder_)->assumed.find("mxbai-rerank-v2, by its folder's name"),
            std::string::npos);
  EXPECT_EQ(read_spec(folder_, "rerank")->assumed, "");
  EXPECT_EQ(read_spec(folder_, "rerank")->pair_template.before_query, "query: ");
}

// They are asked in words of their own.
TEST_F(LanguageRerankerTest, OtherRankersAreNoEmbedders) {
  use("qwen3_reranker", "models--org--some-rerank-base-v2/snapshots/e61197ed");
  set("config.json", "model_type", "qwen2");
  EXPECT_NE(refusal().find("(qwen2) that ranks texts, by its model card or name"),
            std::string::npos)
      << refusal();
  EXPECT_TRUE(read_spec(folder_, "rerank")->is_reranker()) << "one may know better";
  EXPECT_EQ(read_spec(folder_, "last_token")->task(), Task::embed);
  use("qwen3_reranker", "my-Reranker");
  set("config.json", "model_type", "mistral");
  EXPECT_NE(refusal().find("(mistral) that ranks texts, by its folder's name"), std::string::npos)
      << refusal();
  use("qwen3_reranker", "qr");
  set("config.json", "model_type", "qwen2");
  EXPECT_EQ(read_spec(folder_)->task(), Task::embed);
}

TEST_F(LanguageRerankerTest, ConfigurationCanSayWhichTokensCount) {
  use("qwen3_reranker", "model");
  set("config.json", "classifier_from_token", {"a", "b"});
  const auto spec = read_spec(folder_);
  ASSERT_TRUE(spec.ok()) << spec.error().message;
  const json vocab = read("tokenizer.json")["model"]["vocab"];
  EXPECT_EQ(spec->dense[0].rows, (std::vector<std::uint32_t>{vocab["b"], vocab["a"]}));
  set("config.json", "classifier_from_token", {"a"});
  EXPECT_NE(refusal().find("classifier_from_token"), std::string::npos) << refusal();
  set("config.json", "classifier_from_token", {"a", "no such token"});
  EXPECT_NE(refusal().find("no such token"), std::string::npos) << refusal();
}

TEST_F(LanguageRerankerTest, ReadsTheModuleOfSentenceTransformers) {
  use("logit_score", "model");
  const auto spec = read_spec(folder_);
  ASSERT_TRUE(spec.ok()) << spec.error().message;
  EXPECT_TRUE(spec->is_reranker());
  EXPECT_EQ(spec->dense[0].name, "lm_head");
  EXPECT_EQ(spec->default_prompt_name, "task");
  set("1_LogitScore/config.json", "false_token_id", nullptr);
  EXPECT_EQ(read_spec(folder_)->dense[0].rows.size(), 1u);
  set("1_LogitScore/config.json", "false_token_id", 100'000);
  EXPECT_NE(refusal().find("'vocab_size' is 1212, without the token 100000"), std::string::npos)
      << refusal();
  set("1_LogitScore/config.json", "false_token_id", 3);
  set("1_LogitScore/config.json", "module_input_name", "logits");
  EXPECT_NE(refusal().find("module_input_name"), std::string::npos) << refusal();
  use("logit_score", "model");
  write("chat_template.jinja",
        R"({{ messages | selectattr("role", "eq", "query") }} {{ "document" }})");
  EXPECT_NE(refusal().find("chat_template.jinja"), std::string::npos) << refusal();
  write("chat_template.jinja", "{% for message in messages %}{{ message.content }}{% endfor %}");
  EXPECT_NE(refusal().find("is none for a query and a document"), std::string::npos) << refusal();
  fs::remove(folder_ / "chat_template.jinja");
  EXPECT_NE(refusal().find("no file has a chat_template"), std::string::npos) << refusal();
  use("logit_score", "model");
  fs::remove(folder_ / "1_LogitScore/config.json");
  EXPECT_NE(refusal().find("1_LogitScore/config.json"), std::string::npos) << refusal();
}

}  // namespace
}  // namespace sheaf::model
