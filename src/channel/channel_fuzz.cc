#include <unistd.h>

#include <algorithm>
#include <cstdlib>

#include "channel/replica_end.h"
#include "channel/router_end.h"

// Either end against a peer that writes anything anywhere. The input: one byte that chooses the
// victim, then eight bytes each for the peer's head and tail, then the bytes of the ring that the
// victim reads. Values are read too, so that the sanitizer sees a span that leaves the ring.
namespace {

using namespace sheaf;
using namespace sheaf::channel;

constexpr Limits kLimits{256, 16, 8, 100, 6};

void use(std::span<const float> values) {
  volatile float last = 0;
  for (const float value : values) last = value;
  (void)last;
}

void attack_router(RouterEnd& router) {
  for (int i = 0; i < 64; ++i) {
    const auto news = router.receive();
    if (!news.ok() || std::holds_alternative<std::monostate>(*news)) break;
    const auto* rows = std::get_if<Rows>(&*news);
    if (rows == nullptr) continue;
    use(rows->values);
    if (std::uint64_t{rows->items} * rows->stride != rows->values.size()) std::abort();
    // What passes for terms is made integers by those behind.
    const std::vector<float> copy(rows->values.begin(), rows->values.end());
    if (!are_terms(kLimits, copy)) continue;
    for (std::size_t i = 0; i < copy.size(); i += 2)
      if (static_cast<std::uint32_t>(copy[i]) >= kLimits.sparse_terms) std::abort();
  }
  router.listen();
  const std::vector<std::int32_t> ids = {1, 2, 3};
  const std::vector<Item> items = {{ids}};
  if (router.submit(1, items).ok()) (void)router.cancel(1).ok();
}

void attack_replica(ReplicaEnd& replica) {
  for (int i = 0; i < 64; ++i) {
    const auto order = replica.receive();
    if (!order.ok() || std::holds_alternative<std::monostate>(*order)) break;
    const auto* submission = std::get_if<Submission>(&*order);
    if (submission == nullptr) continue;
    std::size_t end = 0;
    for (const std::uint32_t next : submission->cu_seqlens) {
      if (next < end || next > submission->ids.size()) std::abort();
      end = next;
    }
    if (end != submission->ids.size() || submission->options.size() > kLimits.max_batch_items)
      std::abort();
    for (std::size_t i = 0; i < submission->options.size(); ++i)
      if (longest_row(kLimits, submission->options[i].output,
                      submission->cu_seqlens[i + 1] - submission->cu_seqlens[i]) == 0)
        std::abort();
  }
}

std::uint64_t take_number(std::span<const std::uint8_t>& input) {
  std::uint64_t value = 0;
  const std::size_t bytes = std::min(input.size(), sizeof value);
  std::memcpy(&value, input.data(), bytes);
  input = input.subspan(bytes);
  return value;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::span<const std::uint8_t> input(data, size);
  if (input.empty()) return 0;
  const bool router_is_victim = input[0] % 2 == 0;
  input = input.subspan(1);
  const std::uint64_t head = take_number(input), tail = take_number(input);

  auto router = RouterEnd::create(kLimits);
  auto replica = ReplicaEnd::open(router->memory_fd(), Fd(::dup(router->event_fd())));
  const Geometry geometry = *geometry_of(kLimits);
  auto memory =
      Mapping::map(router->memory_fd(), geometry.total_bytes, Mapping::Access::read_write);
  auto& header = *reinterpret_cast<SharedHeader*>(memory->data());
  const std::size_t ring = kHeaderBytes + (router_is_victim ? geometry.submit_bytes : 0);
  std::copy_n(input.begin(), std::min(input.size(), memory->size() - ring),
              reinterpret_cast<std::uint8_t*>(memory->data()) + ring);
  if (router_is_victim) {
    header.result_head.value = head;
    header.submit_tail.value = tail;
    attack_router(*router);
  } else {
    header.submit_head.value = head;
    header.result_tail.value = tail;
    attack_replica(*replica);
    // A hostile tail must not block this thread: only where there is room at once.
    if (tail == 0) (void)replica->send_final(1, 0, nullptr).ok();
  }
  return 0;
}
