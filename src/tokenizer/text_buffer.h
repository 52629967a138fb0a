#pragma once

#include <cstddef>
#include <memory>
#include <string_view>

namespace sheaf::tokenizer {

// Bytes that are written once and then read; unlike std::string it does not clear what it reserves.
class TextBuffer {
 public:
  // Room for `capacity` bytes; what was there is lost.
  char* reserve(std::size_t capacity) {
    if (capacity > capacity_) {
      bytes_ = std::make_unique_for_overwrite<char[]>(capacity);
      capacity_ = capacity;
    }
    size_ = 0;
    return bytes_.get();
  }
  // Says where writing ended.
  void finish(const char* end) { size_ = static_cast<std::size_t>(end - bytes_.get()); }

  std::string_view view() const { return {bytes_.get(), size_}; }
  std::size_t capacity() const { return capacity_; }

 private:
  std::unique_ptr<char[]> bytes_;
  std::size_t size_ = 0;
  std::size_t capacity_ = 0;
};

}  // namespace sheaf::tokenizer
