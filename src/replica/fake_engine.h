#pragma once

#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "replica/program.h"

// A model without arithmetic, for tests of processes and channels: a text's vector is a function
// of its ids alone, so a lost, crossed or torn answer shows. Its folder holds one file `dimensions`
// with the numbers of a FakeShape, of which the first is needed.
namespace sheaf::replica {

inline constexpr std::int32_t kFakeVocabulary = 30'000;

// Value j of the vector of a text.
inline float fake_value(std::span<const std::int32_t> ids, std::size_t j) {
  std::uint32_t sum = static_cast<std::uint32_t>(j);
  for (const std::int32_t id : ids) sum = sum * 31 + static_cast<std::uint32_t>(id);
  return static_cast<float>(sum % 65'521);
}

// Its sparse row: every id once, weighing what the text's vector has at its place. The vectors of
// its tokens, end to end, go on like its vector.
inline std::vector<float> fake_terms(std::span<const std::int32_t> ids) {
  std::vector<float> row;
  for (const std::int32_t id : std::set<std::int32_t>(ids.begin(), ids.end())) {
    const float weight = fake_value(ids, row.size());
    row.insert(row.end(), {static_cast<float>(id), weight});
  }
  return row;
}

struct FakeShape {
  std::uint32_t dimensions = 0;
  std::uint32_t vocabulary = 0;    // 0: no sparse rows
  std::uint32_t token_floats = 0;  // as many as dimensions if not said
};

class FakeEngine final : public engine::Engine {
 public:
  FakeEngine(FakeShape shape, engine::EngineOptions options) : options_(options) {
    spec_.dimensions = shape.dimensions;
    spec_.vocab_size = shape.vocabulary == 0 ? kFakeVocabulary : shape.vocabulary;
    spec_.hidden_size = shape.token_floats;
    if (shape.vocabulary > 0) spec_.token_weight.name = "made up";
  }

  const model::ModelSpec& spec() const override { return spec_; }
  std::string device() const override { return "fake"; }
  std::string dtype() const override { return "float32"; }

  Status embed(const engine::Batch& batch, engine::Rows& out) override {
    out.clear();
    if (options_.progress != nullptr) options_.progress->fetch_add(1, std::memory_order_relaxed);
    for (std::size_t i = 0; i + 1 < batch.cu_seqlens.size(); ++i) {
      const auto ids =
          batch.ids.subspan(batch.cu_seqlens[i], batch.cu_seqlens[i + 1] - batch.cu_seqlens[i]);
      for (const std::int32_t id : ids)
        if (id < 0 || id >= kFakeVocabulary)
          return Error{ErrorCode::invalid_argument,
                       "token id " + std::to_string(id) + " is outside the vocabulary"};
      add_row(ids, batch.options[i].output, out);
    }
    return {};
  }

 private:
  void add_row(std::span<const std::int32_t> ids, model::Output output, engine::Rows& out) const {
    if (output == model::Output::sparse) {
      const auto terms = fake_terms(ids);
      std::copy(terms.begin(), terms.end(), out.add(1, terms.size()).begin());
      return;
    }
    const std::size_t floats =
        output == model::Output::tokens ? ids.size() * spec_.hidden_size : spec_.dimensions;
    const auto row = out.add(1, floats);
    for (std::size_t j = 0; j < row.size(); ++j) row[j] = fake_value(ids, j);
  }

  model::ModelSpec spec_;
  engine::EngineOptions options_;
};

inline Status fake_pack(const engine::Source& source, int fd) {
  FakeShape shape;
  std::ifstream file(source.folder + "/dimensions");
  if (!(file >> shape.dimensions))
    return Error{ErrorCode::not_found, source.folder + "/dimensions: no number there"};
  shape.token_floats = shape.dimensions;
  file >> shape.vocabulary >> shape.token_floats;
  if (::write(fd, &shape, sizeof shape) != sizeof shape)
    return errno_error("writing the weights", errno);
  return {};
}

inline Result<engine::Footprint> fake_footprint(const engine::Source& source, std::uint32_t,
                                                int /*threads*/) {
  if (source.dtype != tensor::Dtype::float32)
    return Error{ErrorCode::unsupported,
                 "this processor has no instructions for " + std::string(name_of(source.dtype))};
  return engine::Footprint{};
}

inline std::string fake_backend_name(tensor::Dtype dtype) {
  return dtype == tensor::Dtype::float32 ? "fake" : "";
}

inline Result<std::unique_ptr<engine::Engine>> fake_open(Mapping packed,
                                                         engine::EngineOptions options) {
  FakeShape shape;
  if (packed.size() != sizeof shape)
    return Error{ErrorCode::corrupt,
                 "the weights have " + std::to_string(packed.size()) + " bytes"};
  std::memcpy(&shape, packed.data(), sizeof shape);
  return std::unique_ptr<engine::Engine>(std::make_unique<FakeEngine>(shape, options));
}

}  // namespace sheaf::replica
