#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "api/embed.h"
#include "api/json_in.h"

// What the routes that ask for scores share, whatever their dialect: texts, options, pairs, the
// model, and the scale and order of scores.
namespace sheaf::api {

// ---- reading

struct ScoreBody {
  router::EmbedRequest request;  // of task classify; its inputs are the route's to fill
  std::string_view model;
  bool raw = false;  // scores as the head gives them
  // What may be said by several fields.
  std::optional<Said<bool>> said_raw, said_truncate;
  std::optional<Said<tokenizer::Side>> said_side;
  std::optional<Said<std::string_view>> said_instruction;
};
Result<ScoreBody> begin_score(const Call& call);

// Reads the field if it is an option that all score routes take, by any of its names.
Status read_score_option(std::string_view key, JsonValue value, ScoreBody& body);

// A text, or an object with one, {"text": ...}.
Result<std::string> read_passage(std::string_view field, JsonValue value);
// A passage or a list of them, at most as many as the router takes.
Result<std::vector<std::string>> read_passages(const Context& context, std::string_view field,
                                               JsonValue value);

// That a field holds no more texts than the router takes.
Status check_text_count(const Context& context, std::string_view field, std::size_t count);

// One first text with each second, or each first with its second: a pair for each second text.
void append_pairs(std::vector<std::string> firsts, std::vector<std::string> seconds,
                  std::vector<router::Input>& pairs);

// ---- the model

enum class ScoreKind { reranker, classifier };  // a reranker is a classifier with one label

// Refuses other models with wrong_model_type, saying what the model is and which routes serve it.
Status check_scorer(const router::ModelInfo& model, ScoreKind kind);
// The model that is named, or with "" the first served one of this kind; refused as by
// check_scorer(). The model lives as long as the router.
Result<const router::ModelInfo*> find_scorer(const Context& context, std::string_view name,
                                             ScoreKind kind);
// Sets the request's model by it.
Result<const router::ModelInfo*> choose_model(const Call& call, ScoreKind kind, ScoreBody& body);

// ---- scores

float sigmoid(float score);

// What is made of the scores of one text's labels: softmax; of a single one, or where several may
// hold, the sigmoid of each; or nothing.
enum class LabelScale { softmax, sigmoid, raw };
LabelScale label_scale(const model::ModelSpec& spec, bool raw);
void scale_labels(std::span<float> scores, LabelScale scale);  // in place

// Of documents, in the order given: the sigmoid of each, or each as the head gives it.
std::vector<float> document_scores(std::span<const float> raw_scores, bool raw);

// Indexes of the scores, the highest first; equal ones in the order given, not-a-number last.
// To be asked of raw scores: float sigmoids of different high ones are equal.
std::vector<std::uint32_t> ranking(std::span<const float> scores);

struct Ranked {
  std::uint32_t index = 0;  // of the document in the request, of the label in the model
  float score = 0;
};
// Both in one: of documents for a query, and of one text's labels.
std::vector<Ranked> rank_documents(std::span<const float> raw_scores, bool raw);
std::vector<Ranked> rank_labels(std::span<const float> raw_scores, LabelScale scale);

// [{"score":0.9,"label":"joy"},...], the highest first, as TEI and Infinity have it.
void append_label_scores(std::string& out, const std::vector<std::string>& labels,
                         std::span<const float> raw_scores, LabelScale scale);

}  // namespace sheaf::api
