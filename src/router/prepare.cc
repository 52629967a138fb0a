#include "router/prepare.h"

#include <fmt/core.h>

#include <algorithm>
#include <optional>
#include <string>

#include "base/text.h"
#include "base/utf8.h"
#include "model/spec/heads.h"

namespace sheaf::router {
namespace {

Error input_error(const EmbedRequest& request, std::size_t index, std::string_view message) {
  const InputNames& names = request.names;
  return {ErrorCode::invalid_argument,
          fmt::format("{}: {}", names.of(index, request.inputs.size()), message),
          index == 0 && !names.first.empty() ? names.first : names.list};
}

// Of the text that is the first of many pairs.
Error first_text_error(const EmbedRequest& request, std::size_t index, std::string_view message) {
  const std::string& field = request.names.with;
  if (field.empty()) return input_error(request, index, message);
  return {ErrorCode::invalid_argument, fmt::format("{}: {}", field, message), field};
}

// What all inputs of a request have in common.
class Preparation {
 public:
  Preparation(const EmbedRequest& request, const ModelInfo& model,
              const tokenizer::Tokenizer& tokenizer)
      : request_(request),
        model_(model),
        tokenizer_(tokenizer),
        prompt_(prompt_of(request, model)),
        options_{.max_tokens = limit_of(request, model),
                 .truncation_side = side_of(request, model)} {}

  // Appends ids; gives where the second text begins, as the model is to be told.
  Result<std::uint32_t> append(std::size_t index, std::vector<std::int32_t>& ids) {
    const Input& input = request_.inputs[index];
    if (const auto* pair = std::get_if<TextPair>(&input)) return append_pair(*pair, index, ids);
    if (const auto* text = std::get_if<std::string>(&input)) {
      const std::size_t before = ids.size();
      SHEAF_TRY(append_text(*text, index, ids));
      return end_of_prompt(index, ids.size() - before);
    }
    SHEAF_TRY(append_ids(std::get<std::vector<std::int32_t>>(input), index, ids));
    return 0;
  }

  std::size_t cut() const { return cut_; }  // inputs

 private:
  static std::size_t limit_of(const EmbedRequest& request, const ModelInfo& model) {
    return request.max_tokens == 0 ? model.max_length
                                   : std::min(model.max_length, request.max_tokens);
  }

  static tokenizer::Side side_of(const EmbedRequest& request, const ModelInfo& model) {
    const auto own = model.spec.cut_left ? tokenizer::Side::left : tokenizer::Side::right;
    return request.truncation_side.value_or(own);
  }

  std::string limit() const {
    return fmt::format("the {} limit of {}",
                       options_.max_tokens == model_.max_length ? "model's" : "request's",
                       options_.max_tokens);
  }

  // Refuses an input that is too long, or counts it as cut.
  Status check_length(std::size_t index, std::size_t tokens) {
    if (tokens <= options_.max_tokens) return {};
    ++cut_;
    if (request_.truncate) return {};
    return input_error(
        request_, index,
        fmt::format(
            "{} tokens are more than {} and truncation is off; \"truncate\": true, or the server's "
            "--auto-truncate, cuts them",
            tokens, limit()));
  }

  // Of an input that is to be cut: that `around` tokens, which always stay, leave `least` of it.
  Status check_room(std::size_t index, std::size_t around, std::size_t least) const {
    if (!request_.truncate || options_.max_tokens >= around + least) return {};
    return input_error(
        request_, index,
        fmt::format("{} has no room for {} beside {} special token{}", limit(),
                    least == 1 ? "a text" : "two texts", around, around == 1 ? "" : "s"));
  }

  Status append_text(const std::string& text, std::size_t index, std::vector<std::int32_t>& ids) {
    const std::size_t before = ids.size();
    SHEAF_TRY(check_room(index, tokenizer_.special_tokens_added(), 1));
    const std::string prompted = prompt_.empty() ? std::string() : std::string(prompt_) + text;
    const Result<std::size_t> tokens =
        tokenizer_.encode(prompt_.empty() ? text : prompted, options_, ids);
    if (!tokens.ok()) return input_error(request_, index, tokens.error().message);
    SHEAF_TRY(check_length(index, *tokens));
    if (ids.size() == before) return input_error(request_, index, "the text has no tokens");
    return {};
  }

  // Where the text begins behind its prompt; 0 where pooling does not ask, or there is no prompt.
  Result<std::uint32_t> end_of_prompt(std::size_t index, std::size_t tokens) {
    if (model_.spec.pools_prompt || prompt_.empty()) return 0;
    if (!prompt_tokens_) {
      SHEAF_ASSIGN(prompt_tokens_, count_prompt());
    }
    if (*prompt_tokens_ < tokens) return *prompt_tokens_;
    return input_error(request_, index,
                       fmt::format("its prompt takes all {} tokens that the text may have, "
                                   "and the model pools those of the text alone",
                                   tokens));
  }

  // As sentence-transformers counts them: of the prompt alone, without a special token at its end.
  Result<std::uint32_t> count_prompt() const {
    SHEAF_ASSIGN(const std::vector<tokenizer::Token> tokens, tokenizer_.encode_tokens(prompt_, {}));
    const bool closed = !tokens.empty() && tokens.back().special;
    return static_cast<std::uint32_t>(tokens.size() - (closed ? 1 : 0));
  }

  Result<std::uint32_t> append_pair(const TextPair& pair, std::size_t index,
                                    std::vector<std::int32_t>& ids) {
    const std::size_t before = ids.size();
    if (const Status read = read_first(pair.first); !read.ok())
      return first_text_error(request_, index, read.error().message);
    const Result<tokenizer::EncodedPair> encoded = join(pair.second, ids);
    if (!encoded.ok()) return input_error(request_, index, encoded.error().message);
    SHEAF_TRY(check_length(index, encoded->tokens));
    if (model_.spec.pair_template.empty() && encoded->tokens > options_.max_tokens)
      SHEAF_TRY(check_room(index, encoded->tokens - first_ids_.size() - second_ids_.size(), 2));
    if (ids.size() == before) return input_error(request_, index, "the pair has no tokens");
    const bool cut_off = encoded->second_at >= ids.size() - before;  // nothing of the second left
    return cut_off ? 0 : static_cast<std::uint32_t>(encoded->second_at);
  }

  Status read_first(const std::shared_ptr<const std::string>& first) {
    if (first == first_) return {};
    first_ids_.clear();
    SHEAF_TRY(tokenizer_.encode_bare(
        model_.spec.pair_template.empty() ? *first : question_of(*first), first_ids_));
    first_ = first;
    return {};
  }

  // Behind the first text, which has been read.
  Result<tokenizer::EncodedPair> join(const std::string& second, std::vector<std::int32_t>& ids) {
    const model::PairTemplate& asked = model_.spec.pair_template;
    second_ids_.clear();
    SHEAF_TRY(tokenizer_.encode_bare(asked.empty() ? second : asked.before_document + second,
                                     second_ids_));
    SHEAF_ASSIGN(const std::size_t document_at, begin_of_document(asked));
    if (request_.max_second_tokens != 0) cut_document(document_at, request_.max_second_tokens);
    if (!asked.empty()) return join_by_template(asked, document_at, ids);
    return tokenizer_.join_pair(first_ids_, second_ids_, options_, ids);
  }

  // Tokens of the second text that are the template's alone: a space at its end may belong to the
  // document's first word.
  Result<std::size_t> begin_of_document(const model::PairTemplate& asked) {
    if (asked.before_document.empty()) return 0;
    if (before_document_.empty())
      SHEAF_TRY(tokenizer_.encode_bare(asked.before_document, before_document_));
    const auto [end, unused] = std::ranges::mismatch(before_document_, second_ids_);
    return static_cast<std::size_t>(end - before_document_.begin());
  }

  // What a template puts before a document stays and does not count.
  void cut_document(std::size_t document_at, std::size_t limit) {
    const std::size_t tokens = second_ids_.size() - document_at;
    if (tokens <= limit) return;
    const bool left = options_.truncation_side == tokenizer::Side::left;
    const std::size_t begin = document_at + (left ? 0 : limit);
    const auto from = second_ids_.begin() + static_cast<std::ptrdiff_t>(begin);
    second_ids_.erase(from, from + static_cast<std::ptrdiff_t>(tokens - limit));
  }

  // All of a template that stands before the document.
  std::string question_of(const std::string& query) const {
    const model::PairTemplate& asked = model_.spec.pair_template;
    std::string_view instruction = prompt_.empty() ? asked.instruction : prompt_;
    if (!request_.instruction.empty()) instruction = request_.instruction;
    std::string question = asked.before_instruction;
    if (!instruction.empty())
      question.append(asked.instruction_begin).append(instruction).append(asked.instruction_end);
    return question.append(asked.before_query).append(query).append(asked.after_query);
  }

  // Of a question that leaves no room for a document the query is cut from behind, as
  // sentence-transformers does. It must not be lost altogether, nor what makes the model answer:
  // whatever is asked would score the same. The pairs that follow find their question cut.
  Status cut_question() {
    if (!question_tokens_) {
      std::vector<std::int32_t> without_query;
      SHEAF_TRY(tokenizer_.encode_bare(question_of(""), without_query));
      question_tokens_ = without_query.size();
    }
    const std::size_t around = *question_tokens_ + last_ids_.size();
    if (around >= options_.max_tokens)
      return Error{ErrorCode::invalid_argument,
                   fmt::format("the instruction and the template around it have {} tokens, and {} "
                               "leaves none for query and document",
                               around, limit())};
    const std::size_t room = options_.max_tokens - last_ids_.size();
    first_ids_.resize(std::min(first_ids_.size(), room));
    second_ids_.resize(std::min(second_ids_.size(), room - first_ids_.size()));
    return {};
  }

  // What is too long is cut off the document, or where that is not enough off the question.
  Result<tokenizer::EncodedPair> join_by_template(const model::PairTemplate& asked,
                                                  std::size_t document_at,
                                                  std::vector<std::int32_t>& ids) {
    if (last_ids_.empty()) SHEAF_TRY(tokenizer_.encode_bare(asked.after_document, last_ids_));
    const std::size_t tokens = first_ids_.size() + second_ids_.size() + last_ids_.size();
    if (request_.truncate && tokens > options_.max_tokens) {
      const std::size_t around = first_ids_.size() + document_at + last_ids_.size();
      if (around < options_.max_tokens)
        cut_document(document_at, options_.max_tokens - around);
      else
        SHEAF_TRY(cut_question());
    }
    for (const auto* part : {&first_ids_, &second_ids_, &last_ids_})
      ids.insert(ids.end(), part->begin(), part->end());
    return tokenizer::EncodedPair{.tokens = tokens};
  }

  Status append_ids(const std::vector<std::int32_t>& given, std::size_t index,
                    std::vector<std::int32_t>& ids) {
    if (given.empty()) return input_error(request_, index, "the list of token ids is empty");
    const auto vocabulary = static_cast<std::int64_t>(model_.spec.vocab_size);
    for (std::int32_t id : given) {
      if (id < 0 || id >= vocabulary)
        return input_error(
            request_, index,
            fmt::format("token id {} is outside the vocabulary of {} (ids made for another "
                        "tokenizer? With LangChain set check_embedding_ctx_length=False)",
                        id, vocabulary));
    }
    SHEAF_TRY(check_length(index, given.size()));
    const std::size_t limit = std::min(given.size(), options_.max_tokens);
    const std::span<const std::int32_t> kept = options_.truncation_side == tokenizer::Side::right
                                                   ? std::span(given).first(limit)
                                                   : std::span(given).last(limit);
    ids.insert(ids.end(), kept.begin(), kept.end());
    return {};
  }

  const EmbedRequest& request_;
  const ModelInfo& model_;
  const tokenizer::Tokenizer& tokenizer_;
  std::string_view prompt_;
  std::optional<std::uint32_t> prompt_tokens_;  // once they are counted
  tokenizer::EncodeOptions options_;
  std::shared_ptr<const std::string> first_;  // of the pair before, which is often this one's too
  std::vector<std::int32_t> first_ids_, second_ids_;
  std::vector<std::int32_t> before_document_, last_ids_;  // of the template
  std::optional<std::size_t> question_tokens_;            // of it and the instruction, no query
  std::size_t cut_ = 0;
};

Error wrong_output(const EmbedRequest& request, const ModelInfo& model) {
  std::string why;
  if (model.spec.is_splade()) {
    why = "it weighs words (/embed_sparse)";
  } else if (!model.spec.unread_heads.empty()) {
    why = unread_heads_of(model.spec);
  } else {
    why = "it embeds texts (/v1/embeddings, /embed)";
  }
  return {ErrorCode::wrong_model_type,
          fmt::format("model {} gives no {}: {}", model.name,
                      request.output == model::Output::vector ? "single vector of a text"
                                                              : "sparse vectors",
                      why),
          "model"};
}

// What asks about a query and a document has nothing to say of one text.
Status check_pairs(const EmbedRequest& request, const ModelInfo& model) {
  if (model.spec.pair_template.empty()) return {};
  for (std::size_t i = 0; i < request.inputs.size(); ++i)
    if (std::holds_alternative<std::string>(request.inputs[i]))
      return input_error(request, i,
                         fmt::format("model {} reads pairs of a query and a document, and this "
                                     "is one text",
                                     model.name));
  return {};
}

Status check_task(const EmbedRequest& request, const ModelInfo& model) {
  if (request.task == model.spec.task())
    return model.spec.gives(request.output) ? Status() : Status(wrong_output(request, model));
  const std::string_view routes = model.spec.is_splade() ? "/embed_sparse"
                                  : model.spec.task() == model::Task::embed
                                      ? "/v1/embeddings, /embed"
                                  : model.spec.is_reranker() ? "/rerank, /score"
                                                             : "/predict, /classify";
  return Error{ErrorCode::wrong_model_type,
               fmt::format("model {} is a {} ({}): it does not {}", model.name,
                           model::kind_of(model.spec), routes, name_of(request.task)),
               "model"};
}

// Each query of a request is tokenized with it.
constexpr std::size_t kInstructionBytesMax = 8192;

Status check_instruction(const EmbedRequest& request, const ModelInfo& model) {
  const bool named = !request.prompt_name.value_or("").empty();
  const bool given = !request.instruction.empty();
  const auto is_pair = [](const Input& input) { return std::holds_alternative<TextPair>(input); };
  const auto refuse = [](std::string message, const char* field) -> Status {
    return Error{ErrorCode::invalid_argument, std::move(message), field};
  };
  if (given && named)
    return refuse("instruction and prompt_name both name an instruction", "instruction");
  if (request.instruction.size() > kInstructionBytesMax)
    return refuse(fmt::format("instruction has {} bytes; at most {} are taken",
                              request.instruction.size(), kInstructionBytesMax),
                  "instruction");
  if (given && !std::ranges::all_of(request.inputs, is_pair))
    return refuse("instruction is for pairs of texts, and an input is none", "instruction");
  const bool pairs = (given || named) && std::ranges::any_of(request.inputs, is_pair);
  if (!pairs || !model.spec.pair_template.empty()) return {};
  const char* field = given ? "instruction" : "prompt_name";
  return refuse(fmt::format("{} is set, but {} reads pairs as they are; rerankers with a template "
                            "(Qwen3-Reranker) have an instruction",
                            field, model.name),
                field);
}

}  // namespace

std::string InputNames::of(std::size_t index, std::size_t count) const {
  if (index == 0 && !first.empty()) return first;
  const std::size_t before = first.empty() ? 0 : 1;
  const std::string name = index < each.size()   ? each[index]
                           : count - before == 1 ? list
                                                 : fmt::format("{}[{}]", list, index - before);
  return with.empty() ? name : fmt::format("{} with {}", name, with);
}

void PreparedInputs::append(const PreparedInputs& other) {
  const auto base = static_cast<std::uint32_t>(ids.size());
  ids.insert(ids.end(), other.ids.begin(), other.ids.end());
  for (std::size_t i = 1; i < other.cu_seqlens.size(); ++i)
    cu_seqlens.push_back(base + other.cu_seqlens[i]);
  second_at.insert(second_at.end(), other.second_at.begin(), other.second_at.end());
  cut += other.cut;
}

std::uint64_t bytes_of(const Input& input) {
  if (const auto* text = std::get_if<std::string>(&input)) return text->size();
  if (const auto* pair = std::get_if<TextPair>(&input))
    return pair->first->size() + pair->second.size();
  return std::get<std::vector<std::int32_t>>(input).size() * sizeof(std::int32_t);
}

std::uint64_t characters_of(const Input& input) {
  if (const auto* text = std::get_if<std::string>(&input)) return count_characters(*text);
  if (const auto* pair = std::get_if<TextPair>(&input))
    return count_characters(*pair->first) + count_characters(pair->second);
  return std::get<std::vector<std::int32_t>>(input).size();
}

Status check_prompt(const std::string& name, const model::ModelSpec& spec, const std::string& model,
                    std::string_view field) {
  if (name.empty() || spec.prompts.contains(name)) return {};
  std::string known;
  for (const auto& [other, text] : spec.prompts) known += (known.empty() ? "" : ", ") + other;
  return Error{ErrorCode::invalid_argument,
               fmt::format("{} {} is not one of the prompts of {} ({})", field,
                           json_quote(excerpt(name)), model, known.empty() ? "it has none" : known),
               std::string(field)};
}

Status check_request(const EmbedRequest& request, const ModelInfo& model, std::uint32_t max_texts) {
  if (request.inputs.empty())
    return Error{ErrorCode::invalid_argument, "the list of inputs is empty", request.names.list};
  if (request.inputs.size() > max_texts)
    return Error{ErrorCode::invalid_argument,
                 fmt::format("{} inputs are more than the limit of {} a request",
                             request.inputs.size(), max_texts),
                 request.names.list};
  SHEAF_TRY(check_task(request, model));
  SHEAF_TRY(check_pairs(request, model));
  if (request.dimensions &&
      (*request.dimensions == 0 || *request.dimensions > model.spec.dimensions))
    return Error{ErrorCode::invalid_argument,
                 fmt::format("dimensions is {}, must be 1 to {} for {}", *request.dimensions,
                             model.spec.dimensions, model.name),
                 "dimensions"};
  if (request.prompt_name)
    SHEAF_TRY(check_prompt(*request.prompt_name, model.spec, model.name, "prompt_name"));
  return check_instruction(request, model);
}

std::string_view prompt_of(const EmbedRequest& request, const ModelInfo& model) {
  const std::string& name =
      request.prompt_name ? *request.prompt_name : model.spec.default_prompt_name;
  const auto found = model.spec.prompts.find(name);
  return found == model.spec.prompts.end() ? std::string_view() : std::string_view(found->second);
}

Status prepare_inputs(const EmbedRequest& request, const ModelInfo& model,
                      const tokenizer::Tokenizer& tokenizer, std::size_t first, std::size_t count,
                      PreparedInputs& out) {
  Preparation preparation(request, model, tokenizer);
  for (std::size_t i = first; i < first + count; ++i) {
    SHEAF_ASSIGN(const std::uint32_t second_at, preparation.append(i, out.ids));
    out.cu_seqlens.push_back(static_cast<std::uint32_t>(out.ids.size()));
    out.second_at.push_back(second_at);
  }
  out.cut += preparation.cut();
  return {};
}

}  // namespace sheaf::router
