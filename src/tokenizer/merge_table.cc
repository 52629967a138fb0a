#include "tokenizer/merge_table.h"

#include <algorithm>
#include <bit>

namespace sheaf::tokenizer {

// Gives each bucket a pilot, the largest first, while most places are free.
class MergeTable::Builder {
 public:
  Builder(MergeTable& table, std::span<const Pair> pairs) : table_(table) {
    entries_.reserve(pairs.size());
    for (std::uint32_t rank = 0; rank < pairs.size(); ++rank) {
      const std::uint64_t key = key_of(pairs[rank].left, pairs[rank].right);
      entries_.push_back({hash_of(key), key, rank});
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
    std::uint64_t hash, key;
    std::uint32_t rank;

    bool fits() const {
      return key >> 32 <= kHalfMask && static_cast<std::uint32_t>(key) <= kHalfMask &&
             rank <= kRankMask;
    }
    std::uint64_t slot() const {
      return ((key >> 32 << kHalfBits | static_cast<std::uint32_t>(key)) << kRankBits) | rank;
    }
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
    const bool fits =
        bucket.size() <= kBucketMax &&
        std::all_of(bucket.begin(), bucket.end(), [](const Entry& entry) { return entry.fits(); });
    for (pilot = 0; fits && pilot < kHomeless; ++pilot) {
      if (try_pilot(bucket, pilot)) return;
    }
    pilot = kHomeless;
    for (const Entry& entry : bucket) table_.homeless_.push_back({entry.key, entry.rank});
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
  std::vector<Entry> entries_;
};

MergeTable::MergeTable(std::span<const Pair> pairs) {
  const std::size_t size = std::bit_ceil(std::max<std::size_t>(pairs.size() / 4 * 5, 16));
  slots_.resize(size);
  mask_ = static_cast<std::uint32_t>(size - 1);
  pilots_.resize(size / 4);
  pilot_shift_ = 64 - std::countr_zero(pilots_.size());
  for (const Pair& pair : pairs) ids_.push_back(pair.id);
  ids_.push_back(-1);  // so that there is one
  Builder(*this, pairs).build();
}

std::uint32_t MergeTable::rank_of_homeless(std::uint64_t key) const {
  const auto found =
      std::lower_bound(homeless_.begin(), homeless_.end(), key,
                       [](const Homeless& a, std::uint64_t wanted) { return a.key < wanted; });
  return found == homeless_.end() || found->key != key ? kNoRank : found->rank;
}

}  // namespace sheaf::tokenizer
