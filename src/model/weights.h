#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "kernels/ops.h"
#include "model/spec/product_dtype.h"
#include "model/spec/shard.h"

namespace sheaf::model {

// One stored layer of a product that stacks several.
struct LinearPart {
  std::string name;
  std::size_t outputs = 0;
  // Where the stored weight holds more than this part: all of its rows, and where this begins.
  std::size_t stored_rows = 0;  // 0: just this part's
  std::size_t first_row = 0;
  bool transposed = false;  // rows are inputs, not outputs
};

using kernels::Role;

enum class Bias { none, stored };
// How ranks divide a product: each has all of it, some of the outputs of each of its parts, or some
// of the inputs, and so a part of every sum.
enum class Split { none, outputs, inputs };
enum class NormKind { layer, layer_without_shift, rms };

// What is done to a tensor's values when they are packed, where a family computes with other
// numbers than it stores: (value + plus) * times.
struct Adjust {
  float plus = 0;
  float times = 1;
};

// Vectors that are stored in a table, normalized where `norm` names one.
struct StoredVectors {
  std::string table;
  std::size_t rows = 0;
  std::size_t columns = 0;
  std::string norm;
  float epsilon = 0;
};

// Where an architecture's constructor gets its weights by name. The same constructor runs twice:
// over the stored file, to learn what to pack, and over the packed file, to bind. What cannot be
// had comes back as views without data, and the first reason is kept in status(). What views show
// lies in memory().
class WeightSource {
 public:
  virtual ~WeightSource() = default;

  // Layers "<part>.weight" (or just "<part>") [part's outputs, inputs] and "<part>.bias", stacked
  // into one product. Numbers are those of the whole model; what comes back is this rank's. `input`
  // names the norm whose output the product takes, bound before, where there is such: it tells how
  // large inputs are. Of a product that takes what another, behind a norm, gives it is the name of
  // that one's part, if anything. `role` may decide in what the product is computed.
  virtual kernels::Linear linear(const std::vector<LinearPart>& parts, std::size_t inputs,
                                 Bias bias = Bias::stored, Split split = Split::none,
                                 const std::string& input = {}, Role role = Role::other) = 0;
  // "<name>.weight" and, for NormKind::layer, "<name>.bias" [columns]; older files call them gamma
  // and beta. `adjust` is of the weight.
  virtual kernels::Norm norm(const std::string& name, std::size_t columns, float epsilon,
                             NormKind kind = NormKind::layer, Adjust adjust = {}) = 0;
  // "<name>.weight" [rows, columns]
  virtual tensor::MatrixView table(const std::string& name, std::size_t rows, std::size_t columns,
                                   Adjust adjust = {}) = 0;
  // "<name>" [columns]
  virtual const float* vector(const std::string& name, std::size_t columns) = 0;

  // The product with a row of "<table>.weight" [rows, columns], or with one row less another.
  virtual kernels::Linear row_product(const std::string& table, std::size_t rows,
                                      std::size_t columns,
                                      const std::vector<std::uint32_t>& chosen) = 0;
  // What a layer "<part>.weight", "<part>.bias" makes of such vectors, which no text changes and
  // which is computed when it is packed: for each head its columns as a weight [rows, outputs /
  // heads], one behind the other.
  virtual const float* head_weights(const StoredVectors& vectors, const LinearPart& part,
                                    std::size_t heads) = 0;

  // Whose weights these are.
  virtual Shard shard() const = 0;
  virtual const Fp8Layers& fp8_layers() const = 0;
  // Of the two products of a layer's feed-forward part; the layer is numbered in the whole model.
  // Bounded: the first takes what a norm gives, and the second what no gate made larger.
  Role feed_forward_role(std::uint32_t layer, bool bounded) const {
    if (!is_in_fp8(fp8_layers(), layer)) return Role::other;
    return bounded ? Role::bounded_feed_forward : Role::feed_forward;
  }
  // Of what is divided.
  std::size_t share_of(std::size_t count) const { return count / shard().ranks; }
  bool has_words() const { return shard().stage.is_first(); }
  bool has_heads() const { return shard().stage.is_last(); }

  // Where tables, vectors and weights lie, and what is calculated from them has to.
  virtual tensor::Memory& memory() const { return tensor::host_memory(); }

  const Status& status() const { return status_; }

 protected:
  void keep_first(Error error) {
    if (status_.ok()) status_ = std::move(error);
  }

 private:
  Status status_;
};

}  // namespace sheaf::model
