// What the files of models that people use say, as far as a reader asks: each is taken, for what it
// is. One tensor stands for all weights.
#include <fmt/core.h>

#include <algorithm>

#include "model/spec/model_folder_fixture.h"

namespace sheaf::model {
namespace {

using nlohmann::json;

struct KnownModel {
  const char* name;
  const char* config;
  const char* modules;  // "mean normalize", "" for no modules.json, "2_Dense_1024:1024" a Dense
  const char* others;   // {file: content}
  const char* expected;
};

const KnownModel kKnownModels[] = {
    {"all-MiniLM-L6-v2",
     R"({"architectures": ["BertModel"], "model_type": "bert", "hidden_act": "gelu",
         "hidden_size": 384, "intermediate_size": 1536, "layer_norm_eps": 1e-12,
         "max_position_embeddings": 512, "num_attention_heads": 12, "num_hidden_layers": 6,
         "position_embedding_type": "absolute", "type_vocab_size": 2, "vocab_size": 30522})",
     "mean normalize", R"({"sentence_bert_config.json": {"max_seq_length": 256}})",
     "embedder bert mean 384 normalized, 256 tokens"},
    {"bge-base-en-v1.5",
     R"({"architectures": ["BertModel"], "model_type": "bert", "hidden_act": "gelu",
         "hidden_size": 768, "id2label": {"0": "LABEL_0"}, "intermediate_size": 3072,
         "layer_norm_eps": 1e-12, "max_position_embeddings": 512, "num_attention_heads": 12,
         "num_hidden_layers": 12, "type_vocab_size": 2, "vocab_size": 30522})",
     "cls normalize",
     R"({"sentence_bert_config.json": {"max_seq_length": 512, "do_lower_case": true}})",
     "embedder bert cls 768 normalized, 512 tokens"},
    {"bert-base-nli-mean-tokens",
     R"({"architectures": ["BertModel"], "model_type": "bert", "hidden_act": "gelu",
         "hidden_size": 768, "intermediate_size": 3072, "layer_norm_eps": 1e-12,
         "max_position_embeddings": 512, "num_attention_heads": 12, "num_hidden_layers": 12,
         "type_vocab_size": 2, "vocab_size": 30522})",
     "mean", R"({"sentence_bert_config.json": {"max_seq_length": 128, "do_lower_case": false}})",
     "embedder bert mean 768, 128 tokens"},
    {"ms-marco-MiniLM-L6-v2",
     R"({"architectures": ["BertForSequenceClassification"], "model_type": "bert",
         "hidden_act": "gelu", "hidden_size": 384, "id2label": {"0": "LABEL_0"},
         "intermediate_size": 1536, "label2id": {"LABEL_0": 0}, "max_position_embeddings": 512,
         "num_attention_heads": 12, "num_hidden_layers": 6, "vocab_size": 30522,
         "sentence_transformers": {"activation_fn": "torch.nn.modules.linear.Identity"}})",
     "", "{}", "reranker bert cls 1, 512 tokens"},
    {"bge-m3",
     R"({"architectures": ["XLMRobertaModel"], "model_type": "xlm-roberta", "hidden_act": "gelu",
         "hidden_size": 1024, "intermediate_size": 4096, "layer_norm_eps": 1e-05,
         "max_position_embeddings": 8194, "num_attention_heads": 16, "num_hidden_layers": 24,
         "pad_token_id": 1, "type_vocab_size": 1, "vocab_size": 250002})",
     "cls normalize", R"({"tokenizer_config.json": {"model_max_length": 8192}})",
     "embedder bert cls 1024 normalized, 8192 tokens"},
    {"multilingual-e5-base",
     R"({"architectures": ["XLMRobertaModel"], "model_type": "xlm-roberta", "hidden_act": "gelu",
         "hidden_size": 768, "intermediate_size": 3072, "layer_norm_eps": 1e-05,
         "max_position_embeddings": 514, "num_attention_heads": 12, "num_hidden_layers": 12,
         "pad_token_id": 1, "type_vocab_size": 1, "vocab_size": 250002})",
     "mean normalize", "{}", "embedder bert mean 768 normalized, 512 tokens"},
    {"bge-reranker-v2-m3",
     R"({"architectures": ["XLMRobertaForSequenceClassification"], "model_type": "xlm-roberta",
         "hidden_act": "gelu", "hidden_size": 1024, "id2label": {"0": "LABEL_0"},
         "intermediate_size": 4096, "layer_norm_eps": 1e-05, "max_position_embeddings": 8194,
         "num_attention_heads": 16, "num_hidden_layers": 24, "pad_token_id": 1,
         "type_vocab_size": 1, "vocab_size": 250002})",
     "", "{}", "reranker bert cls 1, 8192 tokens"},
    {"all-mpnet-base-v2",
     R"({"architectures": ["MPNetForMaskedLM"], "model_type": "mpnet", "hidden_act": "gelu",
         "hidden_size": 768, "intermediate_size": 3072, "layer_norm_eps": 1e-05,
         "max_position_embeddings": 514, "num_attention_heads": 12, "num_hidden_layers": 12,
         "pad_token_id": 1, "relative_attention_num_buckets": 32, "vocab_size": 30527})",
     "mean normalize", R"({"sentence_bert_config.json": {"max_seq_length": 384}})",
     "embedder mpnet mean 768 normalized, 384 tokens"},
    {"modernbert-embed-base",
     R"({"architectures": ["ModernBertModel"], "model_type": "modernbert", "attention_bias": false,
         "classifier_activation": "gelu", "classifier_pooling": "mean", "decoder_bias": true,
         "global_attn_every_n_layers": 3, "global_rope_theta": 160000.0,
         "hidden_activation": "gelu", "hidden_size": 768, "intermediate_size": 1152,
         "local_attention": 128, "local_rope_theta": 10000.0, "max_position_embeddings": 8192,
         "mlp_bias": false, "norm_bias": false, "norm_eps": 1e-05, "num_attention_heads": 12,
         "num_hidden_layers": 22, "position_embedding_type": "absolute", "vocab_size": 50368})",
     "mean normalize",
     R"({"config_sentence_transformers.json": {"prompts": {"query": "search_query: ",
         "document": "search_document: "}, "default_prompt_name": null,
         "similarity_fn_name": "cosine"}})",
     "embedder modernbert mean 768 normalized, 8192 tokens"},
    {"gte-reranker-modernbert-base",
     R"({"architectures": ["ModernBertForSequenceClassification"], "model_type": "modernbert",
         "classifier_bias": false, "classifier_pooling": "mean", "hidden_size": 768,
         "id2label": {"0": "LABEL_0"}, "intermediate_size": 1152, "max_position_embeddings": 8192,
         "num_attention_heads": 12, "num_hidden_layers": 22, "vocab_size": 50368})",
     "", "{}", "reranker modernbert mean 1, 8192 tokens"},
    {"nomic-embed-text-v1.5",
     R"({"architectures": ["NomicBertModel"], "model_type": "nomic_bert",
         "activation_function": "swiglu", "causal": false, "layer_norm_epsilon": 1e-12,
         "max_trained_positions": 2048, "mlp_fc1_bias": false, "mlp_fc2_bias": false,
         "n_embd": 768, "n_head": 12, "n_inner": 3072, "n_layer": 12, "n_positions": 8192,
         "pad_vocab_size_multiple": 64, "parallel_block": false, "prenorm": false,
         "qkv_proj_bias": false, "rotary_emb_base": 1000, "rotary_emb_fraction": 1.0,
         "rotary_emb_interleaved": false, "rotary_emb_scale_base": null,
         "rotary_scaling_factor": null, "type_vocab_size": 2, "use_rms_norm": false,
         "vocab_size": 30528})",
     "mean", R"({"sentence_bert_config.json": {"max_seq_length": 8192, "do_lower_case": false}})",
     "embedder nomic mean 768, 8192 tokens"},
    {"nomic-embed-text-v2-moe",
     R"({"architectures": ["NomicBertModel"], "model_type": "nomic_bert",
         "activation_function": "gelu", "expert_choice_router": false,
         "layer_norm_epsilon": 1e-05, "mlp_fc1_bias": true, "mlp_fc2_bias": true,
         "moe_every_n_layers": 2, "moe_normalize_expert_weights": false, "moe_top_k": 2,
         "n_embd": 768, "n_head": 12, "n_inner": 3072, "n_layer": 12, "n_positions": 2048,
         "num_experts": 8, "num_shared_experts": 0, "pad_vocab_size_multiple": 64,
         "qkv_proj_bias": true, "rotary_emb_base": 10000.0, "rotary_emb_fraction": 1.0,
         "rotary_scaling_factor": null, "type_vocab_size": 1, "vocab_size": 250048})",
     "mean normalize", R"({"sentence_bert_config.json": {"max_seq_length": 512}})",
     "embedder nomic mean 768 normalized, 512 tokens"},
    {"gte-multilingual-base",
     R"({"architectures": ["NewForTokenClassification"], "model_type": "new",
         "auto_map": {"AutoModel": "Alibaba-NLP/new-impl--modeling.NewModel"},
         "hidden_act": "gelu", "hidden_size": 768, "intermediate_size": 3072,
         "layer_norm_eps": 1e-12, "layer_norm_type": "layer_norm", "logn_attention_clip1": false,
         "logn_attention_scale": false, "max_position_embeddings": 8192,
         "num_attention_heads": 12, "num_hidden_layers": 12, "pack_qkv": true,
         "position_embedding_type": "rope", "rope_scaling": {"factor": 8.0, "type": "ntk"},
         "rope_theta": 20000, "type_vocab_size": 1, "unpad_inputs": false, "vocab_size": 250048})",
     "cls normalize", "{}", "embedder gte cls 768 normalized, 8192 tokens"},
    {"snowflake-arctic-embed-m-v2.0",
     R"({"architectures": ["GteModel"], "model_type": "gte", "hidden_act": "gelu",
         "hidden_size": 768, "intermediate_size": 3072, "layer_norm_eps": 1e-12,
         "layer_norm_type": "layer_norm", "max_position_embeddings": 8192,
         "num_attention_heads": 12, "num_hidden_layers": 12, "pack_qkv": true,
         "position_embedding_type": "rope", "rope_scaling": null, "rope_theta": 160000,
         "type_vocab_size": 1, "vocab_size": 250048})",
     "cls normalize",
     R"({"config_sentence_transformers.json": {"prompts": {"query": "query: "},
         "similarity_fn_name": "cosine"}})",
     "embedder gte cls 768 normalized, 8192 tokens"},
    {"stella_en_400M_v5",
     R"({"architectures": ["NewModel"], "model_type": "new", "hidden_act": "gelu",
         "hidden_size": 1024, "intermediate_size": 4096, "layer_norm_eps": 1e-12,
         "max_position_embeddings": 8192, "num_attention_heads": 16, "num_hidden_layers": 24,
         "pack_qkv": true, "position_embedding_type": "rope",
         "rope_scaling": {"factor": 2.0, "type": "ntk"}, "rope_theta": 160000,
         "type_vocab_size": 2, "vocab_size": 30528})",
     "mean 2_Dense:1024", R"({"sentence_bert_config.json": {"max_seq_length": 512}})",
     "embedder gte mean 1024, 512 tokens"},
    {"jina-embeddings-v2-base-code",
     R"({"architectures": ["JinaBertForMaskedLM"], "model_type": "bert",
         "auto_map": {"AutoModel":
             "jinaai/jina-bert-v2-qk-post-norm--modeling_bert.JinaBertModel"},
         "feed_forward_type": "geglu", "hidden_act": "gelu", "hidden_size": 768,
         "intermediate_size": 3072, "layer_norm_eps": 1e-12, "max_position_embeddings": 8192,
         "num_attention_heads": 12, "num_hidden_layers": 12, "position_embedding_type": "alibi",
         "type_vocab_size": 2, "vocab_size": 61056})",
     "mean", "{}", "embedder jina_code mean 768, 8192 tokens"},
    {"jina-reranker-v2-base-multilingual",
     R"({"architectures": ["XLMRobertaForSequenceClassification"], "model_type": "xlm-roberta",
         "auto_map": {"AutoConfig":
             "jinaai/jina-reranker-v2-base-multilingual--configuration.XLMRobertaFlashConfig"},
         "hidden_act": "gelu", "hidden_size": 768, "id2label": {"0": "LABEL_0"},
         "intermediate_size": 3072, "layer_norm_eps": 1e-05, "max_position_embeddings": 1026,
         "num_attention_heads": 12, "num_hidden_layers": 12, "pad_token_id": 1,
         "position_embedding_type": "absolute", "type_vocab_size": 1, "vocab_size": 250002})",
     "", "{}", "reranker jina_flash cls 1, 1024 tokens"},
    {"mxbai-rerank-base-v1",
     R"({"architectures": ["DebertaV2ForSequenceClassification"], "model_type": "deberta-v2",
         "hidden_act": "gelu", "hidden_size": 768, "id2label": {"0": "LABEL_0"},
         "intermediate_size": 3072, "layer_norm_eps": 1e-07, "max_position_embeddings": 512,
         "max_relative_positions": -1, "norm_rel_ebd": "layer_norm", "num_attention_heads": 12,
         "num_hidden_layers": 12, "pooler_dropout": 0, "pooler_hidden_act": "gelu",
         "pooler_hidden_size": 768, "pos_att_type": ["p2c", "c2p"],
         "position_biased_input": false, "position_buckets": 256, "relative_attention": true,
         "share_att_key": true, "type_vocab_size": 0, "vocab_size": 128100})",
     "", "{}", "reranker deberta cls 1, 512 tokens"},
    {"Qwen3-Embedding-8B",
     R"({"architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3", "attention_bias": false,
         "head_dim": 128, "hidden_act": "silu", "hidden_size": 4096, "intermediate_size": 12288,
         "max_position_embeddings": 40960, "max_window_layers": 36, "num_attention_heads": 32,
         "num_hidden_layers": 36, "num_key_value_heads": 8, "rms_norm_eps": 1e-06,
         "rope_scaling": null, "rope_theta": 1000000, "sliding_window": null,
         "tie_word_embeddings": false, "use_sliding_window": false, "vocab_size": 151665})",
     "lasttoken normalize", R"({"tokenizer_config.json": {"add_bos_token": false,
         "eos_token": "<|im_end|>", "model_max_length": 131072}})",
     "embedder decoder last_token 4096 normalized causal, 40960 tokens"},
    {"gte-Qwen2-1.5B-instruct",
     R"({"architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2",
         "auto_map": {"AutoModel": "modeling_qwen.Qwen2Model"}, "hidden_act": "silu",
         "hidden_size": 1536, "intermediate_size": 8960, "is_causal": false,
         "max_position_embeddings": 131072, "max_window_layers": 21, "num_attention_heads": 12,
         "num_hidden_layers": 28, "num_key_value_heads": 2, "rms_norm_eps": 1e-06,
         "rope_theta": 1000000.0, "sliding_window": 131072, "tie_word_embeddings": false,
         "use_sliding_window": false, "vocab_size": 151646})",
     "lasttoken normalize", R"({"sentence_bert_config.json": {"max_seq_length": 32768},
         "tokenizer_config.json": {"add_eos_token": true, "eos_token": "<|endoftext|>"}})",
     "embedder decoder last_token 1536 normalized, 32768 tokens A<|endoftext|>"},
    {"e5-mistral-7b-instruct",
     R"({"architectures": ["MistralModel"], "model_type": "mistral", "hidden_act": "silu",
         "hidden_size": 4096, "intermediate_size": 14336, "max_position_embeddings": 32768,
         "num_attention_heads": 32, "num_hidden_layers": 32, "num_key_value_heads": 8,
         "rms_norm_eps": 1e-05, "rope_theta": 10000.0, "sliding_window": 4096,
         "tie_word_embeddings": false, "vocab_size": 32000})",
     "lasttoken normalize", R"({"sentence_bert_config.json": {"max_seq_length": 4096},
         "tokenizer_config.json": {"add_bos_token": true, "add_eos_token": true,
             "bos_token": {"content": "<s>"}, "eos_token": {"content": "</s>"},
             "model_max_length": 1000000000000000019884624838656}})",
     "embedder decoder last_token 4096 normalized causal, 4096 tokens <s>A</s>"},
    {"embeddinggemma-300m",
     R"({"architectures": ["Gemma3TextModel"], "model_type": "gemma3_text",
         "_sliding_window_pattern": 6, "attention_bias": false, "attn_logit_softcapping": null,
         "final_logit_softcapping": null, "head_dim": 256,
         "hidden_activation": "gelu_pytorch_tanh", "hidden_size": 768, "intermediate_size": 1152,
         "max_position_embeddings": 2048, "num_attention_heads": 3, "num_hidden_layers": 24,
         "num_key_value_heads": 1, "query_pre_attn_scalar": 256, "rms_norm_eps": 1e-06,
         "rope_local_base_freq": 10000.0, "rope_scaling": null, "rope_theta": 1000000.0,
         "sliding_window": 512, "use_bidirectional_attention": true, "vocab_size": 262144})",
     "mean 2_Dense:3072 3_Dense:768 normalize",
     R"({"config_sentence_transformers.json": {"prompts": {"query": "task: search result | query: ",
         "document": "title: none | text: "}, "similarity_fn_name": "cosine"}})",
     "embedder gemma3 mean 768 normalized, 2048 tokens"},
};

class KnownModels : public ModelFolderTest, public ::testing::WithParamInterface<KnownModel> {
 protected:
  KnownModels() {
    folder_ = root_ / "model";
    std::filesystem::create_directories(folder_);
  }
  void write_modules(const std::string& words) {
    json modules = json::array();
    const auto add = [&](const std::string& type, const std::string& path, const json& config) {
      modules.push_back({{"path", path}, {"type", "sentence_transformers.models." + type}});
      if (path.empty()) return;
      std::filesystem::create_directories(folder_ / path);
      write(path + "/config.json", config.dump());
    };
    add("Transformer", "", {});
    std::uint32_t inputs = read("config.json").value("hidden_size", 768U);
    for (std::size_t at = 0; at < words.size();) {
      const std::string word = words.substr(at, words.find(' ', at) - at);
      at += word.size() + 1;
      if (const std::size_t colon = word.find(':'); colon != word.npos) {
        const auto outputs = static_cast<std::uint32_t>(std::stoul(word.substr(colon + 1)));
        add("Dense", word.substr(0, colon),
            {{"in_features", inputs},
             {"out_features", outputs},
             {"activation_function", "torch.nn.modules.linear.Identity"}});
        write_weights(word.substr(0, colon) + "/");
        inputs = outputs;
      } else if (word == "normalize") {
        add("Normalize", "2_Normalize", json::object());
      } else {
        add("Pooling", "1_Pooling",
            {{"word_embedding_dimension", inputs},
             {"pooling_mode_" + word +
                  (word == "cls"    ? "_token"
                   : word == "mean" ? "_tokens"
                                    : ""),
              true},
             {"include_prompt", true}});
      }
    }
    write("modules.json", modules.dump());
  }
  void write_weights(const std::string& folder = "") {
    const std::string header = R"({"w": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}})";
    std::string file(8, '\0');
    file[0] = static_cast<char>(header.size());
    write(folder + "model.safetensors", file + header + std::string(4, '\0'));
  }
  static std::string describe(const ModelSpec& spec) {
    const bool bare = spec.opening_token.empty() && spec.closing_token.empty();
    return fmt::format("{} {} {} {}{}{}, {} tokens{}", kind_of(spec), name_of(spec.architecture),
                       name_of(spec.pooling.at(0)), spec.dimensions,
                       spec.normalize ? " normalized" : "", spec.causal ? " causal" : "",
                       spec.max_length,
                       bare ? "" : " " + spec.opening_token + "A" + spec.closing_token);
  }
};

TEST_P(KnownModels, AreTakenForWhatTheyAre) {
  const KnownModel& model = GetParam();
  write("config.json", model.config);
  write_weights();
  if (*model.modules != '\0') write_modules(model.modules);
  const json others = json::parse(model.others);
  for (const auto& [file, content] : others.items()) write(file, content.dump());
  const auto spec = read_spec(folder_);
  ASSERT_TRUE(spec.ok()) << spec.error().message;
  EXPECT_EQ(describe(*spec), model.expected);
}

INSTANTIATE_TEST_SUITE_P(, KnownModels, ::testing::ValuesIn(kKnownModels), [](const auto& info) {
  std::string name = info.param.name;
  std::ranges::replace_if(
      name, [](char c) { return c == '-' || c == '.'; }, '_');
  return name;
});

}  // namespace
}  // namespace sheaf::model
