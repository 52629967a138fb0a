#include "api/answer_window.h"

#include <algorithm>
#include <utility>

namespace sheaf::api {
namespace {

// Of messages and answers that one stream may hold, and what an answer is taken for before there is
// one: vectors of tokens can be that large.
constexpr std::size_t kBytesMax = 64u << 20;
constexpr std::size_t kBytesGuessed = 1u << 20;

}  // namespace

bool AnswerWindow::room() const {
  if (slots_.empty()) return true;
  const std::size_t each = answered_ ? largest_bytes_ : std::max(largest_bytes_, kBytesGuessed);
  return slots_.size() < messages_max_ && (slots_.size() + 1) * each <= kBytesMax;
}

AnswerWindow::Number AnswerWindow::open(const grpc::ByteBuffer& message) {
  note_size(message);
  slots_.emplace_back().message = message;
  return first_ + slots_.size() - 1;
}

const grpc::ByteBuffer* AnswerWindow::message(Number number) const {
  const Slot* slot = find(number);
  return slot == nullptr || slot->answer ? nullptr : &slot->message;
}

void AnswerWindow::began(Number number, core::RequestId request) {
  if (Slot* slot = find(number); slot != nullptr && !slot->answer) slot->request = request;
}

void AnswerWindow::answer(Number number, Result<grpc::ByteBuffer> answer) {
  Slot* slot = find(number);
  if (slot == nullptr) return;
  if (answer.ok()) {
    note_size(*answer);
    answered_ = true;
  }
  slot->message.Clear();
  slot->request = 0;
  slot->answer.emplace(std::move(answer));
}

std::optional<Result<grpc::ByteBuffer>> AnswerWindow::take() {
  if (slots_.empty() || !slots_.front().answer) return std::nullopt;
  std::optional<Result<grpc::ByteBuffer>> answer = std::move(slots_.front().answer);
  slots_.pop_front();
  ++first_;
  return answer;
}

std::vector<core::RequestId> AnswerWindow::abandon() {
  std::vector<core::RequestId> requests;
  for (const Slot& slot : slots_)
    if (slot.request != 0) requests.push_back(slot.request);
  first_ += slots_.size();
  slots_.clear();
  return requests;
}

AnswerWindow::Slot* AnswerWindow::find(Number number) {
  return number < first_ || number - first_ >= slots_.size() ? nullptr : &slots_[number - first_];
}

const AnswerWindow::Slot* AnswerWindow::find(Number number) const {
  return number < first_ || number - first_ >= slots_.size() ? nullptr : &slots_[number - first_];
}

void AnswerWindow::note_size(const grpc::ByteBuffer& buffer) {
  largest_bytes_ = std::max(largest_bytes_, buffer.Length());
}

}  // namespace sheaf::api
