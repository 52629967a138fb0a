#include "channel/offline.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <string>

namespace sheaf::channel {
namespace {

constexpr std::uint32_t kOfflineMagic = 0x666f6873;  // "shof"

Status write_all(int fd, const void* data, std::size_t bytes) {
  const auto* at = static_cast<const char*>(data);
  while (bytes > 0) {
    const ssize_t done = ::write(fd, at, bytes);
    if (done < 0 && errno == EINTR) continue;
    if (done < 0) return errno_error("writing to the replica's pipe", errno);
    at += done;
    bytes -= static_cast<std::size_t>(done);
  }
  return {};
}

// Bytes read: `bytes`, or less at the end of input.
Result<std::size_t> read_up_to(int fd, void* data, std::size_t bytes) {
  auto* at = static_cast<char*>(data);
  std::size_t have = 0;
  while (have < bytes) {
    const ssize_t done = ::read(fd, at + have, bytes - have);
    if (done < 0 && errno == EINTR) continue;
    if (done < 0) return errno_error("reading from the replica's pipe", errno);
    if (done == 0) break;
    have += static_cast<std::size_t>(done);
  }
  return have;
}

Status read_all(int fd, void* data, std::size_t bytes) {
  SHEAF_ASSIGN(const std::size_t have, read_up_to(fd, data, bytes));
  if (have == bytes) return {};
  return Error{ErrorCode::io, "the replica's pipe ended after " + std::to_string(have) + " of " +
                                  std::to_string(bytes) + " bytes"};
}

Error corrupt_batch(const std::string& what) {
  return Error{ErrorCode::corrupt, "offline batch: " + what};
}

struct BatchHead {
  std::uint32_t items;
  std::uint32_t tokens;
};

}  // namespace

Result<Limits> read_offline_hello(int fd) {
  OfflineHello hello;
  SHEAF_TRY(read_all(fd, &hello, sizeof hello));
  if (hello.magic != kOfflineMagic || hello.version != kVersion)
    return Error{ErrorCode::corrupt, "this program does not speak the offline protocol, version " +
                                         std::to_string(kVersion)};
  SHEAF_TRY(geometry_of(hello.limits));
  return hello.limits;
}

Status write_offline_batch(int fd, std::span<const Item> items) {
  BatchHead head{static_cast<std::uint32_t>(items.size()), 0};
  for (const Item& item : items) head.tokens += static_cast<std::uint32_t>(item.ids.size());
  std::vector<std::byte> bytes(sizeof head + items.size() * sizeof(WireItem) +
                               head.tokens * sizeof(std::int32_t));
  std::byte* at = bytes.data();
  const auto put = [&at](const void* from, std::size_t size) {
    if (size > 0) std::memcpy(at, from, size);
    at += size;
  };
  put(&head, sizeof head);
  for (const Item& item : items) {
    const WireItem wire{static_cast<std::uint32_t>(item.ids.size()), item.dimensions,
                        item.normalize ? 1u : 0u, item.second_at,
                        static_cast<std::uint32_t>(item.output)};
    put(&wire, sizeof wire);
  }
  for (const Item& item : items) put(item.ids.data(), item.ids.size_bytes());
  return write_all(fd, bytes.data(), bytes.size());
}

Result<OfflineReply> read_offline_reply(int fd, std::span<const Item> items, const Limits& limits) {
  OfflineReplyHead head;
  SHEAF_TRY(read_all(fd, &head, sizeof head));
  if (head.items == 0) {
    std::string message(std::min<std::size_t>(head.message_bytes, kMaxMessageBytes), '\0');
    SHEAF_TRY(read_all(fd, message.data(), message.size()));
    const bool known = head.error_code <= static_cast<std::uint32_t>(ErrorCode::internal);
    return Error{known ? static_cast<ErrorCode>(head.error_code) : ErrorCode::internal,
                 std::move(message)};
  }
  if (head.items != items.size())
    return Error{ErrorCode::io, "the replica answered " + std::to_string(head.items) + " rows to " +
                                    std::to_string(items.size()) + " texts"};
  OfflineReply reply{head.compute_us, std::vector<std::uint32_t>(head.items), {}};
  SHEAF_TRY(read_all(fd, reply.floats.data(), reply.floats.size() * sizeof(std::uint32_t)));
  std::size_t sum = 0;
  for (std::size_t i = 0; i < items.size(); ++i) {
    const auto tokens = static_cast<std::uint32_t>(items[i].ids.size());
    if (!is_row(limits, items[i].output, tokens, reply.floats[i]))
      return Error{ErrorCode::io, "the replica answered a text of " + std::to_string(tokens) +
                                      " tokens with " + std::to_string(reply.floats[i]) +
                                      " floats"};
    sum += reply.floats[i];
  }
  reply.values.resize(sum);
  SHEAF_TRY(read_all(fd, reply.values.data(), sum * sizeof(float)));
  std::size_t at = 0;
  for (std::size_t i = 0; i < items.size(); at += reply.floats[i++])
    if (items[i].output == Output::sparse &&
        !are_terms(limits, std::span(reply.values).subspan(at, reply.floats[i])))
      return Error{ErrorCode::io, "the replica answered with terms that are none"};
  return reply;
}

Status write_offline_hello(int fd, const Limits& limits) {
  const OfflineHello hello{kOfflineMagic, kVersion, limits};
  return write_all(fd, &hello, sizeof hello);
}

Result<std::optional<Submission>> read_offline_batch(int fd, const Limits& limits) {
  BatchHead head;
  SHEAF_ASSIGN(const std::size_t have, read_up_to(fd, &head, sizeof head));
  if (have == 0) return std::optional<Submission>();
  if (have < sizeof head) return corrupt_batch("the input ends inside its head");
  if (head.items == 0 || head.items > limits.max_batch_items ||
      head.tokens > limits.max_batch_tokens)
    return corrupt_batch(std::to_string(head.items) + " texts and " + std::to_string(head.tokens) +
                         " tokens; at most " + std::to_string(limits.max_batch_items) + " and " +
                         std::to_string(limits.max_batch_tokens));
  std::vector<WireItem> items(head.items);
  SHEAF_TRY(read_all(fd, items.data(), items.size() * sizeof(WireItem)));
  Submission submission;
  submission.cu_seqlens.push_back(0);
  for (const WireItem& item : items) {
    const std::uint32_t start = submission.cu_seqlens.back();
    if (item.tokens == 0 || item.tokens > head.tokens - start)
      return corrupt_batch("a text of " + std::to_string(item.tokens) + " tokens");
    submission.cu_seqlens.push_back(start + item.tokens);
    SHEAF_ASSIGN(const ItemOptions options, options_of(item, limits));
    submission.options.push_back(options);
  }
  if (submission.cu_seqlens.back() != head.tokens)
    return corrupt_batch("its texts have " + std::to_string(submission.cu_seqlens.back()) +
                         " tokens, not " + std::to_string(head.tokens));
  submission.ids.resize(head.tokens);
  SHEAF_TRY(read_all(fd, submission.ids.data(), submission.ids.size() * sizeof(std::int32_t)));
  return std::optional(std::move(submission));
}

Status write_offline_reply(int fd, std::int64_t compute_us, std::span<const std::uint32_t> floats,
                           std::span<const float> values) {
  const OfflineReplyHead head{static_cast<std::uint32_t>(floats.size()), 0, 0, 0, compute_us};
  SHEAF_TRY(write_all(fd, &head, sizeof head));
  SHEAF_TRY(write_all(fd, floats.data(), floats.size_bytes()));
  return write_all(fd, values.data(), values.size_bytes());
}

Status write_offline_failure(int fd, const Error& error) {
  const std::string_view message = std::string_view(error.message).substr(0, kMaxMessageBytes);
  const OfflineReplyHead head{0, static_cast<std::uint32_t>(error.code),
                              static_cast<std::uint32_t>(message.size()), 0, 0};
  SHEAF_TRY(write_all(fd, &head, sizeof head));
  return write_all(fd, message.data(), message.size());
}

}  // namespace sheaf::channel
