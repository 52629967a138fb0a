// Any bytes as a safetensors file: refused, or a table whose every tensor lies within them.
#include <cstdint>
#include <cstdlib>
#include <span>

#include "model/spec/safetensors.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto table =
      sheaf::model::TensorTable::parse(std::as_bytes(std::span(data, size)), "fuzz.safetensors");
  if (!table.ok()) return 0;
  for (const auto& entry : table->entries()) {
    if (entry.begin > size || entry.bytes > size - entry.begin) std::abort();
    if (table->find(entry.name) != &entry) std::abort();
  }
  return 0;
}
