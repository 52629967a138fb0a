#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "api/context.h"

// What is answered from a tokenizer alone, whatever the surface: on the thread that asks.
namespace sheaf::api {

// These answers have 50 times the bytes of what is asked and hold up the thread: 32 MiB would be
// gigabytes, and silence for everyone else meanwhile. `what` is "the body", "the message".
Status check_inspected_bytes(std::string_view what, std::size_t bytes);

// As TEI shows them: `text` is what the text says there, not the vocabulary's spelling of it, but
// for tokens that no text produced, whose start and stop are -1. Offsets are into the text with its
// prompt before it; "" is no prompt, an unknown one is refused.
Result<std::vector<tokenizer::Token>> shown_tokens(const Context& context,
                                                   const router::ModelInfo& model,
                                                   const std::string& text, bool add_special_tokens,
                                                   const std::string& prompt_name);

Result<std::string> shown_text(const Context& context, const router::ModelInfo& model,
                               const std::vector<std::int32_t>& ids, bool skip_special_tokens);

}  // namespace sheaf::api
