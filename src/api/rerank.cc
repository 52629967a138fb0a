#include "api/rerank.h"

#include <fmt/format.h>

#include <optional>
#include <span>
#include <utility>

#include "api/json_out.h"
#include "api/score.h"
#include "api/tei_body.h"
#include "base/text.h"

namespace sheaf::api {
namespace {

// What a path means where the body leaves it open.
struct Path {
  Dialect errors;       // of bodies that are not TEI's or Weaviate's
  bool documents_back;  // vLLM and Jina answer with documents, Cohere's v2 does not
  int version;
};
constexpr Path kRerank = {Dialect::openai, true, 1};
constexpr Path kRoot = {Dialect::tei, true, 1};
constexpr Path kRerankV1 = {Dialect::cohere, true, 1};
constexpr Path kRerankV2 = {Dialect::cohere, false, 2};

enum class Form { tei, weaviate, other };

bool given(const simdjson::dom::object& fields, std::string_view key) {
  JsonValue value;
  return !fields.at_key(key).get(value) && !value.is_null();
}

Form form_of(const simdjson::dom::object& fields) {
  if (given(fields, "texts")) return Form::tei;
  return given(fields, "property") ? Form::weaviate : Form::other;
}

Dialect errors_of(Form form, const Path& path) {
  if (form == Form::tei) return Dialect::tei;
  return form == Form::weaviate ? Dialect::ollama : path.errors;  // both {"error": ...}
}

std::string_view documents_field(Form form) { return form == Form::tei ? "texts" : "documents"; }

struct RerankBody {
  ScoreBody score;
  std::vector<std::string> query;  // one or, before it is read, none
  std::vector<std::string> documents;
  std::uint64_t top_n = 0;  // 0: all
  std::optional<bool> documents_back;
};

// Of objects only `text` is read.
Status check_rank_fields(JsonValue value) {
  simdjson::dom::array names;
  if (value.get(names)) return {};
  for (const JsonValue item : names) {
    SHEAF_ASSIGN(const std::string_view name, read_text("rank_fields", item));
    if (name != "text")
      return Error{ErrorCode::invalid_argument,
                   fmt::format("rank_fields names {}; of a document its \"text\" is ranked",
                               json_quote(excerpt(name))),
                   "rank_fields"};
  }
  return {};
}

Status read_field(const Context& context, Form form, std::string_view key, JsonValue value,
                  RerankBody& body) {
  if (key == documents_field(form)) {
    SHEAF_ASSIGN(body.documents, read_passages(context, key, value));
  } else if (key == "query") {
    SHEAF_ASSIGN(std::string query, read_passage(key, value));
    body.query = {std::move(query)};
  } else if (key == "top_n") {
    SHEAF_ASSIGN(body.top_n, read_count(key, value));
  } else if (key == "return_documents" || key == "return_text") {
    SHEAF_ASSIGN(body.documents_back, read_bool(key, value));
  } else if (key == "rank_fields") {
    return check_rank_fields(value);
  } else {
    return read_score_option(key, value, body.score);
  }
  return {};
}

// Sets `form` even of a body that it refuses, if that is JSON: it says in whose words.
Result<RerankBody> read_body(const Call& call, Form& form) {
  const telemetry::StageTimer timer(call.context.metrics, telemetry::Stage::parse);
  SHEAF_ASSIGN(const simdjson::dom::object fields, parse_json_object(call.request.body));
  form = form_of(fields);
  RerankBody body;
  SHEAF_ASSIGN(body.score, begin_score(call));
  for (const auto& [key, value] : fields)
    if (!value.is_null()) SHEAF_TRY(read_field(call.context, form, key, value, body));
  if (body.query.empty())
    return Error{ErrorCode::invalid_argument, "query is missing; it needs a text", "query"};
  SHEAF_TRY(choose_model(call, ScoreKind::reranker, body.score));
  body.score.request.names = {.list = std::string(documents_field(form)), .with = "query"};
  append_pairs(body.query, body.documents, body.score.request.inputs);
  return body;
}

// What is answered besides the scores.
struct Answer {
  Form form = Form::other;
  int version = 1;
  bool raw = false;
  std::uint64_t top_n = 0;
  std::string id, query;
  std::vector<std::string> documents;  // empty: not sent back
};

Answer answer_to(const Call& call, Form form, const Path& path, RerankBody& body) {
  Answer answer{.form = form,
                .version = path.version,
                .raw = body.score.raw,
                .top_n = body.top_n,
                .id = std::string(call.request_id)};
  const bool by_default = form == Form::other && path.documents_back;
  if (form == Form::weaviate || body.documents_back.value_or(by_default))
    answer.documents = std::move(body.documents);
  if (form == Form::weaviate) answer.query = std::move(body.query[0]);
  return answer;
}

std::string write_tei(const Answer& answer, std::span<const Ranked> ranked) {
  std::string out;
  for (const auto& [index, score] : ranked) {
    fmt::format_to(std::back_inserter(out), "{}{{\"index\":{},\"score\":", out.empty() ? '[' : ',',
                   index);
    append_number(out, score);
    if (!answer.documents.empty()) {
      out.append(",\"text\":");
      append_json_quoted(out, answer.documents[index]);
    }
    out.push_back('}');
  }
  return out.append("]");
}

// In the order given: Weaviate goes by the place, not by an index.
std::string write_weaviate(const Answer& answer, std::span<const float> scores) {
  std::string out = "{\"query\":";
  append_json_quoted(out, answer.query);
  out.append(",\"scores\":");
  for (std::size_t i = 0; i < scores.size(); ++i) {
    out.append(i == 0 ? "[" : ",").append("{\"document\":");
    append_json_quoted(out, answer.documents[i]);
    out.append(",\"score\":");
    append_number(out, scores[i]);
    out.push_back('}');
  }
  return out.append("]}");
}

void append_result(std::string& out, const Answer& answer, const Ranked& ranked) {
  fmt::format_to(std::back_inserter(out), "{{\"index\":{},\"relevance_score\":", ranked.index);
  append_number(out, ranked.score);
  if (!answer.documents.empty()) {
    out.append(",\"document\":{\"text\":");
    append_json_quoted(out, answer.documents[ranked.index]);
    out.push_back('}');
  }
  out.push_back('}');
}

// Some clients count tokens by `usage`, some by `meta.tokens`, some by `meta.billed_units`.
void append_counts(std::string& out, int version, const router::EmbedReply& reply) {
  constexpr std::size_t kDocumentsPerSearchUnit = 100;  // Cohere's
  const std::size_t units =
      (reply.tokens.size() + kDocumentsPerSearchUnit - 1) / kDocumentsPerSearchUnit;
  fmt::format_to(std::back_inserter(out),
                 "\"usage\":{{\"prompt_tokens\":{0},\"total_tokens\":{0}}},"
                 "\"meta\":{{\"api_version\":{{\"version\":\"{1}\"}},"
                 "\"billed_units\":{{\"search_units\":{2}}},"
                 "\"tokens\":{{\"input_tokens\":{0},\"output_tokens\":0}}}}",
                 reply.total_tokens, version, units);
}

std::string write_other(const Answer& answer, std::span<const Ranked> ranked,
                        const router::EmbedReply& reply) {
  std::string out = "{\"id\":";
  append_json_quoted(out, answer.id);
  fmt::format_to(std::back_inserter(out),
                 ",\"object\":\"rerank\",\"created\":{},\"model\":", unix_seconds());
  append_json_quoted(out, reply.model);
  out.append(",\"results\":");
  const char* comma = "[";
  for (const Ranked& document : ranked) {
    out.append(std::exchange(comma, ","));
    append_result(out, answer, document);
  }
  out.append("],");
  append_counts(out, answer.version, reply);
  return out.append("}");
}

std::string write_answer(const Answer& answer, const router::EmbedReply& reply) {
  if (answer.form == Form::weaviate)
    return write_weaviate(answer, document_scores(reply.vectors, answer.raw));
  std::vector<Ranked> ranked = rank_documents(reply.vectors, answer.raw);
  if (answer.top_n != 0 && answer.top_n < ranked.size()) ranked.resize(answer.top_n);
  return answer.form == Form::tei ? write_tei(answer, ranked) : write_other(answer, ranked, reply);
}

core::RequestId refuse_empty(const Call& call, Form form, const Path& path,
                             const Respond& respond) {
  if (form == Form::tei) return refuse(call, no_inputs("texts"), respond);
  return refuse(
      call, errors_of(form, path),
      {ErrorCode::invalid_argument,
       "documents (TEI: texts) is missing or empty; it needs a list of texts", "documents"},
      respond);
}

core::RequestId rerank_at(const Path& path, const Call& call, Respond respond) {
  Form form = Form::other;
  Result<RerankBody> body = read_body(call, form);
  const Dialect errors = errors_of(form, path);
  if (!body.ok()) return refuse(call, errors, body.error(), respond);
  if (body->documents.empty()) return refuse_empty(call, form, path, respond);
  Answer answer = answer_to(call, form, path, *body);
  return run_embed(
      call, std::move(body->score.request), errors,
      [answer = std::move(answer)](const router::EmbedReply& reply) {
        return write_answer(answer, reply);
      },
      std::move(respond));
}

}  // namespace

core::RequestId rerank(const Call& call, Respond respond) {
  return rerank_at(kRerank, call, std::move(respond));
}

core::RequestId rerank_at_root(const Call& call, Respond respond) {
  return rerank_at(kRoot, call, std::move(respond));
}

core::RequestId rerank_v1(const Call& call, Respond respond) {
  return rerank_at(kRerankV1, call, std::move(respond));
}

core::RequestId rerank_v2(const Call& call, Respond respond) {
  return rerank_at(kRerankV2, call, std::move(respond));
}

}  // namespace sheaf::api
