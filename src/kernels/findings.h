#pragma once

#include <cstddef>
#include <map>
#include <mutex>
#include <optional>
#include <vector>

namespace sheaf::kernels {

// What backends that compute side by side on one device find out about it, by the clock: what one
// has found the others take, so that they choose, and round, alike, and pay for it once. Nobody
// waits for one that still looks: who finds the same meanwhile takes what was kept first. What is
// kept stays as it is, since what a device has recorded is repeated by it; of questions there are
// as many as a model's operations have shapes, by few steps of rows. Any thread may call.
template <class Answer>
class Findings {
 public:
  // All numbers that the answer depends on, beside the device.
  using Question = std::vector<std::size_t>;

  std::optional<Answer> find(const Question& question) const {
    const std::lock_guard lock(mutex_);
    const auto found = answers_.find(question);
    if (found == answers_.end()) return std::nullopt;
    return found->second;
  }
  // What is kept: this answer, or the one that was there before.
  Answer keep(const Question& question, const Answer& answer) {
    const std::lock_guard lock(mutex_);
    return answers_.try_emplace(question, answer).first->second;
  }

 private:
  mutable std::mutex mutex_;
  std::map<Question, Answer> answers_;
};

}  // namespace sheaf::kernels
