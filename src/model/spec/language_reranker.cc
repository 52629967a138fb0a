#include "model/spec/language_reranker.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <span>
#include <utility>

#include "model/spec/limits.h"

namespace sheaf::model {
namespace {

using nlohmann::json;

constexpr std::string_view kRerank = "rerank";

// The model card of Qwen3-Reranker.
PairTemplate qwen3_template() {
  return {
      .before_instruction =
          "<|im_start|>system\nJudge whether the Document meets the requirements based on the "
          "Query and the Instruct provided. Note that the answer can only be \"yes\" or "
          "\"no\".<|im_end|>\n<|im_start|>user\n<Instruct>: ",
      .instruction = "Given a web search query, retrieve relevant passages that answer the query",
      .before_query = "\n<Query>: ",
      .after_query = "\n<Document>:",
      .before_document = " ",
      .after_document = "<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"};
}

// The package that Mixedbread has for mxbai-rerank-v2. It tokenizes the query, what stands before
// the document, and what stands behind it, each by itself.
PairTemplate mixedbread_template() {
  return {.before_instruction =
              "<|im_start|>system\nYou are Qwen, created by Alibaba Cloud. You are a helpful "
              "assistant.<|im_end|>\n<|im_start|>user\n",
          .instruction_begin = "instruction: ",
          .instruction_end = "\n",
          .before_query = "query: ",
          .before_document = "\ndocument: ",
          .after_document =
              "\nYou are a search relevance expert who evaluates how well documents match search "
              "queries. For each query-document pair, carefully analyze the semantic relationship "
              "between them, then provide your binary relevance judgment (0 for not relevant, 1 "
              "for relevant).\nRelevance:<|im_end|>\n<|im_start|>assistant\n"};
}

// What a Jinja template of such a conversation has in it, whatever it does to put it together.
constexpr std::string_view kQwen3Pieces[] = {
    "Judge whether the Document meets the requirements based on the Query and the Instruct "
    "provided. Note that the answer can only be \"yes\" or \"no\".<|im_end|>\n<|im_start|>user\n",
    "<Instruct>: ", "<Query>: ", "<Document>: ",
    "<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"};

enum class ChatTemplate { none, of_conversations, of_qwen3_pairs, of_other_pairs };

bool has_in_order(std::string_view text, std::span<const std::string_view> pieces) {
  for (const std::string_view piece : pieces) {
    const std::size_t at = text.find(piece);
    if (at == text.npos) return false;
    text.remove_prefix(at + piece.size());
  }
  return true;
}

bool has_quoted(std::string_view text, std::string_view word) {
  return text.find(fmt::format("\"{}\"", word)) != text.npos ||
         text.find(fmt::format("'{}'", word)) != text.npos;
}

ChatTemplate kind_of_template(std::string text) {
  for (const auto& [written, meant] : {std::pair{"\\n", "\n"}, {"\\\"", "\""}})
    for (std::size_t at = 0; (at = text.find(written, at)) != std::string::npos; ++at)
      text.replace(at, 2, meant);
  if (has_in_order(text, kQwen3Pieces)) return ChatTemplate::of_qwen3_pairs;
  return has_quoted(text, "query") && has_quoted(text, "document") ? ChatTemplate::of_other_pairs
                                                                   : ChatTemplate::of_conversations;
}

struct FoundTemplate {
  ChatTemplate kind = ChatTemplate::none;
  std::string file;
};

// chat_template.jinja counts more than what tokenizer_config.json holds.
Result<FoundTemplate> find_template(const std::string& folder) {
  const std::string own = folder + "/chat_template.jinja";
  if (std::ifstream stream(own, std::ios::binary); stream)
    return FoundTemplate{kind_of_template({std::istreambuf_iterator<char>(stream), {}}), own};
  SHEAF_ASSIGN(const std::optional<json> file, read_json_file(folder, "tokenizer_config.json"));
  if (!file) return FoundTemplate{};
  const std::string name = folder + "/tokenizer_config.json";
  SHEAF_ASSIGN(const JsonObject config, JsonObject::of(*file, name));
  const json* text = config.find("chat_template");
  if (text == nullptr || !text->is_string()) return FoundTemplate{};
  return FoundTemplate{kind_of_template(*text), name};
}

// The ids that tokenizer.json's vocabulary gives these tokens.
Result<std::vector<std::uint32_t>> ids_of(const std::string& folder,
                                          const std::vector<std::string>& tokens) {
  const std::string name = folder + "/tokenizer.json";
  SHEAF_ASSIGN(const std::optional<json> file, read_json_file(folder, "tokenizer.json"));
  if (!file) return Error{ErrorCode::not_found, name + ": no such file"};
  SHEAF_ASSIGN(const JsonObject root, JsonObject::of(*file, name));
  SHEAF_ASSIGN(const JsonObject model, root.object("model"));
  SHEAF_ASSIGN(const JsonObject vocab, model.object("vocab"));
  std::vector<std::uint32_t> ids;
  for (const std::string& token : tokens) {
    SHEAF_ASSIGN(const std::uint32_t id, vocab.number(token, 0, kMaxVocab));
    ids.push_back(id);
  }
  return ids;
}

bool has_word(std::string name, std::string_view word) {
  for (char& c : name) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return name.find(word) != std::string::npos;
}

// In the Hugging Face cache, where its publisher's name for it is that of a folder above.
bool is_named_by_its_publisher(const std::string& folder, std::string_view word) {
  for (const std::filesystem::path& part : std::filesystem::path(folder))
    if (part.string().starts_with("models--") && has_word(part.string(), word)) return true;
  return false;
}

bool is_named_by_its_owner(const std::string& folder, std::string_view word) {
  const std::filesystem::path path = std::filesystem::path(folder + "/").lexically_normal();
  return has_word(path.parent_path().filename().string(), word);
}

// The task that a model card has for the hub: a line of the YAML between its first two lines of
// dashes.
bool card_says_ranking(const std::string& folder) {
  std::array<char, 16 << 10> begin{};
  std::ifstream card(folder + "/README.md", std::ios::binary);
  card.read(begin.data(), begin.size());
  const std::string_view text(begin.data(), static_cast<std::size_t>(card.gcount()));
  const std::string_view yaml = text.substr(0, text.find("\n---"));
  return text.starts_with("---") && yaml.find("\npipeline_tag: text-ranking") != yaml.npos;
}

// The token for a match and, if there is one, that against it.
Result<std::vector<std::uint32_t>> read_module(const std::string& folder, const Module& module) {
  const std::string name = module.path + "/config.json";
  SHEAF_ASSIGN(const std::optional<json> file, read_json_file(folder, name));
  if (!file) return Error{ErrorCode::not_found, folder + "/" + name + ": no such file"};
  SHEAF_ASSIGN(const JsonObject config, JsonObject::of(*file, folder + "/" + name));
  SHEAF_ASSIGN(const std::uint32_t yes, config.number("true_token_id", 0, kMaxVocab));
  std::vector<std::uint32_t> rows = {yes};
  if (config.has("false_token_id")) {
    SHEAF_ASSIGN(const std::uint32_t no, config.number("false_token_id", 0, kMaxVocab));
    rows.push_back(no);
  }
  SHEAF_ASSIGN(const std::string input, config.text_or("module_input_name", "causal_logits"));
  if (input != "causal_logits")
    return config.unsupported("module_input_name", "is '" + input + "'; built is: causal_logits");
  return rows;
}

// ["no", "yes"] -> the ids of "yes" and "no"
Result<std::vector<std::uint32_t>> read_tokens(const std::string& folder,
                                               const JsonObject& config) {
  constexpr std::string_view kField = "classifier_from_token";
  std::vector<std::string> tokens = {"yes", "no"};
  if (const json* given = config.find(kField)) {
    if (!given->is_array() || given->size() != 2 || !given->front().is_string() ||
        !given->back().is_string())
      return config.error(kField, "is no list of two tokens, as [\"no\", \"yes\"]");
    tokens = {given->back(), given->front()};
  }
  return ids_of(folder, tokens);
}

// sentence-transformers has a model with a LogitScore module ask by the template of its own files.
// Where that is not known, Qwen's card stands in for it only if nothing says otherwise.
Status take_template(const std::string& folder, const FoundTemplate& found, bool has_module,
                     ModelSpec& spec) {
  if (found.kind == ChatTemplate::of_other_pairs)
    return Error{ErrorCode::unsupported,
                 found.file +
                     ": field 'chat_template' joins query and document otherwise than "
                     "Qwen3-Reranker does; built is that"};
  if (has_module && found.kind != ChatTemplate::of_qwen3_pairs)
    return Error{ErrorCode::unsupported,
                 fmt::format("{}: a LogitScore module scores pairs, but {}; built is the template "
                             "of Qwen3-Reranker",
                             folder,
                             found.kind == ChatTemplate::none
                                 ? "no file has a chat_template for them"
                                 : "the chat_template is none for a query and a document")};
  spec.pair_template = qwen3_template();
  return {};
}

Status check(const JsonObject& config, const std::vector<std::uint32_t>& rows,
             const ModelSpec& spec) {
  for (const std::uint32_t row : rows)
    if (row >= spec.vocab_size)
      return config.error("vocab_size", fmt::format("is {}, without the token {} that is scored",
                                                    spec.vocab_size, row));
  if (spec.architecture == Architecture::decoder && spec.causal) return {};
  return config.unsupported("model_type",
                            "is '" + spec.model_type + "', of which no language models are built");
}

std::string taken_for(std::string_view model) {
  return fmt::format("{}, by its folder's name; --pooling last_token if it embeds texts", model);
}

// Whether a bare Qwen3 is Qwen3-Reranker. What its owner calls it may mislead, and is noted.
Result<bool> is_qwens_own(const std::string& folder, ModelSpec& spec) {
  if (spec.model_type != "qwen3") return false;
  SHEAF_ASSIGN(const FoundTemplate found, find_template(folder));
  if (found.kind == ChatTemplate::of_qwen3_pairs || card_says_ranking(folder) ||
      is_named_by_its_publisher(folder, kRerank))
    return true;
  if (!is_named_by_its_owner(folder, kRerank)) return false;
  spec.assumed = taken_for("a Qwen3-Reranker");
  return true;
}

// Whether a bare Qwen2 is mxbai-rerank-v2, which nothing but its name tells.
bool is_mixedbreads_own(const std::string& folder, const PoolingChoice& choice, ModelSpec& spec) {
  constexpr std::string_view kName = "mxbai-rerank";
  if (spec.model_type != "qwen2") return false;
  if (is_named_by_its_publisher(folder, kName)) return true;
  if (!is_named_by_its_owner(folder, kName)) return false;
  if (!choice.rerank) spec.assumed = taken_for("mxbai-rerank-v2");
  return true;
}

// One that is called a reranker, but whose template is not known. As an embedder it would answer
// with vectors that mean nothing.
Status refuse_other_rankers(const std::string& folder, const ModelSpec& spec) {
  const bool said = card_says_ranking(folder) || is_named_by_its_publisher(folder, kRerank);
  if (!said && !is_named_by_its_owner(folder, kRerank)) return {};
  return Error{
      ErrorCode::unsupported,
      fmt::format("{}: is a language model ({}) that ranks texts, by its {}, but nothing "
                  "says how it is asked; built are Qwen3-Reranker's way (--pooling rerank) and "
                  "that of mxbai-rerank-v2. If it embeds texts, --pooling last_token or mean says "
                  "so",
                  folder, spec.model_type, said ? "model card or name" : "folder's name")};
}

// How a model is asked, and which tokens are scored; none: it is no such model.
struct Way {
  std::vector<std::uint32_t> rows;
  PairTemplate asked;  // empty: what the folder's template says
};

Result<Way> find_way(const std::string& folder, const JsonObject& config,
                     const std::vector<Module>& modules, const PoolingChoice& choice,
                     ModelSpec& spec) {
  Way way;
  const auto module = std::ranges::find(modules, "LogitScore", &Module::kind);
  if (module != modules.end()) {
    SHEAF_ASSIGN(way.rows, read_module(folder, *module));
    return way;
  }
  if (is_language_model(config)) {
    const bool open = !choice.given() && modules.empty();  // nothing says what it is for
    if ((open || choice.rerank) && is_mixedbreads_own(folder, choice, spec)) {
      way.asked = mixedbread_template();
      SHEAF_ASSIGN(way.rows, ids_of(folder, {"1", "0"}));
      return way;
    }
    bool wanted = choice.rerank || config.has("classifier_from_token");
    if (!wanted && open) {
      SHEAF_ASSIGN(wanted, is_qwens_own(folder, spec));
      if (!wanted && spec.model_type != "qwen3") SHEAF_TRY(refuse_other_rankers(folder, spec));
    }
    if (wanted) {
      SHEAF_ASSIGN(way.rows, read_tokens(folder, config));
      return way;
    }
  }
  if (!choice.rerank) return way;
  return Error{ErrorCode::invalid_argument,
               folder + ": pooling rerank is of language models (ForCausalLM), and this is none"};
}

}  // namespace

bool is_language_model(const JsonObject& config) {
  const json* names = config.find("architectures");
  return names != nullptr && names->is_array() && !names->empty() && names->front().is_string() &&
         names->front().get_ref<const std::string&>().ends_with("ForCausalLM");
}

Status read_language_reranker(const std::string& folder, const JsonObject& config,
                              const std::vector<Module>& modules, const PoolingChoice& choice,
                              ModelSpec& spec) {
  if (spec.task() == Task::classify) {
    if (!spec.is_reranker() || spec.architecture != Architecture::decoder) return {};
    SHEAF_ASSIGN(const FoundTemplate found, find_template(folder));
    if (found.kind == ChatTemplate::of_qwen3_pairs) spec.pair_template = qwen3_template();
    return {};
  }
  SHEAF_ASSIGN(Way way, find_way(folder, config, modules, choice, spec));
  if (way.rows.empty()) return {};
  SHEAF_TRY(check(config, way.rows, spec));
  SHEAF_ASSIGN(const bool tied, config.boolean_or("tie_word_embeddings", false));
  spec.labels = {"LABEL_0"};
  spec.dimensions = 1;
  spec.pooling = {Pooling::last_token};
  spec.dense = {{.folder = "",
                 .name = tied ? "embed_tokens" : "lm_head",
                 .norm = "",
                 .inputs = spec.hidden_size,
                 .outputs = 1,
                 .bias = false,
                 .activation = DenseActivation::none,
                 .rows = std::move(way.rows)}};
  spec.pair_template = std::move(way.asked);
  if (!spec.pair_template.empty()) return {};
  SHEAF_ASSIGN(const FoundTemplate found, find_template(folder));
  const bool has_module = std::ranges::find(modules, "LogitScore", &Module::kind) != modules.end();
  return take_template(folder, found, has_module, spec);
}

}  // namespace sheaf::model
