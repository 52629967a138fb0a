// Any bytes as a batch from the first rank: refused, or a batch whose message they are.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>

#include "replica/ranks.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace sheaf::replica;
  const auto bytes = std::as_bytes(std::span(data, size));
  const auto batch = batch_of(bytes);
  if (!batch.ok()) return 0;
  const auto again = message_of({batch->ids, batch->cu_seqlens, batch->options});
  const auto same = batch_of(again);
  if (again.size() != size || !same.ok() || same->ids != batch->ids ||
      same->cu_seqlens != batch->cu_seqlens)
    std::abort();
  return 0;
}
