#pragma once

#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <memory>
#include <span>
#include <string>
#include <utility>

#include "replica/program.h"

// A model without arithmetic, for tests of processes and channels: a text's vector is a function
// of its ids alone, so a lost, crossed or torn answer shows. Its folder holds one file `dimensions`
// with a number.
namespace sheaf::replica {

inline constexpr std::int32_t kFakeVocabulary = 30'000;

// Value j of the vector of a text.
inline float fake_value(std::span<const std::int32_t> ids, std::size_t j) {
  std::uint32_t sum = static_cast<std::uint32_t>(j);
  for (const std::int32_t id : ids) sum = sum * 31 + static_cast<std::uint32_t>(id);
  return static_cast<float>(sum % 65'521);
}

class FakeEngine final : public engine::Engine {
 public:
  FakeEngine(std::uint32_t dimensions, engine::EngineOptions options) : options_(options) {
    spec_.dimensions = dimensions;
    spec_.vocab_size = kFakeVocabulary;
  }

  const model::ModelSpec& spec() const override { return spec_; }
  std::string device() const override { return "fake"; }
  std::string dtype() const override { return "float32"; }

  Status embed(const engine::Batch& batch, std::span<float> out) override {
    if (options_.progress != nullptr) options_.progress->fetch_add(1, std::memory_order_relaxed);
    for (std::size_t i = 0; i + 1 < batch.cu_seqlens.size(); ++i) {
      const auto ids =
          batch.ids.subspan(batch.cu_seqlens[i], batch.cu_seqlens[i + 1] - batch.cu_seqlens[i]);
      for (const std::int32_t id : ids)
        if (id < 0 || id >= kFakeVocabulary)
          return Error{ErrorCode::invalid_argument,
                       "token id " + std::to_string(id) + " is outside the vocabulary"};
      for (std::size_t j = 0; j < spec_.dimensions; ++j)
        out[i * spec_.dimensions + j] = fake_value(ids, j);
    }
    return {};
  }

 private:
  model::ModelSpec spec_;
  engine::EngineOptions options_;
};

inline Status fake_pack(const std::string& folder, int fd) {
  std::uint32_t dimensions = 0;
  if (!(std::ifstream(folder + "/dimensions") >> dimensions))
    return Error{ErrorCode::not_found, folder + "/dimensions: no number there"};
  if (::write(fd, &dimensions, sizeof dimensions) != sizeof dimensions)
    return errno_error("writing the weights", errno);
  return {};
}

inline Result<engine::Footprint> fake_footprint(const std::string& /*folder*/, std::uint32_t,
                                                int /*threads*/) {
  return engine::Footprint{};
}

inline Result<std::unique_ptr<engine::Engine>> fake_open(Mapping packed,
                                                         engine::EngineOptions options) {
  std::uint32_t dimensions = 0;
  if (packed.size() != sizeof dimensions)
    return Error{ErrorCode::corrupt,
                 "the weights have " + std::to_string(packed.size()) + " bytes"};
  std::memcpy(&dimensions, packed.data(), sizeof dimensions);
  return std::unique_ptr<engine::Engine>(std::make_unique<FakeEngine>(dimensions, options));
}

}  // namespace sheaf::replica
