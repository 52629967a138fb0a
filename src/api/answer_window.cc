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
  return slots_.size() < messages_max_ &&
         bytes_ + usual_bytes() <= std::min(kBytesMax, room_.left());
}

AnswerWindow::Number AnswerWindow::open(const grpc::ByteBuffer& message, std::size_t answer_bytes) {
  Slot& slot = slots_.emplace_back();
  slot.message = message;
  slot.answer_bytes = answer_bytes;
  count(slot);
  note_size(message, false);
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
  slot->message.Clear();
  slot->request = 0;
  slot->answer.emplace(std::move(answer));
  count(*slot);
  if (slot->answer->ok()) note_size(**slot->answer, true);
}

std::optional<Result<grpc::ByteBuffer>> AnswerWindow::take() {
  if (slots_.empty() || !slots_.front().answer) return std::nullopt;
  std::optional<Result<grpc::ByteBuffer>> answer = std::move(slots_.front().answer);
  bytes_ -= slots_.front().bytes;
  room_.give_back(slots_.front().bytes);
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
  room_.give_back(std::exchange(bytes_, 0));
  return requests;
}

AnswerWindow::Slot* AnswerWindow::find(Number number) {
  return number < first_ || number - first_ >= slots_.size() ? nullptr : &slots_[number - first_];
}

const AnswerWindow::Slot* AnswerWindow::find(Number number) const {
  return number < first_ || number - first_ >= slots_.size() ? nullptr : &slots_[number - first_];
}

// What a message is taken for of which nothing is known: as large as the largest so far.
std::size_t AnswerWindow::usual_bytes() const {
  return answered_ ? largest_bytes_ : std::max(largest_bytes_, kBytesGuessed);
}

std::size_t AnswerWindow::bytes_of(const Slot& slot) const {
  if (slot.answer) return slot.answer->ok() ? (*slot.answer)->Length() : 0;
  return std::max(slot.message.Length(),
                  slot.answer_bytes != 0 ? slot.answer_bytes : usual_bytes());
}

void AnswerWindow::count(Slot& slot) {
  const std::size_t bytes = bytes_of(slot), before = std::exchange(slot.bytes, bytes);
  bytes_ = bytes_ + bytes - before;
  room_.take(bytes);
  room_.give_back(before);
}

// All that are not answered yet count anew when there is news of what to expect.
void AnswerWindow::note_size(const grpc::ByteBuffer& buffer, bool is_answer) {
  const std::size_t before = usual_bytes();
  largest_bytes_ = std::max(largest_bytes_, buffer.Length());
  answered_ |= is_answer;
  if (usual_bytes() == before) return;
  for (Slot& slot : slots_)
    if (!slot.answer) count(slot);
}

}  // namespace sheaf::api
