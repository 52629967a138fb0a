#include "replica/ranks.h"

#include <fmt/format.h>

#include <cstdint>
#include <cstring>
#include <utility>

namespace sheaf::replica {
namespace {

// A message: Head, then cu_seqlens, ids and options of the batch, as they lie in memory of the
// machine that all ranks are on.
struct Head {
  std::uint32_t bounds, tokens, texts;
};
struct Options {
  std::uint32_t dimensions, second_at;
  std::uint8_t normalize, output;
  std::uint8_t nothing[2] = {};
};
constexpr auto kLastOutput = static_cast<std::uint8_t>(model::Output::tokens);

template <class T>
void append(std::vector<std::byte>& message, std::span<const T> values) {
  const auto bytes = std::as_bytes(values);
  message.insert(message.end(), bytes.begin(), bytes.end());
}

template <class T>
std::vector<T> take(std::span<const std::byte>& left, std::size_t count) {
  std::vector<T> values(count);
  if (count > 0) std::memcpy(values.data(), left.data(), count * sizeof(T));
  left = left.subspan(count * sizeof(T));
  return values;
}

class FirstRank final : public engine::Engine {
 public:
  FirstRank(std::unique_ptr<engine::Engine> engine, kernels::Communicator& others)
      : engine_(std::move(engine)), others_(others) {}

  const model::ModelSpec& spec() const override { return engine_->spec(); }
  std::string device() const override { return engine_->device(); }
  std::string dtype() const override { return engine_->dtype(); }
  Status status() const override { return status_.ok() ? engine_->status() : status_; }

  Status embed(const engine::Batch& batch, engine::Rows& out) override {
    message_ = message_of(batch);
    if (status_.ok()) status_ = others_.share(message_);
    SHEAF_TRY(status_);
    return engine_->embed(batch, out);
  }

 private:
  std::unique_ptr<engine::Engine> engine_;
  kernels::Communicator& others_;
  std::vector<std::byte> message_;
  Status status_;
};

}  // namespace

std::unique_ptr<engine::Engine> make_first_rank(std::unique_ptr<engine::Engine> engine,
                                                kernels::Communicator& others) {
  return std::make_unique<FirstRank>(std::move(engine), others);
}

Status follow(engine::Engine& engine, kernels::Communicator& group) {
  std::vector<std::byte> message;
  engine::Rows dropped;
  for (;;) {
    SHEAF_TRY(group.share(message));
    SHEAF_ASSIGN(const SharedBatch batch, batch_of(message));
    // What it refuses the first rank refuses too, and answers.
    const Status done = engine.embed({batch.ids, batch.cu_seqlens, batch.options}, dropped);
    if (!done.ok()) SHEAF_TRY(engine.status());
  }
}

std::vector<std::byte> message_of(const engine::Batch& batch) {
  const Head head = {static_cast<std::uint32_t>(batch.cu_seqlens.size()),
                     static_cast<std::uint32_t>(batch.ids.size()),
                     static_cast<std::uint32_t>(batch.options.size())};
  std::vector<Options> options;
  options.reserve(batch.options.size());
  for (const engine::ItemOptions& item : batch.options)
    options.push_back(
        {item.dimensions, item.second_at, item.normalize, static_cast<std::uint8_t>(item.output)});
  std::vector<std::byte> message;
  message.reserve(sizeof head + batch.cu_seqlens.size_bytes() + batch.ids.size_bytes() +
                  options.size() * sizeof(Options));
  append(message, std::span(&head, 1));
  append(message, batch.cu_seqlens);
  append(message, batch.ids);
  append(message, std::span<const Options>(options));
  return message;
}

Result<SharedBatch> batch_of(std::span<const std::byte> message) {
  Head head{};
  if (message.size() >= sizeof head) std::memcpy(&head, message.data(), sizeof head);
  const std::uint64_t want = sizeof head + std::uint64_t{head.bounds} * sizeof(std::uint32_t) +
                             std::uint64_t{head.tokens} * sizeof(std::int32_t) +
                             std::uint64_t{head.texts} * sizeof(Options);
  if (message.size() != want)
    return Error{ErrorCode::corrupt,
                 fmt::format("a batch from the first rank has {} bytes, and says that it has {}",
                             message.size(), want)};
  std::span<const std::byte> left = message.subspan(sizeof head);
  SharedBatch batch;
  batch.cu_seqlens = take<std::uint32_t>(left, head.bounds);
  batch.ids = take<std::int32_t>(left, head.tokens);
  for (const Options& item : take<Options>(left, head.texts)) {
    if (item.output > kLastOutput)
      return Error{ErrorCode::corrupt,
                   fmt::format("a batch from the first rank asks for output {}", item.output)};
    batch.options.push_back({item.normalize != 0, item.dimensions, item.second_at,
                             static_cast<model::Output>(item.output)});
  }
  return batch;
}

}  // namespace sheaf::replica
