#include "model/spec/spec.h"

#include <gtest/gtest.h>

#include "model/spec/model_folder_fixture.h"
#include "model/spec/spec_json.h"

namespace sheaf::model {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

class SpecTest : public ModelFolderTest {
 protected:
  SpecTest() { use("tiny_bert"); }
  void use_family(const std::string& name) { use("families/" + name); }
  // Sets one field of one file to a JSON text; "" removes it.
  void set(const std::string& file, const std::string& field, const std::string& value) {
    if (value.empty())
      remove(file, field);
    else
      ModelFolderTest::set(file, field, json::parse(value));
  }
  void expect_refused(const std::string& file, const std::string& complaint) {
    const auto spec = read_spec(folder_);
    ASSERT_FALSE(spec.ok()) << complaint;
    EXPECT_NE(spec.error().message.find(file), std::string::npos) << spec.error().message;
    EXPECT_NE(spec.error().message.find(complaint), std::string::npos) << spec.error().message;
  }
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
      {"1_Pooling/config.json", "include_prompt", "0"},
      {"sentence_bert_config.json", "max_seq_length", "0"},
      {"sentence_bert_config.json", "max_seq_length", "-1"},
      {"sentence_bert_config.json", "max_seq_length", "\"256\""},
      {"sentence_bert_config.json", "do_lower_case", "0"},
  };
  for (const auto& c : cases) {
    use("tiny_bert");
    set(c.file, c.field, c.value);
    expect_refused(c.file, c.field);
  }
}

TEST_F(SpecTest, PoolingMayLeavePromptsOut) {
  EXPECT_TRUE(read_spec(folder_)->pools_prompt);
  set("1_Pooling/config.json", "include_prompt", "false");
  const auto spec = read_spec(folder_);
  ASSERT_TRUE(spec.ok()) << spec.error().message;
  EXPECT_FALSE(spec->pools_prompt);
  EXPECT_FALSE(spec_from_json(to_json(*spec), "f")->pools_prompt);
}

// As in e5-mistral-7b-instruct: tokenizer.json puts nothing behind a text.
TEST_F(SpecTest, TokensAroundATextThatTheTokenizersConfigAsksFor) {
  const auto tokens = [this] {
    const auto spec = read_spec(folder_);
    return spec.ok() ? spec->opening_token + "|" + spec->closing_token : spec.error().message;
  };
  EXPECT_EQ(tokens(), "|");
  write("tokenizer_config.json", R"({"eos_token": "</s>", "bos_token": {"content": "<s>"}})");
  EXPECT_EQ(tokens(), "|");
  set("tokenizer_config.json", "add_eos_token", "true");
  EXPECT_EQ(tokens(), "|</s>");
  set("tokenizer_config.json", "add_bos_token", "true");
  EXPECT_EQ(tokens(), "<s>|</s>");
  EXPECT_EQ(spec_from_json(to_json(*read_spec(folder_)), "f")->closing_token, "</s>");
  set("tokenizer_config.json", "add_bos_token", "false");
  set("tokenizer_config.json", "eos_token", "");
  EXPECT_EQ(tokens(), "|");  // nobody says which
  write("special_tokens_map.json", R"({"eos_token": {"content": "<end>"}})");
  EXPECT_EQ(tokens(), "|<end>");
  set("tokenizer_config.json", "add_eos_token", "1");
  expect_refused("tokenizer_config.json", "add_eos_token");
}

// gte-Qwen2's own code does it, whatever the files of its tokenizer say.
TEST_F(SpecTest, TheCodeOfGteQwen2SeesWholeTextsAndEndsThem) {
  use_family("qwen2");
  set("config.json", "is_causal", "");
  EXPECT_EQ(read_spec(folder_)->closing_token, "");
  EXPECT_TRUE(read_spec(folder_)->causal);
  set("config.json", "auto_map", R"({"AutoModel": "modeling_qwen.Qwen2Model"})");
  EXPECT_EQ(read_spec(folder_)->closing_token, "<|endoftext|>");
  EXPECT_FALSE(read_spec(folder_)->causal);
  set("config.json", "is_causal", "true");
  EXPECT_TRUE(read_spec(folder_)->causal) << "said is said";
  write("tokenizer_config.json", R"({"add_eos_token": true, "eos_token": "<|im_end|>"})");
  EXPECT_EQ(read_spec(folder_)->closing_token, "<|im_end|>");
}

TEST_F(SpecTest, DenseModulesMayBeRectified) {
  use_family("gemma3");
  set("2_Dense/config.json", "activation_function", R"("torch.nn.modules.activation.ReLU")");
  EXPECT_EQ(read_spec(folder_)->dense[0].activation, DenseActivation::relu);
}

TEST_F(SpecTest, HowVectorsAreCompared) {
  EXPECT_EQ(read_spec(folder_)->similarity, Similarity::cosine);
  const std::string file = "config_sentence_transformers.json";
  write(file, R"({"similarity_fn_name": null})");
  EXPECT_EQ(read_spec(folder_)->similarity, Similarity::cosine);
  for (const Similarity similarity :
       {Similarity::cosine, Similarity::dot, Similarity::euclidean, Similarity::manhattan}) {
    set(file, "similarity_fn_name", '"' + std::string(name_of(similarity)) + '"');
    const auto spec = read_spec(folder_);
    EXPECT_EQ(spec->similarity, similarity);
    EXPECT_EQ(spec_from_json(to_json(*spec), "f")->similarity, similarity);
  }
  set(file, "similarity_fn_name", R"("maxsim")");
  expect_refused(file, "similarity_fn_name");
}

TEST_F(SpecTest, AdaptersAreSeen) {
  use_family("jina_v3_own");
  EXPECT_TRUE(read_spec(folder_)->adapters);
  set("config.json", "lora_adaptations", "null");
  EXPECT_FALSE(read_spec(folder_)->adapters);
  use_family("jina_v3");
  EXPECT_TRUE(read_spec(folder_)->adapters);
}

TEST_F(SpecTest, ReadsDecoders) {
  const auto family = [](const char* name) {
    return *read_spec(SHEAF_SOURCE_DIR "/tests/golden/families/" + std::string(name) + "/model");
  };
  const ModelSpec qwen = family("qwen3_windows");
  EXPECT_EQ(qwen.kv_heads, 1u);
  EXPECT_EQ(qwen.head_size, 6u);
  EXPECT_TRUE(qwen.causal);
  EXPECT_EQ(qwen.local_layers, (std::vector<bool>{false, true, true}));
  EXPECT_EQ(qwen.local_before, 4u);
  EXPECT_EQ(qwen.local_after, 0u);
  EXPECT_EQ(qwen.weights_bytes_fp32, 4 * (qwen.parameter_count - 59 * 24));  // lm_head
  EXPECT_EQ(family("qwen2").weights_dtype, "BF16");
  EXPECT_FALSE(family("qwen2").causal);
  const ModelSpec llama = family("llama");
  EXPECT_EQ(llama.weights_dtype, "F16");
  EXPECT_EQ(llama.rotary.scaling, RotaryScaling::llama3);
  EXPECT_EQ(llama.rotary.trained_positions, 32);
  const ModelSpec gemma = family("gemma3");
  EXPECT_EQ(gemma.rotary.theta, 3000);
  EXPECT_EQ(gemma.local_rotary.theta, 500);
  EXPECT_EQ(gemma.dense.size(), 2u);
  EXPECT_EQ(gemma.dimensions, 9u);
  for (const ModelSpec& spec : {qwen, llama, gemma})
    EXPECT_EQ(to_json(*spec_from_json(to_json(spec), "f")), to_json(spec));
}

// The same numbers as files had them before rope_parameters.
TEST_F(SpecTest, ReadsOlderFormsOfRotaryPositions) {
  use_family("llama");
  const ModelSpec spec = *read_spec(folder_);
  set("config.json", "rope_scaling",
      R"({"type":"llama3","factor":4,"low_freq_factor":1,"high_freq_factor":4,
          "original_max_position_embeddings":32})");
  set("config.json", "rope_parameters", "");
  set("config.json", "rope_theta", "100");
  EXPECT_EQ(to_json(*read_spec(folder_)), to_json(spec));
  use_family("gemma3");
  const ModelSpec gemma = *read_spec(folder_);
  set("config.json", "rope_parameters", "");
  set("config.json", "rope_theta", "3000");
  set("config.json", "rope_local_base_freq", "500");
  set("config.json", "rope_scaling", R"({"rope_type":"linear","factor":2})");
  EXPECT_EQ(to_json(*read_spec(folder_)), to_json(gemma));
}

// Every layer of Mistral sees a window, of 4096 if the file says nothing, unless it is null.
TEST_F(SpecTest, WindowsOfMistral) {
  use_family("mistral");
  EXPECT_EQ(read_spec(folder_)->local_before, 6u);
  set("config.json", "sliding_window", "");
  EXPECT_EQ(read_spec(folder_)->local_before, 4095u);
  set("config.json", "sliding_window", "null");
  EXPECT_TRUE(read_spec(folder_)->local_layers.empty());
}

TEST_F(SpecTest, BadDecodersAreRefusedNamingTheField) {
  const struct {
    const char* family;
    const char* file;
    const char* field;
    const char* value;
    const char* complaint;
  } cases[] = {
      {"qwen3", "config.json", "num_key_value_heads", "4", "num_key_value_heads"},
      {"qwen3", "config.json", "num_key_value_heads", "7", "num_key_value_heads"},
      {"qwen3", "config.json", "head_dim", "9", "head_dim"},
      {"qwen3", "config.json", "head_dim", "4000000000", "head_dim"},
      {"qwen3", "config.json", "hidden_act", "\"relu\"", "hidden_act"},
      {"qwen3", "config.json", "rms_norm_eps", "2", "rms_norm_eps"},
      {"qwen3", "config.json", "is_causal", "1", "is_causal"},
      {"qwen3", "config.json", "rope_parameters", "[]", "rope_parameters"},
      {"qwen3", "config.json", "rope_parameters", R"({"rope_theta":0})",
       "rope_parameters.rope_theta"},
      {"qwen3", "config.json", "rope_parameters", R"({"rope_type":"linear"})",
       "rope_parameters.factor"},
      {"llama", "config.json", "rope_parameters",
       R"({"rope_type":"llama3","factor":2,"low_freq_factor":4,"high_freq_factor":4,
           "original_max_position_embeddings":32})",
       "rope_parameters.high_freq_factor"},
      {"qwen3_windows", "config.json", "sliding_window", "0", "sliding_window"},
      {"qwen3_windows", "config.json", "layer_types", R"(["full_attention"])", "layer_types"},
      {"qwen3_windows", "config.json", "layer_types",
       R"(["full_attention","full_attention","chunked_attention"])", "chunked_attention"},
      {"gemma3", "config.json", "attn_logit_softcapping", "50.0", "attn_logit_softcapping"},
      {"gemma3", "config.json", "query_pre_attn_scalar", "0", "query_pre_attn_scalar"},
      {"gemma3", "config.json", "hidden_activation", "\"gelu\"", "hidden_activation"},
      {"gemma3", "2_Dense/config.json", "in_features", "25", "in_features"},
      {"gemma3", "2_Dense/config.json", "out_features", "0", "out_features"},
      {"gemma3", "2_Dense/config.json", "activation_function", "\"os.system\"",
       "activation_function"},
      {"gemma3", "2_Dense/config.json", "use_residual", "true", "use_residual"},
      {"gemma3", "2_Dense/config.json", "module_input_name", "\"token_embeddings\"",
       "module_input_name"},
      {"gemma3", "3_Dense/config.json", "in_features", "24", "in_features"},
  };
  for (const auto& c : cases) {
    use_family(c.family);
    set(c.file, c.field, c.value);
    expect_refused(c.file, c.complaint);
  }
}

TEST_F(SpecTest, ReadsBertsForLongTexts) {
  const auto family = [](const char* name) {
    return *read_spec(SHEAF_SOURCE_DIR "/tests/golden/families/" + std::string(name) + "/model");
  };
  const ModelSpec nomic = family("nomic_long");
  EXPECT_EQ(nomic.intermediate_size, 256u);  // of 100
  EXPECT_EQ(nomic.vocab_size, 64u);          // of 59
  EXPECT_EQ(nomic.positions, 40u);
  EXPECT_EQ(nomic.rotary.scaling, RotaryScaling::dynamic);
  EXPECT_EQ(nomic.rotary.trained_positions, 16);
  EXPECT_EQ(nomic.rotary.fraction, 0.5);
  const ModelSpec moe = family("nomic_moe");
  EXPECT_EQ(moe.experts, 5u);
  EXPECT_EQ(moe.experts_chosen, 2u);
  EXPECT_FALSE(moe.has_experts(0));
  EXPECT_TRUE(moe.has_experts(1));
  EXPECT_FALSE(moe.has_experts(2));
  EXPECT_TRUE(moe.has_experts(3));
  const ModelSpec gte = family("gte_new");
  EXPECT_EQ(gte.rotary.scaling, RotaryScaling::ntk);
  EXPECT_EQ(gte.rotary.factor, 8);
  EXPECT_EQ(gte.type_vocab_size, 0u);
  const ModelSpec jina = family("jina_bert_reglu");
  EXPECT_EQ(jina.architecture, Architecture::jina_bert);
  EXPECT_TRUE(jina.linear_distance);
  EXPECT_EQ(jina.activation, "relu");
  EXPECT_EQ(family("jina_code").architecture, Architecture::jina_code);
  EXPECT_EQ(family("jina_v3_own").rotary.theta, 20000);
  for (const ModelSpec& spec : {nomic, moe, gte, jina})
    EXPECT_EQ(to_json(*spec_from_json(to_json(spec), "f")), to_json(spec));
}

// snowflake-arctic-embed-m-v2.0: the fields of "new" under the name that transformers uses.
TEST_F(SpecTest, ReadsGteUnderEitherName) {
  use_family("gte_new");
  ModelSpec spec = *read_spec(folder_);
  set("config.json", "model_type", "\"gte\"");
  ModelSpec renamed = *read_spec(folder_);
  EXPECT_EQ(renamed.model_type, "gte");
  renamed.model_type = spec.model_type;
  EXPECT_EQ(to_json(renamed), to_json(spec));
  set("config.json", "rope_scaling", "null");
  EXPECT_EQ(read_spec(folder_)->rotary.scaling, RotaryScaling::none);
  EXPECT_EQ(read_spec(folder_)->rotary.theta, 300);
}

TEST_F(SpecTest, BadBertsForLongTextsAreRefusedNamingTheField) {
  const struct {
    const char* family;
    const char* field;
    const char* value;
    const char* complaint;
  } cases[] = {
      {"nomic_long", "n_positions", "", "n_positions"},
      {"nomic_long", "n_inner", "null", "n_inner"},
      {"nomic_long", "n_head", "5", "n_head"},
      {"nomic_long", "activation_function", "\"glu\"", "activation_function"},
      {"nomic_long", "activation_function", "\"gelu_new\"", "activation_function"},
      {"nomic_long", "prenorm", "true", "prenorm"},
      {"nomic_long", "use_rms_norm", "true", "use_rms_norm"},
      {"nomic_long", "causal", "true", "causal"},
      {"nomic_long", "parallel_block", "true", "parallel_block"},
      {"nomic_long", "qkv_proj_bias", "1", "qkv_proj_bias"},
      {"nomic_long", "rotary_emb_fraction", "0", "rotary_emb_fraction"},
      {"nomic_long", "rotary_emb_fraction", "", "rotary_emb_fraction"},
      {"nomic_long", "rotary_emb_fraction", "0.1", "rotary_emb_fraction"},
      {"nomic_long", "rotary_emb_fraction", "0.75", "rotary_emb_fraction"},
      {"nomic_long", "rotary_emb_fraction", "2", "rotary_emb_fraction"},
      {"nomic_long", "rotary_emb_interleaved", "true", "rotary_emb_interleaved"},
      {"nomic_long", "rotary_emb_scale_base", "512", "rotary_emb_scale_base"},
      {"nomic_long", "rotary_head_dim", "true", "rotary_head_dim"},
      {"nomic_long", "rotary_scaling_factor", "0.5", "rotary_scaling_factor"},
      {"nomic_long", "rotary_scaling_factor", "\"2\"", "rotary_scaling_factor"},
      {"nomic_long", "max_trained_positions", "0", "max_trained_positions"},
      {"nomic_moe", "num_experts", "", "num_experts"},
      {"nomic_moe", "num_experts", "0", "num_experts"},
      {"nomic_moe", "num_experts", "4000000000", "num_experts"},
      {"nomic_moe", "moe_top_k", "6", "moe_top_k"},
      {"nomic_moe", "moe_normalize_expert_weights", "true", "moe_normalize_expert_weights"},
      {"nomic_moe", "expert_choice_router", "true", "expert_choice_router"},
      {"nomic_moe", "num_shared_experts", "1", "num_shared_experts"},
      {"nomic_moe", "activation_function", "\"swiglu\"", "activation_function"},
      {"nomic", "hidden_act", "\"gelu\"", "hidden_act"},
      {"nomic", "num_attention_heads", "4", "num_attention_heads"},
      {"nomic", "rope_parameters", R"({"rope_type":"ntk"})", "rope_parameters.rope_type"},
      {"gte_new", "layer_norm_type", "\"rms_norm\"", "layer_norm_type"},
      {"gte_new", "logn_attention_scale", "true", "logn_attention_scale"},
      {"gte_new", "logn_attention_clip1", "true", "logn_attention_clip1"},
      {"gte_new", "pack_qkv", "false", "pack_qkv"},
      {"gte_new", "position_embedding_type", "\"absolute\"", "position_embedding_type"},
      {"gte_new", "rope_scaling", R"({"type":"dynamic","factor":2})", "rope_scaling.type"},
      {"gte_new", "rope_scaling", R"({"type":"ntk"})", "rope_scaling.factor"},
      {"gte_new", "rope_scaling", R"({"factor":2})", "rope_scaling.type"},
      {"gte_new", "rope_scaling", R"({"type":"ntk","factor":2,"mixed_b":0.5})",
       "rope_scaling.mixed_b"},
      {"gte_new", "num_attention_heads", "8", "num_attention_heads"},  // heads of 3
      {"gte", "hidden_act", "\"silu\"", "hidden_act"},
      {"jina_bert", "feed_forward_type", "\"original\"", "feed_forward_type"},
      {"jina_bert", "feed_forward_type", "", "feed_forward_type"},
      {"jina_v3_own", "position_embedding_type", "\"alibi\"", "position_embedding_type"},
      {"jina_v3_own", "rotary_emb_base", "0", "rotary_emb_base"},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(std::string(c.family) + " " + c.field + " " + c.value);
    use_family(c.family);
    set("config.json", c.field, c.value);
    expect_refused("config.json", c.complaint);
  }
}

TEST_F(SpecTest, ReadsDeberta) {
  use_family("deberta");
  auto spec = read_spec(folder_);
  ASSERT_TRUE(spec.ok()) << spec.error().message;
  EXPECT_EQ(spec->architecture, Architecture::deberta);
  EXPECT_EQ(spec->type_vocab_size, 0u);
  EXPECT_FALSE(spec->position_table);
  EXPECT_EQ(spec->relative.reach, 90u);  // -1 in the file: as many as there are positions
  EXPECT_EQ(spec->relative.rows(), 32u);
  EXPECT_TRUE(spec->relative.keys && spec->relative.queries);
  EXPECT_TRUE(spec->relative.shared_layers && spec->relative.normalized);
  const auto back = spec_from_json(to_json(*spec), "f");
  ASSERT_TRUE(back.ok()) << back.error().message;
  EXPECT_EQ(to_json(*back), to_json(*spec));
  EXPECT_EQ(back->architecture, Architecture::deberta);

  use_family("deberta_v2");
  spec = read_spec(folder_);
  ASSERT_TRUE(spec.ok()) << spec.error().message;
  EXPECT_TRUE(spec->position_table);
  EXPECT_EQ(spec->relative.reach, 7u);
  EXPECT_EQ(spec->relative.rows(), 14u);
  EXPECT_FALSE(spec->relative.shared_layers || spec->relative.normalized);
  set("config.json", "pos_att_type", "\" C2P |none\"");
  expect_refused("config.json", "'pos_att_type' has 'none'; built are: c2p, p2c");
  set("config.json", "pos_att_type", "\" C2P \"");
  EXPECT_TRUE(read_spec(folder_)->relative.keys);
  EXPECT_FALSE(read_spec(folder_)->relative.queries);
}

TEST_F(SpecTest, BadDebertasAreRefusedNamingFieldAndValue) {
  const struct {
    const char* field;
    const char* value;
    const char* complaint;
  } cases[] = {
      {"relative_attention", "false", "not true"},
      {"relative_attention", "null", "not true"},
      {"max_relative_positions", "7.5", "is 7.5"},
      {"max_relative_positions", "\"7\"", ""},
      {"max_relative_positions", "10000000", ""},
      {"position_buckets", "1", "is 1, by which 90 distances"},
      {"position_buckets", "60", "is 60, by which 90 distances"},
      {"position_buckets", "178", "is 178, by which 90 distances"},
      {"pos_att_type", "[\"c2p\", \"p2p\"]", "has 'p2p'"},
      {"pos_att_type", "[7]", "no text"},
      {"pos_att_type", "7", ""},
      {"norm_rel_ebd", "\"batch_norm\"", "has 'batch_norm'"},
      {"share_att_key", "\"yes\"", ""},
      {"conv_kernel_size", "3", "is 3; built is: 0"},
      {"embedding_size", "12", "is 12; built is: 24"},
      {"attention_head_size", "64", "is 64; built is: 8"},
      {"hidden_act", "\"relu\"", "is 'relu'"},
      {"type_vocab_size", "-1", ""},
      {"position_biased_input", "0", ""},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(std::string(c.field) + ": " + c.value);
    use_family("deberta");
    set("config.json", c.field, c.value);
    expect_refused("config.json", c.field);
    expect_refused("config.json", c.complaint);
  }
}

TEST_F(SpecTest, FurtherFilesAreThoseThatModulesAndIndexName) {
  use_family("gemma3");
  std::string names;
  const std::vector<ModelFile> of_gemma = *further_files(folder_);
  for (const ModelFile& file : of_gemma) names += file.path + " ";
  EXPECT_EQ(names,
            "1_Pooling/config.json 2_Dense/config.json 2_Dense/model.safetensors "
            "3_Dense/config.json 3_Dense/model.safetensors sparse_linear.safetensors "
            "colbert_linear.safetensors model.safetensors ");
  use_family("qwen3_windows");
  const std::vector<ModelFile> files = *further_files(folder_);
  ASSERT_EQ(files.size(), 9u);
  EXPECT_FALSE(files[1].required) << files[1].path;
  EXPECT_EQ(files[3].path, "model-00001-of-00006.safetensors");
  EXPECT_EQ(files[8].path, "model-00006-of-00006.safetensors");
  fs::remove(folder_ / "model.safetensors.index.json");
  EXPECT_EQ(further_files(folder_)->back().path, "model.safetensors");
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
  expect_refused("modules.json", "field '0' is ");
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
    use("tiny_bert");
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

}  // namespace
}  // namespace sheaf::model
