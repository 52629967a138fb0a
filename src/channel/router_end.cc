#include "channel/router_end.h"

#include <fcntl.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <cerrno>
#include <string>

#include "channel/bell.h"

namespace sheaf::channel {
namespace {

Result<Rows> decode_rows(std::span<const std::byte> body) {
  if (body.size() < sizeof(RowsBody)) return corrupt("a rows frame is too short");
  const auto head = copy_once<RowsBody>(body.data());
  const auto values = body.subspan(sizeof(RowsBody));
  // 64-bit products of 32-bit factors times 4 cannot overflow once each factor is bounded by the
  // frame itself.
  const std::uint64_t floats = std::uint64_t{head.items} * head.stride;
  if (head.items == 0 || floats > values.size() / sizeof(float))
    return corrupt("a rows frame of " + std::to_string(values.size()) + " bytes claims " +
                   std::to_string(head.items) + " rows of " + std::to_string(head.stride));
  if (head.more > 1 || (head.more == 1 && (head.items != 1 || head.stride == 0)))
    return corrupt("a rows frame has " + std::to_string(head.items) + " rows of " +
                   std::to_string(head.stride) + " and says that more of it follows");
  return Rows{head.batch,
              head.first_item,
              head.items,
              head.stride,
              std::span(reinterpret_cast<const float*>(values.data()), floats),
              head.more == 1};
}

Result<Final> decode_final(std::span<const std::byte> body) {
  if (body.size() < sizeof(FinalBody)) return corrupt("a final frame is too short");
  const auto head = copy_once<FinalBody>(body.data());
  const auto message = body.subspan(sizeof(FinalBody));
  if (head.message_bytes > std::min(message.size(), kMaxMessageBytes))
    return corrupt("a final frame claims " + std::to_string(head.message_bytes) +
                   " bytes of message");
  if (head.error_code > static_cast<std::uint32_t>(ErrorCode::internal))
    return corrupt("a final frame has error code " + std::to_string(head.error_code));
  constexpr std::uint64_t kYearUs = 365ULL * 86'400 * 1'000'000;
  if (head.compute_us > kYearUs)
    return corrupt("a final frame has compute time " + std::to_string(head.compute_us) + " us");
  Final final{head.batch, static_cast<std::int64_t>(head.compute_us), std::nullopt};
  if (head.failed != 0) {
    std::string text(head.message_bytes, '\0');
    copy_once(text.data(), message.data(), text.size());
    final.failure = Error{static_cast<ErrorCode>(head.error_code), std::move(text)};
  }
  return final;
}

}  // namespace

Result<RouterEnd> RouterEnd::create(const Limits& limits) {
  SHEAF_ASSIGN(const Geometry geometry, geometry_of(limits));
  SHEAF_ASSIGN(Fd memory, make_memfd("sheaf-channel", geometry.total_bytes));
  // A peer that shrank the file would turn our next access into SIGBUS.
  if (::fcntl(memory.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0)
    return errno_error("channel: sealing its size", errno);
  Fd event(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!event) return errno_error("eventfd", errno);
  SHEAF_ASSIGN(Mapping mapping,
               Mapping::map(memory.get(), kHeaderBytes, Mapping::Access::read_write));
  SHEAF_ASSIGN(MirroredMapping submits,
               MirroredMapping::map(memory.get(), kHeaderBytes, geometry.submit_bytes));
  SHEAF_ASSIGN(MirroredMapping results,
               MirroredMapping::map(memory.get(), kHeaderBytes + geometry.submit_bytes,
                                    geometry.result_bytes));

  // A fresh memfd is all zero, which is how positions and bells begin.
  auto& header = *reinterpret_cast<SharedHeader*>(mapping.data());
  header.magic = kMagic;
  header.version = kVersion;
  header.limits = limits;
  RingWriter writer(std::move(submits), header.submit_head.value, header.submit_tail.value);
  RingReader reader(std::move(results), header.result_head.value, header.result_tail.value);
  return RouterEnd(limits, std::move(memory), std::move(event), std::move(mapping),
                   std::move(writer), std::move(reader));
}

RouterEnd::RouterEnd(Limits limits, Fd memory_fd, Fd event_fd, Mapping header, RingWriter submits,
                     RingReader results)
    : limits_(limits),
      memory_fd_(std::move(memory_fd)),
      event_fd_(std::move(event_fd)),
      header_(std::move(header)),
      submits_(std::move(submits)),
      results_(std::move(results)) {}

Result<bool> RouterEnd::submit(std::uint64_t batch, std::span<const Item> items) {
  std::size_t tokens = 0;
  for (const Item& item : items) tokens += item.ids.size();
  if (items.empty() || items.size() > limits_.max_batch_items || tokens > limits_.max_batch_tokens)
    return Error{ErrorCode::invalid_argument,
                 "channel: a batch of " + std::to_string(items.size()) + " texts and " +
                     std::to_string(tokens) + " tokens; it carries 1 to " +
                     std::to_string(limits_.max_batch_items) + " texts and " +
                     std::to_string(limits_.max_batch_tokens) + " tokens"};

  const std::size_t bytes =
      sizeof(SubmitBody) + items.size() * sizeof(WireItem) + tokens * sizeof(std::int32_t);
  SHEAF_ASSIGN(const auto space, submits_.reserve(FrameType::submit, bytes));
  if (!space) return false;

  std::byte* at = space->data();
  const auto put = [&at](const void* from, std::size_t size) {
    std::memcpy(at, from, size);
    at += size;
  };
  const SubmitBody head{batch, static_cast<std::uint32_t>(items.size()),
                        static_cast<std::uint32_t>(tokens)};
  put(&head, sizeof head);
  for (const Item& item : items) {
    const WireItem wire{static_cast<std::uint32_t>(item.ids.size()), item.dimensions,
                        item.normalize ? 1u : 0u, item.second_at,
                        static_cast<std::uint32_t>(item.output)};
    put(&wire, sizeof wire);
  }
  for (const Item& item : items) put(item.ids.data(), item.ids.size_bytes());
  submits_.publish();
  ring_replica(header(), Sleep::for_frames);
  return true;
}

Result<bool> RouterEnd::cancel(std::uint64_t batch) {
  const CancelBody body{batch};
  SHEAF_ASSIGN(const auto space, submits_.reserve(FrameType::cancel, sizeof body));
  if (!space) return false;
  std::memcpy(space->data(), &body, sizeof body);
  submits_.publish();
  ring_replica(header(), Sleep::for_frames);
  return true;
}

Result<RouterEnd::Received> RouterEnd::receive() {
  if (results_.release()) ring_replica(header(), Sleep::for_space);
  SHEAF_ASSIGN(const auto frame, results_.peek());
  if (!frame) return Received();
  return decode(*frame);
}

Result<RouterEnd::Received> RouterEnd::decode(const Frame& frame) const {
  if (frame.type == FrameType::rows) {
    SHEAF_ASSIGN(Rows rows, decode_rows(frame.body));
    return Received(rows);
  }
  if (frame.type == FrameType::final) {
    SHEAF_ASSIGN(Final final, decode_final(frame.body));
    return Received(std::move(final));
  }
  return corrupt("a replica sent frame type " +
                 std::to_string(static_cast<std::uint32_t>(frame.type)));
}

bool RouterEnd::listen() {
  listen_router(header());
  return results_.empty();
}

std::uint64_t RouterEnd::progress() const {
  return reinterpret_cast<const SharedHeader*>(header_.data())
      ->progress.value.load(std::memory_order_relaxed);
}

}  // namespace sheaf::channel
