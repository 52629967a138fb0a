#pragma once

#include <atomic>
#include <cstddef>

namespace sheaf::server {

// What the bodies of all requests under way may hold together: thousands of connections with a
// large body each, every one within its own limit, would take the machine's memory. Thread-safe.
class BodyBudget {
 public:
  explicit BodyBudget(std::size_t bytes_max) : bytes_max_(bytes_max) {}
  BodyBudget(const BodyBudget&) = delete;
  BodyBudget& operator=(const BodyBudget&) = delete;

  std::size_t bytes_max() const { return bytes_max_; }
  std::size_t bytes_held() const { return held_.load(std::memory_order_relaxed); }

  // What one body holds of it, until it is destroyed. Not thread-safe itself.
  class Share {
   public:
    Share() = default;  // holds nothing and has no budget
    explicit Share(BodyBudget& budget) : budget_(&budget) {}
    Share(Share&& other) noexcept;
    Share& operator=(Share&& other) noexcept;
    ~Share() { give_back(); }

    // Holds so many bytes from now on, more or fewer than before. False, and what it held stays, if
    // there is no room.
    bool hold(std::size_t bytes);

   private:
    void give_back();

    BodyBudget* budget_ = nullptr;
    std::size_t bytes_ = 0;
  };

 private:
  const std::size_t bytes_max_;
  std::atomic<std::size_t> held_ = 0;
};

}  // namespace sheaf::server
