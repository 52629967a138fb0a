#include "engine/footprint.h"

#include <malloc.h>

#include <algorithm>
#include <vector>

#include "engine/engine.h"
#include "engine/pack.h"
#include "kernels/dry_run.h"
#include "kernels/ranks/communicator.h"
#include "kernels/ranks/shared_communicator.h"

namespace sheaf::engine {
namespace {

std::uint64_t allocated_bytes() {
  const struct mallinfo2 info = ::mallinfo2();
  return info.uordblks + info.hblkhd;
}

// Of a process that computes nothing, and waits for no other.
class LoneRank final : public kernels::Communicator {
 public:
  explicit LoneRank(model::Shard shard) : shard_(shard) {}

  std::size_t rank() const override { return shard_.process(); }
  std::size_t ranks() const override { return shard_.processes(); }
  Status meet() override { return {}; }
  Status sum(tensor::MatrixSpan /*x*/) override { return {}; }
  Status share(std::vector<std::byte>& /*message*/) override { return {}; }
  Status send(std::size_t /*to*/, tensor::TypedView /*x*/) override { return {}; }
  Status receive(std::size_t /*from*/, tensor::TypedSpan /*x*/) override { return {}; }

 private:
  model::Shard shard_;
};

// A rank's share of what all of them map.
std::uint64_t group_bytes(const model::Shard& shard) {
  if (shard.ranks > 1) return kernels::shared_sum_bytes(shard.ranks) / shard.ranks;
  return shard.stage.is_last() ? 0 : kernels::shared_send_bytes();
}

// Texts of `length` tokens, as many as make up `tokens`, and what they are answered with where
// nothing else is said: vectors of all tokens come on top of it.
struct LargestBatch {
  std::vector<std::int32_t> ids;
  std::vector<std::uint32_t> cu_seqlens = {0};
  std::vector<ItemOptions> options;
  Rows out;

  LargestBatch(const model::ModelSpec& spec, std::uint32_t tokens, std::uint32_t length)
      : ids(tokens) {
    while (cu_seqlens.back() < tokens)
      cu_seqlens.push_back(std::min(cu_seqlens.back() + length, tokens));
    options.resize(cu_seqlens.size() - 1, {.output = spec.main_output()});
  }
};

}  // namespace

Result<Footprint> footprint_of(const Source& source, std::uint32_t max_batch_tokens, int threads) {
  SHEAF_ASSIGN(const Fd fd, make_memfd("sheaf-outline", 0));
  SHEAF_TRY(pack_outline(source, fd.get()));
  SHEAF_ASSIGN(const std::size_t bytes, file_size(fd.get()));
  SHEAF_ASSIGN(Mapping mapping, Mapping::map(fd.get(), bytes, Mapping::Access::read_only));
  const std::uint64_t before = allocated_bytes();
  LoneRank rank(source.shard);
  SHEAF_ASSIGN(const auto engine,
               open_dry(std::move(mapping),
                        {.threads = threads,
                         .communicator = source.shard.processes() > 1 ? &rank : nullptr}));
  const auto run = [&](LargestBatch batch) -> Result<std::uint64_t> {
    SHEAF_TRY(engine->embed({batch.ids, batch.cu_seqlens, batch.options}, batch.out));
    return allocated_bytes() - before;
  };
  SHEAF_ASSIGN(const std::uint64_t replica_bytes,
               run({engine->spec(), max_batch_tokens, engine->spec().max_length}));
  // A card holds the answers too, of which texts of one token have most: who counts what is taken
  // of it sees them here.
  SHEAF_TRY(run({engine->spec(), max_batch_tokens, 1}));
  return Footprint{bytes, replica_bytes + group_bytes(source.shard)};
}

}  // namespace sheaf::engine
