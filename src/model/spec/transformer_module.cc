#include "model/spec/transformer_module.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <optional>
#include <span>
#include <string_view>

#include "model/spec/json_file.h"
#include "model/spec/limits.h"

namespace sheaf::model {
namespace {

using nlohmann::json;
using Names = std::span<const std::string_view>;

// Tasks by which sentence-transformers chooses transformers' class.
constexpr std::string_view kTasks[] = {"feature-extraction", "fill-mask", "sequence-classification",
                                       "text-generation"};

// Arguments that say where files come from, in which form numbers are held, or how texts are
// padded, none of which makes another vector.
constexpr std::string_view kIdleTokenizer[] = {"cache_dir", "clean_up_tokenization_spaces",
                                               "padding",   "local_files_only",
                                               "revision",  "padding_side",
                                               "token",     "trust_remote_code",
                                               "use_fast"};
constexpr std::string_view kIdleModel[] = {"add_pooling_layer",
                                           "attn_implementation",
                                           "cache_dir",
                                           "device_map",
                                           "dtype",
                                           "local_files_only",
                                           "revision",
                                           "low_cpu_mem_usage",
                                           "token",
                                           "torch_dtype",
                                           "use_cache",
                                           "trust_remote_code",
                                           "use_safetensors"};
constexpr std::string_view kIdleConfig[] = {"cache_dir",         "local_files_only",
                                            "output_attentions", "output_hidden_states",
                                            "revision",          "token",
                                            "trust_remote_code", "unpad_inputs",
                                            "use_cache",         "use_memory_efficient_attention"};
constexpr std::string_view kIdleText[] = {"padding", "pad_to_multiple_of", "return_attention_mask",
                                          "return_tensors"};

// What is told to the tokenizer when the module is made, and again with each text.
constexpr std::string_view kTokenizerFields[] = {"processor_kwargs", "tokenizer_args"};
constexpr std::string_view kModelFields[] = {"model_kwargs", "model_args"};
constexpr std::string_view kConfigFields[] = {"config_kwargs", "config_args"};

bool holds(Names names, std::string_view name) {
  return std::ranges::find(names, name) != names.end();
}

class TransformerModule {
 public:
  TransformerModule(const JsonObject& file, const json& values, ModelSpec& spec)
      : file_(file), values_(values), spec_(spec) {}

  Status read() {
    SHEAF_TRY(check_task());
    SHEAF_ASSIGN(spec_.do_lower_case, file_.boolean_or("do_lower_case", false));
    SHEAF_TRY(read_length(file_, "max_seq_length"));
    spec_.limits_by_task = file_.has("query_length") || file_.has("document_length");
    for (const std::string_view field : kTokenizerFields) SHEAF_TRY(read_tokenizer(field));
    for (const std::string_view field : kModelFields) SHEAF_TRY(refuse_others(field, kIdleModel));
    for (const std::string_view field : kConfigFields) SHEAF_TRY(refuse_others(field, kIdleConfig));
    if (file_.has("query_expansion"))
      return file_.unsupported("query_expansion", "is set; built are models without");
    if (file_.has("tokenizer_name_or_path"))
      return file_.unsupported("tokenizer_name_or_path",
                               "is set; built are models with a tokenizer of their own");
    return read_call();
  }

 private:
  Status check_task() const {
    SHEAF_ASSIGN(const std::string task, file_.text_or("transformer_task", "feature-extraction"));
    if (holds(kTasks, task)) return {};
    return file_.unsupported("transformer_task",
                             fmt::format("is '{}'; built are: {}", task, fmt::join(kTasks, ", ")));
  }

  Status read_length(const JsonObject& object, std::string_view field) {
    if (!object.has(field)) return {};
    SHEAF_ASSIGN(const std::uint32_t length, object.number(field, 1, kMaxPositions));
    spec_.max_length = std::min(length, spec_.positions);
    return {};
  }

  // Fields of an object of the file that are neither idle nor `read`, of which nobody knows what
  // they would change.
  Status refuse_others(std::string_view field, Names idle, Names read = {}) const {
    if (!file_.has(field)) return {};
    SHEAF_ASSIGN(const JsonObject object, file_.object(field));
    for (const auto& [name, value] : values_.at(std::string(field)).items())
      if (!value.is_null() && !holds(idle, name) && !holds(read, name))
        return object.unsupported(name, "is set; built are models without");
    return {};
  }

  Status read_tokenizer(std::string_view field) {
    constexpr std::string_view kRead[] = {"model_max_length", "truncation_side"};
    SHEAF_TRY(refuse_others(field, kIdleTokenizer, kRead));
    if (!file_.has(field)) return {};
    SHEAF_ASSIGN(const JsonObject arguments, file_.object(field));
    SHEAF_TRY(read_length(arguments, "model_max_length"));
    SHEAF_ASSIGN(const std::string side,
                 arguments.text_or("truncation_side", spec_.cut_left ? "left" : "right"));
    if (side != "left" && side != "right")
      return arguments.error("truncation_side", "is '" + side + "', neither left nor right");
    spec_.cut_left = side == "left";
    return {};
  }

  // What goes with each call of the tokenizer. Of other things than texts nothing is said here.
  Status read_call() {
    constexpr std::string_view kField = "processing_kwargs";
    if (!file_.has(kField)) return {};
    SHEAF_ASSIGN(const JsonObject call, file_.object(kField));
    const json& values = values_.at(std::string(kField));
    for (const char* part : {"common", "text"}) {
      if (!call.has(part)) continue;
      SHEAF_ASSIGN(const JsonObject object, call.object(part));
      SHEAF_TRY(read_text_call(object, values.at(part)));
    }
    if (!call.has("chat_template")) return {};
    SHEAF_ASSIGN(const JsonObject chat, call.object("chat_template"));
    return check_chat(chat, values.at("chat_template"));
  }

  Status read_text_call(const JsonObject& object, const json& values) {
    SHEAF_TRY(read_length(object, "max_length"));
    for (const char* field : {"truncation", "add_special_tokens"}) {
      SHEAF_ASSIGN(const bool on, object.boolean_or(field, true));
      if (!on) return object.unsupported(field, "is false; built is: true");
    }
    constexpr std::string_view kRead[] = {"max_length", "truncation", "add_special_tokens"};
    for (const auto& [name, value] : values.items())
      if (!value.is_null() && !holds(kIdleText, name) && !holds(kRead, name))
        return object.unsupported(name, "is set; built are models without");
    return {};
  }

  // The templates that are known all end where the model begins to answer.
  static Status check_chat(const JsonObject& chat, const json& values) {
    for (const auto& [name, value] : values.items())
      if (name != "add_generation_prompt" || value != true)
        return chat.unsupported(name, "is set; built are models without");
    return {};
  }

  const JsonObject& file_;
  const json& values_;  // the same
  ModelSpec& spec_;
};

}  // namespace

Status read_transformer_module(const std::string& folder, ModelSpec& spec) {
  for (const std::string_view name : kTransformerFiles) {
    SHEAF_ASSIGN(const std::optional<json> file, read_json_file(folder, std::string(name)));
    if (!file) continue;
    SHEAF_ASSIGN(const JsonObject object,
                 JsonObject::of(*file, fmt::format("{}/{}", folder, name)));
    return TransformerModule(object, *file, spec).read();
  }
  return {};
}

}  // namespace sheaf::model
