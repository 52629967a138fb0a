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
//   u32 items, u32 tokens, WireItem[items], i32 ids[tokens]
//
// Output: one OfflineHello when the model is loaded, then one reply a batch, in order
//
//   OfflineReplyHead, then u32 floats[items] and those rows end to end, or char
//   message[message_bytes]
//
// The program ends when its input does. All calls block; a broken pipe is an io error.
namespace sheaf::channel {

struct OfflineHello {
  std::uint32_t magic;
  std::uint32_t version;
  Limits limits;  // of a batch and of its reply
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
  std::vector<std::uint32_t> floats;  // of each item's row
  std::vector<float> values;          // the rows end to end
};
// `items` are those of the batch. The error is the replica's own for that batch (anything but io),
// or io: the replica is gone.
Result<OfflineReply> read_offline_reply(int fd, std::span<const Item> items, const Limits& limits);

// ---- the answering end (`sheaf-replica embed`)
Status write_offline_hello(int fd, const Limits& limits);
// Nothing at the end of input.
Result<std::optional<Submission>> read_offline_batch(int fd, const Limits& limits);
Status write_offline_reply(int fd, std::int64_t compute_us, std::span<const std::uint32_t> floats,
                           std::span<const float> values);
Status write_offline_failure(int fd, const Error& error);

}  // namespace sheaf::channel
