#pragma once

#include <optional>
#include <string>

#include "base/fd.h"
#include "base/result.h"

// The socket between the privileged helper and those who ask it: a line of JSON each way.
namespace sheaf::slices {

// Listens in this folder, for everybody: who may ask is decided by what the kernel says of them.
// Error unavailable: a helper listens there already.
Result<Fd> listen_as_helper(const std::string& folder);
void forget_helper(const std::string& folder);  // takes the socket's name away

// Up to the newline, without it; nothing if the other end is slow, gone or says too much.
std::optional<std::string> read_line(int socket, int timeout_ms);
Status write_line(int socket, std::string line);

bool helper_listens(const std::string& folder);

// The line that says an error; ask_helper() makes it one again.
std::string error_line(const Error& error);

// What the helper of this folder answers; nothing where none listens. Error io: it ended before it
// answered.
Result<std::optional<std::string>> ask_helper(const std::string& folder, const std::string& line,
                                              int timeout_ms);

}  // namespace sheaf::slices
