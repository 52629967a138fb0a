#include "api/model_facts.h"

#include <fmt/format.h>

#include <iterator>
#include <utility>
#include <vector>

#include "base/text.h"

namespace sheaf::api {
namespace {

void append_outputs(std::string& out, const model::ModelSpec& spec) {
  out.push_back('{');
  const char* comma = "";
  if (spec.task() == model::Task::embed)
    for (const model::Output output : spec.outputs())
      fmt::format_to(std::back_inserter(out), "{}\"{}\":{}", std::exchange(comma, ","),
                     name_of(output), spec.width_of(output));
  out.push_back('}');
}

void append_texts(std::string& out, const std::vector<std::string>& texts) {
  out.push_back('[');
  const char* comma = "";
  for (const std::string& text : texts) {
    out.append(std::exchange(comma, ","));
    append_json_quoted(out, text);
  }
  out.push_back(']');
}

}  // namespace

void append_model_facts(std::string& out, const model::ModelSpec& spec) {
  fmt::format_to(std::back_inserter(out), "{{\"kind\":\"{}\",\"outputs\":", kind_of(spec));
  append_outputs(out, spec);
  out.append(",\"extra_heads\":");
  append_texts(out, extra_heads_of(spec));
  out.append(",\"notes\":");
  append_texts(out, notes_on(spec));
  out.push_back('}');
}

}  // namespace sheaf::api
