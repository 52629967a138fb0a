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

InputRules input_rules(const Context& context) {
  return {/*allow_ids=*/true, context.router.options().max_texts};
}

}  // namespace sheaf::api
