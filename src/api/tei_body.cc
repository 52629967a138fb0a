#include "api/tei_body.h"

#include <fmt/format.h>

namespace sheaf::api {

Refusal no_inputs(std::string_view field) {
  return {{ErrorCode::invalid_argument, fmt::format("{} is missing or empty", field),
           std::string(field)},
          false,
          /*empty=*/true};
}

core::RequestId refuse(const Call& call, const Refusal& refusal, const Respond& respond) {
  note_refusal(call.context, call.request_id, refusal.error);
  respond(refusal.empty
              ? tei_empty_response(refusal.error.message)
              : error_response(Dialect::tei, refusal.error, refusal.broken_json ? 400 : 0));
  return 0;
}

std::optional<Refusal> parse_body(const Call& call, simdjson::dom::object& fields) {
  Result<simdjson::dom::object> parsed = parse_json_object(call.request.body);
  if (!parsed.ok()) return Refusal{std::move(parsed).error(), /*broken_json=*/true};
  fields = *parsed;
  return std::nullopt;
}

InputRules input_rules(const Context& context) {
  return {/*allow_ids=*/true, context.router.options().max_texts};
}

}  // namespace sheaf::api
