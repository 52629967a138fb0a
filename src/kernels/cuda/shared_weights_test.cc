#include <gtest/gtest.h>

#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/mapping.h"
#include "kernels/cuda/emulation/emulated.h"
#include "kernels/shared_copy.h"

namespace sheaf::kernels::cuda {
namespace {

constexpr std::size_t kHead = 16;

// What is to lie on the card: a head, and 100 numbers.
std::vector<std::byte> weights(char head = 'a') {
  std::vector<std::byte> all(kHead + 100 * sizeof(float), std::byte{7});
  std::memset(all.data(), head, kHead);
  return all;
}

// A replica's backend, and what it has of the weights in common.
struct Replica {
  SharedCopy copy;
  std::unique_ptr<Backend> backend;
  const std::byte* data = nullptr;

  explicit Replica(Fd given, const std::vector<std::byte>& host = weights())
      : copy{.given = std::move(given)} {
    const auto backends = emulated_backends({.own_memory_only = true});
    backend = std::move(*backends.front().make({.weights_copy = &copy}));
    data = backend->memory().share(host, kHead);
  }
  std::vector<std::byte> read() const {
    std::vector<std::byte> all(weights().size());
    backend->memory().read(data, all.size(), all.data());
    return all;
  }
};

TEST(SharedWeights, AreMadeOnceAndOutliveTheirMaker) {
  auto maker = std::make_unique<Replica>(Fd());
  ASSERT_NE(maker->data, nullptr);
  ASSERT_TRUE(maker->copy.made);
  EXPECT_EQ(maker->copy.trouble, "");
  Fd held = std::move(maker->copy.made);
  maker.reset();
  const Replica other(std::move(held));
  EXPECT_FALSE(other.copy.made);
  EXPECT_EQ(other.copy.trouble, "");
  EXPECT_EQ(other.read(), weights());
}

TEST(SharedWeights, AreOperandsAsAnyMemoryIs) {
  const Replica replica((Fd()));
  const auto* scale = reinterpret_cast<const float*>(replica.data + kHead);
  tensor::Buffer buffer;
  const MatrixSpan x = buffer.matrix(1, 8, replica.backend->memory());
  replica.backend->normalize(x, {.scale = scale}, {}, x);
  EXPECT_TRUE(replica.backend->status().ok());
}

TEST(SharedWeights, OfAnotherHeadOrLengthAreRefusedAndMadeAnew) {
  Replica other(Fd(), weights('b'));
  Fd short_one = *make_memfd("short", 100);
  Fd given[] = {std::move(other.copy.made), std::move(short_one)};
  const std::string why[] = {"the weights on the card are of another model or layout",
                             "the weights on the card have 100 bytes, not 416"};
  for (int i = 0; i < 2; ++i) {
    const Replica replica(std::move(given[i]));
    EXPECT_EQ(replica.copy.trouble, why[i]);
    EXPECT_TRUE(replica.copy.made);
    EXPECT_EQ(replica.read(), weights());
    EXPECT_TRUE(replica.backend->status().ok());
  }
}

TEST(SharedWeights, NobodyHasThemWhereNobodyAsked) {
  const auto backend = std::move(*emulated_backends().front().make({}));
  const auto host = weights();
  EXPECT_EQ(backend->memory().share(host, kHead), nullptr);
}

}  // namespace
}  // namespace sheaf::kernels::cuda
