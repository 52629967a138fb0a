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

  // `inner` is the number of the 16 that are summed over.
  float by_rows(unsigned row, unsigned inner) const {
    return at(address_ + row / 8 * eight_rows_ + row % 8 * row_ + 2 * inner);
  }
  float by_columns(unsigned inner, unsigned column) const {
    return at(address_ + 2 * column / row_ * panel_ + 2 * column % row_ + inner / 8 * eight_rows_ +
              inner % 8 * row_);
  }

 private:
  static unsigned bytes_at(std::uint64_t descriptor, unsigned bit) {
    return static_cast<unsigned>(descriptor >> bit & 0x3fff) * 16;
  }
  float at(unsigned offset) const {
    const unsigned swizzled = offset ^ (offset / 128 % (row_ / 16)) * 16;
    check_shown(swizzled);
    Bfloat16 element;
    std::memcpy(&element, shared_bytes() + swizzled, sizeof element);
    return to_float(element);
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

// Rows `group` and `group + 8` of a warp's part of a: in registers, which all lanes bring, or not.
using Rows = std::array<std::array<float, kInner>, 2>;
Rows rows_of(const Product& product, unsigned warp, unsigned group) {
  Rows rows;
  if (product.registers == nullptr) {
    const Operand a(product.a);
    for (unsigned half = 0; half < 2; ++half)
      for (unsigned k = 0; k < kInner; ++k)
        rows[half][k] = a.by_rows(warp * kRows + half * 8 + group, k);
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
  const unsigned place = lane % 4;
  const Rows a = rows_of(product, thread_index() % kWarpgroupThreads / kWarp, lane / 4);
  const Operand b(product.b);
  if (!product.add) std::ranges::fill(d, 0.0F);
  for (unsigned n = 0; n < product.columns / 8; ++n)
    for (unsigned j = 0; j < 2; ++j) {
      const unsigned column = 8 * n + 2 * place + j;
      for (unsigned k = 0; k < kInner; ++k) {
        const float from_b =
            product.registers == nullptr ? b.by_rows(column, k) : b.by_columns(k, column);
        d[4 * n + j] += a[0][k] * from_b;
        d[4 * n + 2 + j] += a[1][k] * from_b;
      }
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
