#include "kernels/cuda/emulation/warpgroup.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <map>
#include <vector>

#include "kernels/cuda/emulation/block.h"
#include "kernels/cuda/emulation/target.h"

namespace sheaf::kernels::cuda::emulation {
namespace {

constexpr unsigned kRows = 16;   // of a warp
constexpr unsigned kInner = 16;  // columns of a, rows of b

[[noreturn]] void refuse(const char* why) {
  std::fprintf(stderr, "emulated warpgroup: %s\n", why);
  std::abort();
}

using Eight = std::array<Bfloat16, 8>;  // 16 bytes of an operand, which swizzles keep together

// An operand in shared memory, by its descriptor (PTX ISA, "Matrix Descriptor Format").
class Operand {
 public:
  explicit Operand(std::uint64_t descriptor)
      : address_(bytes_at(descriptor, 0)),
        panel_(bytes_at(descriptor, 16)),
        eight_rows_(bytes_at(descriptor, 32)),
        row_(descriptor >> 62 == 1 ? 128 : 64) {
    if (descriptor >> 62 != 1 && descriptor >> 62 != 2) refuse("an operand of an unknown form");
    if ((descriptor >> 49 & 7) != 0) refuse("an operand whose patterns begin anywhere");
  }

  // Eight of a row's 16 that are summed over.
  Eight of_row(unsigned row, unsigned half) const {
    return at(address_ + row / 8 * eight_rows_ + row % 8 * row_ + half * 16);
  }
  // Of one that is summed over, those of columns 8 n to 8 n + 7.
  Eight of_columns(unsigned inner, unsigned n) const {
    return at(address_ + 16 * n / row_ * panel_ + 16 * n % row_ + inner / 8 * eight_rows_ +
              inner % 8 * row_);
  }

 private:
  static unsigned bytes_at(std::uint64_t descriptor, unsigned bit) {
    return static_cast<unsigned>(descriptor >> bit & 0x3fff) * 16;
  }
  Eight at(unsigned offset) const {
    Eight elements;
    std::memcpy(elements.data(), shown_bytes(offset ^ (offset / 128 % (row_ / 16)) * 16),
                sizeof elements);
    return elements;
  }

  unsigned address_, panel_, eight_rows_, row_;  // bytes
};

using Sums = float (*)[4];
struct Product {
  Sums d;
  unsigned columns;
  std::uint64_t a;                 // if it is not in registers
  const std::uint32_t* registers;  // or null
  std::uint64_t b;
  bool add;
};

// What a thread of one block has begun.
struct Products {
  std::uint64_t block = 0;
  bool begun = false;
  std::vector<Product> waiting;
  std::vector<std::size_t> groups;          // products of each, all of which come before the rest
  std::map<Sums, std::vector<float>> sums;  // that d had when the first product with it began
};

Products& mine() {
  thread_local std::vector<Products> threads;
  if (threads.size() < thread_count()) threads.resize(thread_count());
  Products& products = threads[thread_index()];
  if (products.block != block_number()) products = {.block = block_number()};
  return products;
}

using Inner = std::array<float, kInner>;  // of a row of a or a column of b

Inner row_of(const Operand& operand, unsigned row) {
  Inner all;
  for (unsigned half = 0; half < 2; ++half)
    std::ranges::transform(operand.of_row(row, half), all.begin() + 8 * half,
                           [](Bfloat16 x) { return to_float(x); });
  return all;
}

// Columns 8 n + 2 place and the next of b.
std::array<Inner, 2> columns_of(const Product& product, unsigned n, unsigned place) {
  const Operand b(product.b);
  const unsigned first = 2 * place;
  if (product.registers == nullptr) return {row_of(b, 8 * n + first), row_of(b, 8 * n + first + 1)};
  std::array<Inner, 2> columns;
  for (unsigned k = 0; k < kInner; ++k) {
    const Eight elements = b.of_columns(k, n);
    for (unsigned j = 0; j < 2; ++j) columns[j][k] = to_float(elements[first + j]);
  }
  return columns;
}

// Rows `group` and `group + 8` of a warp's part of a: in registers, which all lanes bring, or not.
std::array<Inner, 2> rows_of(const Product& product, unsigned warp, unsigned group) {
  std::array<Inner, 2> rows;
  if (product.registers == nullptr) {
    const Operand a(product.a);
    for (unsigned half = 0; half < 2; ++half)
      rows[half] = row_of(a, warp * kRows + half * 8 + group);
    return rows;
  }
  std::uint32_t all[kWarp][4];
  const Exchange met = exchange_in_warp(product.registers, sizeof all[0]);
  for (unsigned lane = 0; lane < met.lanes; ++lane)
    std::memcpy(all[lane], met.all + lane * kLaneBytes, sizeof all[0]);
  for (unsigned half = 0; half < 2; ++half)
    for (unsigned k = 0; k < kInner; ++k) {
      const std::uint32_t pair = all[group * 4 + k % 8 / 2][k / 8 * 2 + half];
      rows[half][k] = to_float(Bfloat16{static_cast<std::uint16_t>(pair >> 16 * (k % 2))});
    }
  return rows;
}

void multiply(const Product& product, std::vector<float>& d) {
  const unsigned lane = thread_index() % kWarp;
  const auto a = rows_of(product, thread_index() % kWarpgroupThreads / kWarp, lane / 4);
  if (!product.add) std::ranges::fill(d, 0.0F);
  for (unsigned n = 0; n < product.columns / 8; ++n) {
    const auto b = columns_of(product, n, lane % 4);
    for (unsigned i = 0; i < 4; ++i)
      for (unsigned k = 0; k < kInner; ++k) d[4 * n + i] += a[i / 2][k] * b[i % 2][k];
  }
}

void begin(const Product& product) {
  sync_warpgroup();
  Products& products = mine();
  if (!products.begun) refuse("a product begins without begin_products()");
  std::vector<float>& sums = products.sums[product.d];
  if (sums.empty()) {
    sums.assign(product.d[0], product.d[0] + product.columns / 2);
    std::fill_n(product.d[0], product.columns / 2, std::numeric_limits<float>::quiet_NaN());
  }
  products.waiting.push_back(product);
}

}  // namespace

void begin_products() {
  sync_warpgroup();
  mine().begun = true;
}

void commit_products() {
  Products& products = mine();
  std::size_t before = 0;
  for (const std::size_t group : products.groups) before += group;
  products.groups.push_back(products.waiting.size() - before);
}

void await_products(unsigned pending) {
  sync_warpgroup();
  Products& products = mine();
  products.begun = false;
  while (products.groups.size() > pending) {
    const auto end = products.waiting.begin() + static_cast<std::ptrdiff_t>(products.groups[0]);
    for (auto product = products.waiting.begin(); product != end; ++product)
      multiply(*product, products.sums[product->d]);
    products.waiting.erase(products.waiting.begin(), end);
    products.groups.erase(products.groups.begin());
  }
  for (auto sums = products.sums.begin(); sums != products.sums.end();) {
    const bool waits =
        std::ranges::find(products.waiting, sums->first, &Product::d) != products.waiting.end();
    if (!waits) std::ranges::copy(sums->second, sums->first[0]);
    sums = waits ? std::next(sums) : products.sums.erase(sums);
  }
}

void multiply_by_rows(float (*d)[4], unsigned columns, std::uint64_t a, std::uint64_t b, bool add) {
  begin({d, columns, a, nullptr, b, add});
}
void multiply_add_registers(float (*d)[4], unsigned columns, const std::uint32_t (&a)[4],
                            std::uint64_t b) {
  begin({d, columns, 0, a, b, true});
}

}  // namespace sheaf::kernels::cuda::emulation
