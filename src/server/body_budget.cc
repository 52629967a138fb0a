#include "server/body_budget.h"

#include <utility>

namespace sheaf::server {

BodyBudget::Share::Share(Share&& other) noexcept
    : budget_(other.budget_), bytes_(std::exchange(other.bytes_, 0)) {}

BodyBudget::Share& BodyBudget::Share::operator=(Share&& other) noexcept {
  if (this == &other) return *this;
  give_back();
  budget_ = other.budget_;
  bytes_ = std::exchange(other.bytes_, 0);
  return *this;
}

bool BodyBudget::Share::hold(std::size_t bytes) {
  if (budget_ == nullptr) return bytes == 0;
  if (bytes > bytes_) {
    const std::size_t more = bytes - bytes_;
    const std::size_t before = budget_->held_.fetch_add(more);
    if (more > budget_->bytes_max_ || before > budget_->bytes_max_ - more) {
      budget_->held_.fetch_sub(more);
      return false;
    }
  } else {
    budget_->held_.fetch_sub(bytes_ - bytes);
  }
  bytes_ = bytes;
  return true;
}

void BodyBudget::Share::give_back() {
  if (bytes_ > 0) budget_->held_.fetch_sub(bytes_);
  bytes_ = 0;
}

}  // namespace sheaf::server
