#include "tokenizer/merge_table.h"

#include <algorithm>
#include <bit>

namespace sheaf::tokenizer {

// Gives each bucket a pilot, the largest first, while most places are free.
class MergeTable::Builder {
 public:
  Builder(MergeTable& table, std::span<const Pair> pairs, std::size_t id_end)
      : table_(table), fits_(id_end <= kHalfMask && pairs.size() <= kRankMask) {
    entries_.reserve(pairs.size());
    for (std::uint32_t rank = 0; rank < pairs.size(); ++rank) {
      const auto& [left, right, id] = pairs[rank];
      const std::uint64_t wide = wide_key_of(left, right);
      const std::uint64_t key = fits_ ? key_of(left, right) : wide;
      entries_.push_back({key * kFactor, key, wide, rank});
    }
  }

  void build() {
    sort();
    struct Bucket {
      std::size_t first, size;
    };
    std::vector<Bucket> buckets;
    for (std::size_t first = 0, end = 0; first < entries_.size(); first = end) {
      while (end < entries_.size() && bucket_of(entries_[end]) == bucket_of(entries_[first])) ++end;
      buckets.push_back({first, end - first});
    }
    std::stable_sort(buckets.begin(), buckets.end(),
                     [](const Bucket& a, const Bucket& b) { return a.size > b.size; });
    for (const Bucket& bucket : buckets)
      place(std::span(entries_).subspan(bucket.first, bucket.size));
    std::sort(table_.homeless_.begin(), table_.homeless_.end(),
              [](const Homeless& a, const Homeless& b) { return a.key < b.key; });
  }

 private:
  struct Entry {
    std::uint64_t hash, key, wide;
    std::uint32_t rank;

    std::uint64_t slot() const { return key << kRankBits | rank; }
  };
  // So many pairs in one bucket are no accident.
  static constexpr std::size_t kBucketMax = 64;

  std::size_t bucket_of(const Entry& entry) const { return entry.hash >> table_.pilot_shift_; }

  // By hash, hence by bucket, without those that a later one replaces: no two keys share a hash.
  void sort() {
    std::stable_sort(entries_.begin(), entries_.end(),
                     [](const Entry& a, const Entry& b) { return a.hash < b.hash; });
    std::size_t kept = 0;
    for (std::size_t i = 0; i < entries_.size(); ++i) {
      if (i + 1 < entries_.size() && entries_[i + 1].hash == entries_[i].hash) continue;
      entries_[kept++] = entries_[i];
    }
    entries_.resize(kept);
  }

  void place(std::span<const Entry> bucket) {
    std::uint8_t& pilot = table_.pilots_[bucket_of(bucket.front())];
    const bool fits = fits_ && bucket.size() <= kBucketMax;
    for (pilot = 0; fits && pilot < kHomeless; ++pilot) {
      if (try_pilot(bucket, pilot)) return;
    }
    pilot = kHomeless;
    for (const Entry& entry : bucket) table_.homeless_.push_back({entry.wide, entry.rank});
  }

  bool try_pilot(std::span<const Entry> bucket, std::uint8_t pilot) {
    const auto slot_of = [&](const Entry& entry) -> std::uint64_t& {
      return table_.slots_[table_.index_of(entry.hash, pilot)];
    };
    for (std::size_t i = 0; i < bucket.size(); ++i) {
      if (slot_of(bucket[i]) == 0) {
        slot_of(bucket[i]) = bucket[i].slot();
        continue;
      }
      while (i > 0) slot_of(bucket[--i]) = 0;
      return false;
    }
    return true;
  }

  MergeTable& table_;
  const bool fits_;  // everything into slots
  std::vector<Entry> entries_;
};

MergeTable::MergeTable(std::span<const Pair> pairs, std::size_t id_end) {
  const std::size_t size = std::bit_ceil(std::max<std::size_t>(pairs.size() / 4 * 5, 16));
  slots_.resize(size);
  mask_ = static_cast<std::uint32_t>(size - 1);
  pilots_.resize(size / 4, id_end <= kHalfMask ? 0 : kHomeless);
  pilot_shift_ = 64 - std::countr_zero(pilots_.size());
  for (const Pair& pair : pairs) ids_.push_back(pair.id);
  ids_.push_back(-1);  // so that there is one
  Builder(*this, pairs, id_end).build();
}

std::uint32_t MergeTable::rank_of_homeless(std::int32_t left, std::int32_t right) const {
  const std::uint64_t key = wide_key_of(left, right);
  const auto found =
      std::lower_bound(homeless_.begin(), homeless_.end(), key,
                       [](const Homeless& a, std::uint64_t wanted) { return a.key < wanted; });
  return found == homeless_.end() || found->key != key ? kNoRank : found->rank;
}

}  // namespace sheaf::tokenizer
