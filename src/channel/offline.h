#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "base/result.h"
#include "channel/replica_end.h"
#include "channel/router_end.h"

// What `sheaf-replica embed` speaks over its standard input and output, both ends (little-endian,
// both on one machine). Input: any number of batches
//
//   u32 items, u32 tokens, items x {u32 tokens, u32 dimensions, u32 normalize}, i32 ids[tokens]
//
// Output: one OfflineHello when the model is loaded, then one reply a batch, in order
//
//   OfflineReplyHead, then float values[items, row_floats] or char message[message_bytes]
//
// The program ends when its input does. All calls block; a broken pipe is an io error.
namespace sheaf::channel {

struct OfflineHello {
  std::uint32_t magic;
  std::uint32_t version;
  Limits limits;  // of a batch; row_floats of a reply
};

struct OfflineReplyHead {
  std::uint32_t items;          // 0: failed
  std::uint32_t error_code;     // ErrorCode, if failed
  std::uint32_t message_bytes;  // if failed
  std::uint32_t reserved;
  std::int64_t compute_us;
};

// ---- the asking end (`sheaf embed`)
Result<Limits> read_offline_hello(int fd);
Status write_offline_batch(int fd, std::span<const Item> items);
struct OfflineReply {
  std::int64_t compute_us = 0;
  std::vector<float> values;  // [items, row_floats]
};
// The error is the replica's own for that batch (anything but io), or io: the replica is gone.
Result<OfflineReply> read_offline_reply(int fd, const Limits& limits);

// ---- the answering end (`sheaf-replica embed`)
Status write_offline_hello(int fd, const Limits& limits);
// Nothing at the end of input.
Result<std::optional<Submission>> read_offline_batch(int fd, const Limits& limits);
Status write_offline_reply(int fd, std::uint32_t items, std::int64_t compute_us,
                           std::span<const float> values);
Status write_offline_failure(int fd, const Error& error);

}  // namespace sheaf::channel
