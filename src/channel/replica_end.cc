#include "channel/replica_end.h"

#include <algorithm>
#include <string>

namespace sheaf::channel {
namespace {

Status check_header(const SharedHeader& shared, std::size_t file_bytes, Limits& limits,
                    Geometry& geometry) {
  const auto* bytes = reinterpret_cast<const std::byte*>(&shared);
  const auto magic = copy_once<std::uint64_t>(bytes + offsetof(SharedHeader, magic));
  const auto version = copy_once<std::uint32_t>(bytes + offsetof(SharedHeader, version));
  limits = copy_once<Limits>(bytes + offsetof(SharedHeader, limits));
  if (magic != kMagic) return corrupt("this memory is no channel");
  if (version != kVersion)
    return corrupt("version " + std::to_string(version) + ", this program speaks " +
                   std::to_string(kVersion));
  SHEAF_ASSIGN(geometry, geometry_of(limits));
  if (geometry.total_bytes != file_bytes)
    return corrupt("its file has " + std::to_string(file_bytes) + " bytes, its limits need " +
                   std::to_string(geometry.total_bytes));
  return {};
}

}  // namespace

Result<ItemOptions> options_of(const WireItem& item, const Limits& limits) {
  if (item.dimensions > limits.row_floats)
    return corrupt("a text of a batch asks for " + std::to_string(item.dimensions) + " dimensions");
  if (item.second_at >= item.tokens)
    return corrupt("the second part of a text of a batch begins at " +
                   std::to_string(item.second_at) + " of " + std::to_string(item.tokens) +
                   " tokens");
  const auto output = static_cast<Output>(item.output);
  if (item.output > static_cast<std::uint32_t>(Output::tokens) ||
      longest_row(limits, output, item.tokens) == 0)
    return corrupt("a text of a batch asks for output " + std::to_string(item.output));
  return ItemOptions{item.normalize != 0, item.dimensions, item.second_at, output};
}

Result<ReplicaEnd> ReplicaEnd::open(int memory_fd, Fd event_fd) {
  SHEAF_ASSIGN(const std::size_t bytes, file_size(memory_fd));
  if (bytes < kHeaderBytes) return corrupt("its file has " + std::to_string(bytes) + " bytes");
  SHEAF_ASSIGN(Mapping mapping, Mapping::map(memory_fd, kHeaderBytes, Mapping::Access::read_write));
  auto& header = *reinterpret_cast<SharedHeader*>(mapping.data());
  Limits limits;
  Geometry geometry;
  SHEAF_TRY(check_header(header, bytes, limits, geometry));
  SHEAF_ASSIGN(MirroredMapping submits,
               MirroredMapping::map(memory_fd, kHeaderBytes, geometry.submit_bytes));
  SHEAF_ASSIGN(
      MirroredMapping results,
      MirroredMapping::map(memory_fd, kHeaderBytes + geometry.submit_bytes, geometry.result_bytes));
  RingReader reader(std::move(submits), header.submit_head.value, header.submit_tail.value);
  RingWriter writer(std::move(results), header.result_head.value, header.result_tail.value);
  return ReplicaEnd(limits, std::move(event_fd), std::move(mapping), std::move(reader),
                    std::move(writer));
}

ReplicaEnd::ReplicaEnd(Limits limits, Fd event_fd, Mapping header, RingReader submits,
                       RingWriter results)
    : limits_(limits),
      event_fd_(std::move(event_fd)),
      header_(std::move(header)),
      submits_(std::move(submits)),
      results_(std::move(results)) {}

Result<ReplicaEnd::Received> ReplicaEnd::receive() {
  SHEAF_ASSIGN(const auto frame, submits_.peek());
  if (!frame) return Received();
  auto received = decode(*frame);
  submits_.release();  // decode() copied everything
  return received;
}

Result<ReplicaEnd::Received> ReplicaEnd::decode(const Frame& frame) const {
  const auto body = frame.body;
  if (frame.type == FrameType::cancel) {
    if (body.size() < sizeof(CancelBody)) return corrupt("a cancel frame is too short");
    return Received(Cancel{copy_once<CancelBody>(body.data()).batch});
  }
  if (frame.type != FrameType::submit)
    return corrupt("the router sent frame type " +
                   std::to_string(static_cast<std::uint32_t>(frame.type)));
  if (body.size() < sizeof(SubmitBody)) return corrupt("a submit frame is too short");

  const auto head = copy_once<SubmitBody>(body.data());
  if (head.items == 0 || head.items > limits_.max_batch_items ||
      head.tokens > limits_.max_batch_tokens)
    return corrupt("a batch of " + std::to_string(head.items) + " texts and " +
                   std::to_string(head.tokens) + " tokens");
  const std::size_t item_bytes = std::size_t{head.items} * sizeof(WireItem);
  const std::size_t id_bytes = std::size_t{head.tokens} * sizeof(std::int32_t);
  if (body.size() < sizeof head + item_bytes + id_bytes)
    return corrupt("a submit frame of " + std::to_string(body.size()) + " bytes claims " +
                   std::to_string(head.items) + " texts and " + std::to_string(head.tokens) +
                   " tokens");

  Submission submission;
  submission.batch = head.batch;
  submission.cu_seqlens.reserve(head.items + 1);
  submission.cu_seqlens.push_back(0);
  submission.options.reserve(head.items);
  for (std::uint32_t i = 0; i < head.items; ++i) {
    const auto item = copy_once<WireItem>(body.data() + sizeof head + i * sizeof(WireItem));
    const std::uint32_t start = submission.cu_seqlens.back();
    if (item.tokens == 0 || item.tokens > head.tokens - start)
      return corrupt("text " + std::to_string(i) + " of a batch has " +
                     std::to_string(item.tokens) + " tokens");
    SHEAF_ASSIGN(const ItemOptions options, options_of(item, limits_));
    submission.cu_seqlens.push_back(start + item.tokens);
    submission.options.push_back(options);
  }
  if (submission.cu_seqlens.back() != head.tokens)
    return corrupt("the texts of a batch have " + std::to_string(submission.cu_seqlens.back()) +
                   " tokens, the batch " + std::to_string(head.tokens));
  submission.ids.resize(head.tokens);
  copy_once(submission.ids.data(), body.data() + sizeof head + item_bytes, id_bytes);
  return Received(std::move(submission));
}

void ReplicaEnd::wait(std::uint32_t bell, TimeUs limit_us) {
  sleep_unless_rung(header(), bell, Sleep::for_frames, limit_us);
}

Result<std::span<std::byte>> ReplicaEnd::reserve(FrameType type, std::size_t body_bytes) {
  for (;;) {
    const std::uint32_t count = bell_count(header());
    SHEAF_ASSIGN(const auto space, results_.reserve(type, body_bytes));
    if (space) return *space;
    ring_router(header(), event_fd_.get());  // it may not know yet that there is something to read
    sleep_unless_rung(header(), count, Sleep::for_space);
  }
}

Status ReplicaEnd::send_frame(const RowsBody& head, const float* values, bool ring) {
  const std::size_t bytes = std::size_t{head.items} * head.stride * sizeof(float);
  SHEAF_ASSIGN(const auto space, reserve(FrameType::rows, sizeof head + bytes));
  std::memcpy(space.data(), &head, sizeof head);
  if (bytes > 0) std::memcpy(space.data() + sizeof head, values, bytes);
  results_.publish();
  if (ring) ring_router(header(), event_fd_.get());
  return {};
}

Status ReplicaEnd::send_rows(std::uint64_t batch, std::uint32_t first_item, std::uint32_t items,
                             std::span<const float> values) {
  constexpr std::size_t kFrameFloats =
      (kRowsFrameBytes - sizeof(FrameHead) - sizeof(RowsBody)) / sizeof(float);
  const std::size_t row_floats = values.size() / items;
  const std::size_t rows_a_frame = kFrameFloats / std::max<std::size_t>(row_floats, 1);
  const float* at = values.data();
  const float* const end = at + values.size();
  for (std::uint32_t item = 0; item < items;) {
    // As many whole rows as fit, or as much of one row.
    const auto rows =
        static_cast<std::uint32_t>(std::clamp<std::size_t>(rows_a_frame, 1, items - item));
    const auto left =
        static_cast<std::size_t>(end - at) - (items - item - rows) * row_floats;  // of these rows
    const std::size_t floats = std::min(left, kFrameFloats);
    const bool more = floats < left;
    const RowsBody head{batch, first_item + item, rows, static_cast<std::uint32_t>(floats / rows),
                        more ? 1u : 0u};
    if (!more) item += rows;
    // One wake-up less for the common small batch: the final frame follows at once.
    SHEAF_TRY(send_frame(head, at, more || item < items));
    at += floats;
  }
  return {};
}

Status ReplicaEnd::send_final(std::uint64_t batch, std::int64_t compute_us, const Error* failure) {
  std::string_view message = failure == nullptr ? std::string_view() : failure->message;
  message = message.substr(0, kMaxMessageBytes);
  SHEAF_ASSIGN(const auto space, reserve(FrameType::final, sizeof(FinalBody) + message.size()));
  const FinalBody head{batch,
                       static_cast<std::uint64_t>(compute_us),
                       failure == nullptr ? 0u : 1u,
                       failure == nullptr ? 0u : static_cast<std::uint32_t>(failure->code),
                       static_cast<std::uint32_t>(message.size()),
                       0};
  std::memcpy(space.data(), &head, sizeof head);
  if (!message.empty()) std::memcpy(space.data() + sizeof head, message.data(), message.size());
  results_.publish();
  ring_router(header(), event_fd_.get());
  return {};
}

}  // namespace sheaf::channel
