#include "api/example.h"

#include <fmt/format.h>

#include <array>

#include "base/text.h"

namespace sheaf::api {
namespace {

struct Example {
  bool (*fits)(const model::ModelSpec&);
  std::string_view path, fields;
};
constexpr std::array<Example, 4> kExamples = {{
    {[](const model::ModelSpec& spec) {
       return spec.task() == model::Task::embed && spec.gives(model::Output::vector);
     },
     "/v1/embeddings", "\"input\": \"What is a sheaf?\""},
    {[](const model::ModelSpec& spec) { return spec.is_splade(); }, "/embed_sparse",
     "\"inputs\": \"What is a sheaf?\""},
    {[](const model::ModelSpec& spec) { return spec.is_reranker(); }, "/rerank",
     "\"query\": \"What is a sheaf?\", \"documents\": [\"A boat.\", \"Bound stalks.\"]"},
    {[](const model::ModelSpec& spec) {
       return spec.task() == model::Task::classify && !spec.is_reranker();
     },
     "/predict", "\"inputs\": \"What is a sheaf?\""},
}};

std::string curl_line(const Example& example, const router::ModelInfo& model,
                      std::string_view base_url, std::string_view key) {
  std::string body = fmt::format("{{{}, \"model\": ", example.fields);
  append_json_quoted(body, model.name);
  const std::string header =
      key.empty() ? "" : fmt::format(" -H \"authorization: Bearer {}\"", key);
  return fmt::format("curl -s {}{}{} -H 'content-type: application/json' \\\n  -d '{}}}'\n",
                     base_url, example.path, header, body);
}

}  // namespace

std::string curl_examples(const router::Router& router, std::string_view base_url,
                          std::string_view key) {
  std::string out;
  for (const Example& example : kExamples)
    for (const router::ModelInfo* model : router.models())
      if (example.fits(model->spec)) {
        out += curl_line(example, *model, base_url, key);
        break;
      }
  return out;
}

}  // namespace sheaf::api
