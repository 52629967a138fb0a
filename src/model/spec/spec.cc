#include "model/spec/spec.h"

#include <fmt/core.h>

#include <algorithm>
#include <iterator>
#include <optional>
#include <utility>

#include "model/spec/checkpoint.h"
#include "model/spec/classifier.h"
#include "model/spec/config.h"
#include "model/spec/heads.h"
#include "model/spec/json_file.h"
#include "model/spec/language_reranker.h"
#include "model/spec/limits.h"
#include "model/spec/modules.h"
#include "model/spec/transformer_module.h"

namespace sheaf::model {
namespace {

using nlohmann::json;

constexpr Similarity kSimilarities[] = {Similarity::cosine, Similarity::dot, Similarity::euclidean,
                                        Similarity::manhattan};

// Builds the spec from one file after the other.
class SpecReader {
 public:
  SpecReader(const std::string& folder, PoolingChoice choice) : folder_(folder), choice_(choice) {}

  Result<ModelSpec> read() {
    SHEAF_TRY(read_config());
    if (spec_.task() == Task::embed) SHEAF_TRY(read_modules(folder_, choice_, spec_));
    if (spec_.task() == Task::embed && !spec_.is_splade())
      SHEAF_TRY(read_token_heads(folder_, spec_));
    SHEAF_TRY(read_length());
    SHEAF_TRY(read_defaults());
    SHEAF_TRY(read_weights());
    SHEAF_TRY(check_limits(spec_, folder_));
    return std::move(spec_);
  }

 private:
  std::string path_of(const std::string& name) const { return folder_ + "/" + name; }

  Status read_config() {
    SHEAF_ASSIGN(const std::optional<json> file, read_json_file(folder_, "config.json"));
    if (!file) return Error{ErrorCode::not_found, path_of("config.json") + ": no such file"};
    SHEAF_ASSIGN(const JsonObject config, JsonObject::of(*file, path_of("config.json")));
    SHEAF_TRY(model::read_config(config, spec_));
    // With a Pooling module it is an embedder, whatever transformers called the class that saved
    // its weights; cross-encoders saved by sentence-transformers have modules without one.
    SHEAF_ASSIGN(const std::vector<Module> modules, list_modules(folder_));
    const auto has = [&modules](std::string_view kind) {
      return std::ranges::find(modules, kind, &Module::kind) != modules.end();
    };
    if (!has("Pooling") && !has("SpladePooling")) {
      SHEAF_TRY(read_classifier(config, spec_));
      SHEAF_TRY(read_language_reranker(folder_, config, modules, choice_, spec_));
    } else if (choice_.rerank) {
      return Error{ErrorCode::invalid_argument,
                   path_of("modules.json") +
                       ": has a Pooling module, so the model embeds texts; "
                       "pooling rerank is for those without one"};
    }
    if (spec_.task() == Task::classify) return refuse_choice();
    if (modules.empty() && !choice_.given()) note_mean(config);
    const bool splade = choice_.given() ? choice_.splade : has("SpladePooling");
    return splade ? read_word_head(config, spec_) : Status();
  }

  // Without modules nobody says how to pool, and sentence-transformers takes the mean.
  void note_mean(const JsonObject& config) {
    spec_.assumed = "an embedder that pools by mean, without modules.json; --pooling changes that";
    if (spec_.model_type == "qwen3" && is_language_model(config))
      spec_.assumed += ": to last_token for Qwen3-Embedding's kin, rerank for Qwen3-Reranker's";
  }

  // What its labels are read from is part of what it has learnt.
  Status refuse_choice() const {
    if (!choice_.given() || (choice_.rerank && spec_.is_reranker())) return {};
    return Error{ErrorCode::invalid_argument,
                 fmt::format("{}: is a {}; pooling can be chosen for models that embed texts",
                             folder_, kind_of(spec_))};
  }

  // The model's own limit, else the tokenizer's, and never beyond the position table.
  Status read_length() {
    spec_.max_length = spec_.positions;
    SHEAF_TRY(read_tokenizer_config());
    return read_transformer_module(folder_, spec_);
  }

  // Tokenizers without a limit say so by an absurdly large number, often in floating point.
  Status read_tokenizer_config() {
    SHEAF_ASSIGN(const std::optional<json> file, read_json_file(folder_, "tokenizer_config.json"));
    if (!file) return {};
    SHEAF_ASSIGN(const JsonObject config, JsonObject::of(*file, path_of("tokenizer_config.json")));
    SHEAF_ASSIGN(const double length,
                 config.real_or("model_max_length", 1, 1e300, spec_.positions));
    if (length < spec_.positions) spec_.max_length = static_cast<std::uint32_t>(length);
    SHEAF_ASSIGN(const std::string side, config.text_or("truncation_side", "right"));
    if (side != "left" && side != "right")
      return config.error("truncation_side", "is '" + side + "', neither left nor right");
    spec_.cut_left = side == "left";
    SHEAF_TRY(read_added_token(config, "add_bos_token", "bos_token", spec_.opening_token));
    return read_added_token(config, "add_eos_token", "eos_token", spec_.closing_token);
  }

  // Files of Llama's and Mistral's tokenizers say so here and not in tokenizer.json, which
  // transformers wrote anew from this until its version 5. A model that reads its text's last token
  // was taught with that one.
  Status read_added_token(const JsonObject& config, std::string_view flag, const char* name,
                          std::string& token) const {
    SHEAF_ASSIGN(const bool added, config.boolean_or(flag, !token.empty()));
    if (!added) {
      token.clear();
      return {};
    }
    SHEAF_ASSIGN(std::string text, read_token(config, name));
    if (text.empty()) {
      SHEAF_ASSIGN(const std::optional<json> file,
                   read_json_file(folder_, "special_tokens_map.json"));
      if (!file) return {};
      SHEAF_ASSIGN(const JsonObject map, JsonObject::of(*file, path_of("special_tokens_map.json")));
      SHEAF_ASSIGN(text, read_token(map, name));
    }
    if (!text.empty()) token = std::move(text);
    return {};
  }

  // "</s>" or {"content": "</s>", ...}
  static Result<std::string> read_token(const JsonObject& config, const char* name) {
    const json* value = config.find(name);
    if (value == nullptr || !value->is_object()) return config.text_or(name, "");
    SHEAF_ASSIGN(const JsonObject token, config.object(name));
    return token.text("content");
  }

  Status read_defaults() {
    const std::string name = path_of("config_sentence_transformers.json");
    SHEAF_ASSIGN(const std::optional<json> file,
                 read_json_file(folder_, "config_sentence_transformers.json"));
    if (!file) return {};
    SHEAF_ASSIGN(const JsonObject config, JsonObject::of(*file, name));
    if (const json* prompts = config.find("prompts")) {
      SHEAF_ASSIGN(const JsonObject texts, JsonObject::of(*prompts, name, "prompts."));
      for (const auto& [key, unused] : prompts->items()) {
        SHEAF_ASSIGN(spec_.prompts[key], texts.text(key));
      }
    }
    SHEAF_ASSIGN(const std::uint32_t cut,
                 config.number_or("truncate_dim", 1, kMaxIntermediate, spec_.dimensions));
    spec_.dimensions = std::min(spec_.dimensions, cut);
    SHEAF_TRY(read_similarity(config));
    SHEAF_ASSIGN(spec_.default_prompt_name, config.text_or("default_prompt_name", ""));
    if (!spec_.default_prompt_name.empty() && !spec_.prompts.contains(spec_.default_prompt_name))
      return config.error("default_prompt_name",
                          "is '" + spec_.default_prompt_name + "', not one of prompts");
    return {};
  }

  Status read_similarity(const JsonObject& config) {
    constexpr std::string_view kField = "similarity_fn_name";
    SHEAF_ASSIGN(const std::string name, config.text_or(kField, "cosine"));
    const auto* found =
        std::ranges::find(kSimilarities, name, [](Similarity s) { return name_of(s); });
    if (found == std::end(kSimilarities))
      return config.unsupported(kField,
                                "is '" + name + "'; built are: cosine, dot, euclidean, manhattan");
    spec_.similarity = *found;
    return {};
  }

  Status read_weights() {
    SHEAF_ASSIGN(const Checkpoint checkpoint, Checkpoint::open(folder_, files_of_parts(spec_)));
    SHEAF_TRY(find_word_head(checkpoint));
    std::uint64_t largest = 0;
    for (const StoredTensor& tensor : checkpoint.tensors()) {
      const std::string& dtype = tensor.entry.dtype;
      const bool real = dtype.front() == 'F' || dtype.front() == 'B';
      if (!real || dtype == "BOOL") continue;
      const std::uint64_t count = element_count(tensor.entry);
      spec_.parameter_count += count;
      if (tensor.name != "lm_head.weight") spec_.weights_bytes_fp32 += count * sizeof(float);
      if (count > largest) {
        largest = count;
        spec_.weights_dtype = dtype;
      }
    }
    return {};
  }

  // Many checkpoints of a masked language model were saved without it.
  Status find_word_head(const Checkpoint& checkpoint) const {
    if (!spec_.is_splade()) return {};
    const std::string name = spec_.word_head.transform.name + ".weight";
    for (const StoredTensor& tensor : checkpoint.tensors())
      if (tensor.name == name || tensor.name.ends_with("." + name)) return {};
    return Error{ErrorCode::unsupported,
                 fmt::format("{}: SPLADE needs the head of a masked language model, but its "
                             "weights hold no tensor '{}'",
                             folder_, name)};
  }

  const std::string& folder_;
  const PoolingChoice choice_;
  ModelSpec spec_;
};

}  // namespace

bool ModelSpec::gives(Output output) const {
  if (output == Output::vector) return !is_splade();
  if (task() != Task::embed) return false;
  return output == Output::tokens || is_splade() || !token_weight.name.empty();
}

std::vector<Output> ModelSpec::outputs() const {
  std::vector<Output> given;
  for (const Output output : {Output::vector, Output::sparse, Output::tokens})
    if (gives(output)) given.push_back(output);
  return given;
}

std::uint32_t ModelSpec::width_of(Output output) const {
  if (!gives(output)) return 0;
  if (output == Output::vector) return dimensions;
  if (output == Output::sparse) return vocab_size;
  return token_vectors.name.empty() ? hidden_size : token_vectors.outputs;
}

std::string_view kind_of(const ModelSpec& spec) {
  if (spec.is_splade()) return "sparse embedder";
  if (spec.task() == Task::embed) return "embedder";
  return spec.is_reranker() ? "reranker" : "classifier";
}

std::vector<std::string> extra_heads_of(const ModelSpec& spec) {
  std::vector<std::string> names;
  for (const DenseSpec* head : {&spec.token_weight, &spec.token_vectors})
    if (!head->name.empty()) names.push_back(head->name);
  return names;
}

std::vector<std::string> notes_on(const ModelSpec& spec) {
  std::vector<std::string> notes;
  if (!spec.assumed.empty()) notes.push_back("taken for " + spec.assumed);
  if (!spec.unread_heads.empty()) notes.push_back(unread_heads_of(spec));
  if (spec.limits_by_task)
    notes.push_back(fmt::format(
        "its query_length and document_length are not obeyed: every text has room for {} tokens",
        spec.max_length));
  if (!spec.score_activation.empty() && !spec.score_activation.ends_with(".Sigmoid"))
    notes.push_back(fmt::format(
        "its config.json wants {} of scores; answers are {} unless "
        "raw_scores is true",
        spec.score_activation,
        spec.labels.size() == 1 || spec.independent_labels ? "their sigmoid" : "their softmax"));
  return notes;
}

std::string_view name_of(Task task) { return task == Task::embed ? "embed" : "classify"; }

std::string_view name_of(Output output) {
  if (output == Output::vector) return "vector";
  return output == Output::sparse ? "sparse" : "tokens";
}

std::string_view name_of(Similarity similarity) {
  switch (similarity) {
    case Similarity::cosine:
      return "cosine";
    case Similarity::dot:
      return "dot";
    case Similarity::euclidean:
      return "euclidean";
    case Similarity::manhattan:
      return "manhattan";
  }
  return "";
}

std::string_view name_of(Architecture architecture) {
  switch (architecture) {
    case Architecture::bert:
      return "bert";
    case Architecture::deberta:
      return "deberta";
    case Architecture::decoder:
      return "decoder";
    case Architecture::distilbert:
      return "distilbert";
    case Architecture::gemma3:
      return "gemma3";
    case Architecture::gte:
      return "gte";
    case Architecture::jina_bert:
      return "jina_bert";
    case Architecture::jina_code:
      return "jina_code";
    case Architecture::jina_flash:
      return "jina_flash";
    case Architecture::modernbert:
      return "modernbert";
    case Architecture::mpnet:
      return "mpnet";
    case Architecture::nomic:
      return "nomic";
  }
  return "";
}

Result<ModelSpec> read_spec(const std::string& folder, const std::string& pooling) {
  SHEAF_ASSIGN(const PoolingChoice choice, parse_pooling(pooling));
  return SpecReader(folder, choice).read();
}

std::vector<ModelFile> description_files() {
  std::vector<ModelFile> files = {{"config.json", true},
                                  {"tokenizer.json", true},
                                  {"tokenizer_config.json", false},
                                  {"special_tokens_map.json", false},
                                  {"chat_template.jinja", false},
                                  {"modules.json", false},
                                  {"config_sentence_transformers.json", false},
                                  {"model.safetensors.index.json", false}};
  for (const std::string_view name : kTransformerFiles) files.push_back({std::string(name), false});
  return files;
}

Result<std::vector<ModelFile>> further_files(const std::string& folder) {
  std::vector<ModelFile> files;
  SHEAF_ASSIGN(const std::vector<Module> modules, list_modules(folder));
  for (const Module& module : modules) {
    if (module.has_config()) files.push_back({module.path + "/config.json", true});
    if (module.kind == "Dense")
      files.push_back({module.path + "/model.safetensors", true, kPickleRemedy});
  }
  for (const char* head : kTokenHeadFiles) files.push_back({head, false});
  SHEAF_ASSIGN(const std::vector<std::string> weights, weight_files(folder));
  for (const std::string& file : weights) files.push_back({file, true, kPickleRemedy});
  return files;
}

}  // namespace sheaf::model
