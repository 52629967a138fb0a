#pragma once

#include <optional>
#include <string>

#include "api/embed.h"
#include "api/json_in.h"

// What TEI's routes share in reading their bodies and in refusing them.
namespace sheaf::api {

// A refused body. TEI answers broken JSON with 400, wrong fields with 422, no input with "Empty".
struct Refusal {
  Error error;
  bool broken_json = false;
  bool empty = false;
};
Refusal no_inputs(std::string_view field);

// Counts, logs and answers it.
core::RequestId refuse(const Call& call, const Refusal& refusal, const Respond& respond);

// The body as one object, which lives until the next body is parsed on this thread.
std::optional<Refusal> parse_body(const Call& call, simdjson::dom::object& fields);

// Hands each field that is not null to `read`; nothing if all went well.
template <class Read>
std::optional<Refusal> read_fields(const simdjson::dom::object& fields, Read read) {
  for (const auto& [key, value] : fields) {
    if (value.is_null()) continue;
    if (Status status = read(key, value); !status.ok()) return Refusal{std::move(status).error()};
  }
  return std::nullopt;
}

// Both in one.
template <class Read>
std::optional<Refusal> read_fields(const Call& call, Read read) {
  simdjson::dom::object fields;
  if (auto refusal = parse_body(call, fields)) return refusal;
  return read_fields(fields, std::move(read));
}

// Texts and ids, as many as the router takes.
InputRules input_rules(const Context& context);

}  // namespace sheaf::api
