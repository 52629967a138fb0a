#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "base/result.h"

// The bytes of a channel, one memfd per replica process:
//
//   page 0            SharedHeader
//   submit ring       router -> replica: submit and cancel frames
//   result ring       replica -> router: rows and final frames
//
// A ring is a power of two of bytes. Head (written by its producer) and tail (by its consumer)
// count bytes since the start and never wrap; a byte's place is its count modulo the ring's size.
// Both ends map each ring twice in a row, so that a frame that wraps around is still one span.
//
// Neither end trusts the other. An end keeps its own position in private memory and only publishes
// it here; whatever it reads from here it copies once and checks the copy.
namespace sheaf::channel {

inline constexpr std::uint64_t kMagic = 0x6c6e6e6863666873;  // "shfchnnl"
inline constexpr std::uint32_t kVersion = 3;                 // of header and frames
inline constexpr std::size_t kHeaderBytes = 4096;
inline constexpr std::size_t kFrameAlignment = 8;
// How a replica's process ends whose device has no room for what it was to do: the router runs that
// again in smaller batches.
inline constexpr int kExitWithoutRoom = 12;
// Of a rank that ends because another one of its replica ended, or is late.
inline constexpr int kExitAfterAnother = 13;
// Batches that a replica computes at once: each takes a working set and a thread.
inline constexpr int kLanesMax = 8;
inline constexpr std::size_t kRowsFrameBytes = 64 << 10;  // longer rows are sent in parts

// What a text is answered with: one row of floats.
enum class Output : std::uint32_t {
  vector = 0,  // row_floats numbers
  sparse = 1,  // terms, each two floats: a word's id, exact below 2^24, and its weight
  tokens = 2,  // vectors of token_floats numbers, at most one a token, end to end
};

// What a channel can carry; fixed when it is created.
struct Limits {
  std::uint32_t max_batch_tokens = 16'384;
  std::uint32_t max_batch_items = 2'048;
  std::uint32_t row_floats = 0;    // 0: no vectors
  std::uint32_t sparse_terms = 0;  // most terms of a text, whose ids are below; 0: no sparse rows
  std::uint32_t token_floats = 0;  // 0: no vectors of tokens
};

// Floats of the longest row that answers a text of `tokens` tokens; 0: the channel carries none.
std::uint64_t longest_row(const Limits& limits, Output output, std::uint32_t tokens);
// Whether a row of so many floats can be the whole answer to such a text.
bool is_row(const Limits& limits, Output output, std::uint32_t tokens, std::uint64_t floats);
// Whether the ids of a sparse row ascend, within the vocabulary. What passes may be made integers.
bool are_terms(const Limits& limits, std::span<const float> row);

// A flag or position on a cache line of its own, since the two ends write different ones.
template <class T>
struct alignas(64) Shared {
  std::atomic<T> value;
  static_assert(std::atomic<T>::is_always_lock_free, "shared between processes");
};

// What a sleeping replica waits for.
enum class Sleep : std::uint32_t { awake = 0, for_frames = 1, for_space = 2 };

struct SharedHeader {
  std::uint64_t magic;
  std::uint32_t version;
  Limits limits;

  Shared<std::uint64_t> submit_head, submit_tail;
  Shared<std::uint64_t> result_head, result_tail;

  // Futex word: the router adds one whenever the replica might have to wake.
  Shared<std::uint32_t> replica_bell;
  Shared<std::uint32_t> replica_sleeps;  // a Sleep: why it is in, or on its way into, FUTEX_WAIT
  Shared<std::uint32_t> router_listens;  // 1 while the router wants the eventfd written
  Shared<std::uint64_t> progress;        // the replica's sign of life
};
static_assert(sizeof(SharedHeader) <= kHeaderBytes);

struct Geometry {
  std::size_t submit_bytes = 0;  // a ring's size: a power of two, whole pages
  std::size_t result_bytes = 0;
  std::size_t total_bytes = 0;
};

// Same answer at both ends; refuses limits that no model has.
Result<Geometry> geometry_of(const Limits& limits);

// ---- frames: a FrameHead, then one of the bodies, padded to kFrameAlignment

enum class FrameType : std::uint32_t { submit = 1, cancel = 2, rows = 3, final = 4 };

struct FrameHead {
  std::uint32_t bytes;  // of the whole frame, padding included
  std::uint32_t type;
};

struct SubmitBody {  // then WireItem[items], then int32 ids[tokens]
  std::uint64_t batch;
  std::uint32_t items;
  std::uint32_t tokens;
};
struct WireItem {
  std::uint32_t tokens;
  std::uint32_t dimensions;  // 0 = all
  std::uint32_t normalize;   // 0 or 1
  std::uint32_t second_at;   // as Item::second_at
  std::uint32_t output;      // an Output
};
struct CancelBody {
  std::uint64_t batch;
};
// Vectors of consecutive items, or one row of any kind, or a part of one: with `more` the row goes
// on in the next frame of rows, which is of the same item. Items may come in any order.
struct RowsBody {  // then float values[items * stride]
  std::uint64_t batch;
  std::uint32_t first_item;
  std::uint32_t items;   // 1 if more
  std::uint32_t stride;  // 0: rows without floats
  std::uint32_t more;    // 0 or 1
};
struct FinalBody {  // then char message[message_bytes]
  std::uint64_t batch;
  std::uint64_t compute_us;
  std::uint32_t failed;  // 0 or 1
  std::uint32_t error_code;
  std::uint32_t message_bytes;
  std::uint32_t reserved;
};
inline constexpr std::size_t kMaxMessageBytes = 1024;

// "channel: <what>", of kind corrupt: what the other end wrote cannot be.
Error corrupt(const std::string& what);

}  // namespace sheaf::channel
