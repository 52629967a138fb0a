#include "cli/remote_question.h"

#include <fmt/core.h>

#include <charconv>
#include <cstring>
#include <limits>
#include <nlohmann/json.hpp>

#include "base/base64.h"
#include "base/text.h"

namespace sheaf::cli {
namespace {

using nlohmann::json;

constexpr float kNoNumber = std::numeric_limits<float>::quiet_NaN();  // JSON has null for it

Error strange_answer(std::string_view what) {
  return Error{ErrorCode::corrupt, fmt::format("the server's answer {}", what)};
}

Status keep_width(std::size_t width, EmbeddedBatch& batch) {
  if (batch.width == 0) batch.width = static_cast<std::uint32_t>(width);
  if (width != batch.width) return strange_answer("mixes vectors of different lengths");
  return {};
}

Result<std::vector<float>> read_base64(const json& entry) {
  if (!entry.is_object() || !entry.contains("embedding") || !entry["embedding"].is_string())
    return strange_answer("holds an entry without a base64 embedding");
  const auto bytes = decode_base64(entry["embedding"].get_ref<const std::string&>());
  if (!bytes || bytes->size() % sizeof(float) != 0) return strange_answer("holds broken base64");
  std::vector<float> vector(bytes->size() / sizeof(float));
  std::memcpy(vector.data(), bytes->data(), bytes->size());
  return vector;
}

Status append_vectors(const json& list, EmbeddedBatch& batch) {
  for (const json& entry : list) {
    SHEAF_ASSIGN(std::vector<float> vector, read_base64(entry));
    SHEAF_TRY(keep_width(vector.size(), batch));
    batch.rows.push_back(std::move(vector));
  }
  return {};
}

// [{"index": 5, "value": 0.5}, ...] a text
Status append_terms(const json& list, EmbeddedBatch& batch) {
  for (const json& terms : list) {
    std::vector<float>& row = batch.rows.emplace_back();
    if (!terms.is_array()) return strange_answer("holds something but lists of terms");
    for (const json& term : terms) {
      if (!term.is_object() || !term.contains("index") || !term["index"].is_number_unsigned() ||
          !term.contains("value") || !term["value"].is_number())
        return strange_answer("holds a term without index and value");
      row.insert(row.end(), {term["index"].get<float>(), term["value"].get<float>()});
    }
  }
  return {};
}

Status append_token(const json& vector, std::vector<float>& row, EmbeddedBatch& batch) {
  if (!vector.is_array()) return strange_answer("holds something but vectors of tokens");
  SHEAF_TRY(keep_width(vector.size(), batch));
  for (const json& value : vector) {
    if (!value.is_number()) return strange_answer("holds a vector of something but numbers");
    row.push_back(value.get<float>());
  }
  return {};
}

// [[0.1, ...], ...] a text
Status append_tokens(const json& list, EmbeddedBatch& batch) {
  for (const json& tokens : list) {
    std::vector<float> row;
    if (!tokens.is_array()) return strange_answer("holds something but lists of vectors");
    for (const json& vector : tokens) SHEAF_TRY(append_token(vector, row, batch));
    batch.rows.push_back(std::move(row));
  }
  return {};
}

// [{"index": 1, "score": 0.9}, ...], best first
Status append_scores(const json& list, EmbeddedBatch& batch) {
  const std::size_t first = batch.rows.size();
  batch.rows.resize(first + list.size());
  for (const json& entry : list) {
    if (!entry.is_object() || !entry.contains("index") || !entry["index"].is_number_unsigned() ||
        !entry.contains("score") || !(entry["score"].is_number() || entry["score"].is_null()))
      return strange_answer("holds a document without index and score");
    const auto index = entry["index"].get<std::uint64_t>();
    if (index >= list.size() || !batch.rows[first + index].empty())
      return strange_answer("does not rank each document once");
    batch.rows[first + index] = {entry["score"].is_null() ? kNoNumber
                                                          : entry["score"].get<float>()};
  }
  return keep_width(1, batch);
}

}  // namespace

std::string_view RemoteQuestion::target() const {
  if (question_.query != nullptr) return "/rerank";
  if (output() == model::Output::vector) return "/v1/embeddings";
  return output() == model::Output::sparse ? "/embed_sparse" : "/embed_all";
}

std::string_view RemoteQuestion::field() const {
  if (question_.query != nullptr) return "texts";
  return output() == model::Output::vector ? "input" : "inputs";
}

Error RemoteQuestion::in_its_place(Error error, std::span<const std::string> places) const {
  const std::size_t begin = error.message.find(": ") + 2;  // behind the status
  if (error.message.find(field()) != begin) return error;
  std::size_t end = begin + field().size();
  std::size_t index = 0;
  if (error.message.substr(end, 1) == "[") {
    const char* const last = error.message.data() + error.message.size();
    const auto number = std::from_chars(error.message.data() + end + 1, last, index);
    if (number.ec != std::errc() || number.ptr == last || *number.ptr != ']') return error;
    end = static_cast<std::size_t>(number.ptr - error.message.data()) + 1;
  } else if (places.size() != 1) {
    return error;  // of the field as a whole
  }
  const std::string_view rest = std::string_view(error.message).substr(end);
  if (index >= places.size() || !(rest.starts_with(": ") || rest.starts_with(" with ")))
    return error;
  error.message.replace(begin, end - begin, places[index]);
  return error;
}

std::string RemoteQuestion::body(std::span<const std::string> texts) const {
  std::string out = "{";
  const auto add = [&out](std::string_view key, std::string_view text) {
    out.append("\"").append(key).append("\":");
    append_json_quoted(out, text);
    out += ',';
  };
  if (!model_.empty()) add("model", model_);
  if (question_.prompt_name) add("prompt_name", *question_.prompt_name);
  if (!question_.instruction.empty()) add("instruction", question_.instruction);
  if (question_.query != nullptr)
    out += "\"raw_scores\":true,\"query\":" + json_quote(*question_.query) + ',';
  else if (output() == model::Output::vector)
    add("encoding_format", "base64");
  out.append("\"").append(field()).append("\":[");
  for (std::size_t i = 0; i < texts.size(); ++i) {
    if (i > 0) out += ',';
    append_json_quoted(out, texts[i]);
  }
  return out + "]}";
}

Status RemoteQuestion::read(const std::string& answer, std::size_t texts,
                            EmbeddedBatch& batch) const {
  const json root = json::parse(answer, nullptr, false);
  const bool openai = question_.query == nullptr && output() == model::Output::vector;
  if (openai && (!root.is_object() || !root.contains("data")))
    return strange_answer("is not an OpenAI embedding list");
  const json& list = openai ? root["data"] : root;
  if (!list.is_array()) return strange_answer("is not a list");
  if (list.size() != texts)
    return strange_answer(fmt::format("holds {} entries for {} texts", list.size(), texts));
  if (question_.query != nullptr) return append_scores(list, batch);
  if (openai) return append_vectors(list, batch);
  return output() == model::Output::sparse ? append_terms(list, batch) : append_tokens(list, batch);
}

model::Output main_output_of(const std::string& info) {
  const json root = json::parse(info, nullptr, false);
  const auto pooling = json::json_pointer("/model_type/embedding/pooling");
  const bool splade = root.is_object() && root.contains(pooling) && root[pooling] == "splade";
  return splade ? model::Output::sparse : model::Output::vector;
}

std::optional<model::Output> main_output_in(const std::string& models) {
  const json root = json::parse(models, nullptr, false);
  if (!root.is_object() || !root.contains("data") || !root["data"].is_array()) return std::nullopt;
  const auto kind = json::json_pointer("/sheaf/kind");
  for (const json& model : root["data"]) {
    if (!model.is_object() || !model.contains(kind)) return std::nullopt;
    if (model[kind] == "sparse embedder") return model::Output::sparse;
    if (model[kind] == "embedder") return model::Output::vector;
  }
  return std::nullopt;
}

}  // namespace sheaf::cli
