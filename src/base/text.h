#pragma once

#include <span>
#include <string>
#include <string_view>

namespace sheaf {

// The text as a JSON string literal with its quotes. Bytes that are not UTF-8 become U+FFFD.
std::string json_quote(std::string_view text);
// The same, appended to `out`.
void append_json_quoted(std::string& out, std::string_view text);

// `text` if it has at most `bytes_max` bytes, else its beginning, cut between characters, and
// "...": what a client sent, in an error or a log line.
std::string excerpt(std::string_view text, std::size_t bytes_max = 100);

// The candidate with the smallest edit distance to `word`, or "" if none is near (distance > 1 +
// size/3).
std::string_view nearest_word(std::string_view word, std::span<const std::string_view> candidates);

// "1.5 GiB", "12.0 MiB", "512 B".
std::string human_bytes(double bytes);

}  // namespace sheaf
