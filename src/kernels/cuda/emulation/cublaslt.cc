#include "kernels/cuda/emulation/cublaslt.h"

#include <algorithm>
#include <iterator>
#include <numeric>
#include <optional>
#include <utility>

#include "kernels/cuda/activation.cuh"

namespace sheaf::kernels::cuda::emulation {

struct ProductDescription {
  cublasOperation_t turns_a = CUBLAS_OP_N;
  cublasLtEpilogue_t epilogue = CUBLASLT_EPILOGUE_DEFAULT;
  const void* bias = nullptr;
  std::optional<cudaDataType_t> bias_type;  // none: that of the results
  struct Scale {
    cublasLtMatmulMatrixScale_t mode = CUBLASLT_MATMUL_MATRIX_SCALE_SCALAR_32F;
    const float* values = nullptr;  // of a scalar: 1

    bool is_vector() const { return mode == CUBLASLT_MATMUL_MATRIX_SCALE_OUTER_VEC_32F; }
    float at(std::size_t i) const {
      if (values == nullptr) return 1;
      return is_vector() ? values[i] : *values;
    }
  } a_scale, b_scale, d_scale;

  bool scales_are_there() const {
    return (!a_scale.is_vector() || a_scale.values != nullptr) &&
           (!b_scale.is_vector() || b_scale.values != nullptr);
  }
};
struct MatrixDescription {
  cudaDataType_t type = CUDA_R_32F;
  std::size_t rows = 0, columns = 0, stride = 0;

  std::size_t element_bytes() const {
    if (type == CUDA_R_8F_E4M3) return 1;
    return type == CUDA_R_32F ? 4 : 2;
  }
};
struct Preferences {
  std::size_t workspace_bytes = 0;
};

PlayedLibrary& played_library() {
  thread_local PlayedLibrary library;
  return library;
}

namespace {

bool has(cublasLtEpilogue_t epilogue, cublasLtEpilogue_t part) { return (epilogue & part) != 0; }
bool activates(cublasLtEpilogue_t epilogue) {
  return has(epilogue, CUBLASLT_EPILOGUE_RELU) || has(epilogue, CUBLASLT_EPILOGUE_GELU);
}

// Calls run(T()) for the type of a matrix's elements.
template <class Run>
auto with_type(cudaDataType_t type, Run run) {
  if (type == CUDA_R_16F) return run(Half());
  if (type == CUDA_R_16BF) return run(Bfloat16());
  if (type == CUDA_R_8F_E4M3) return run(Fp8());
  return run(float());
}
float element(cudaDataType_t type, const void* vector, std::size_t i) {
  return with_type(
      type, [&](auto one) { return to_float(static_cast<const decltype(one)*>(vector)[i]); });
}

// Results in fp8 are of operands in fp8 that are scaled by a number each, and what is added to them
// is in bfloat16.
bool results_agree(const ProductDescription& product, const MatrixDescription& a,
                   const MatrixDescription& c, const MatrixDescription& d) {
  if (d.type != CUDA_R_8F_E4M3) return c.type == d.type && product.d_scale.values == nullptr;
  return a.type == CUDA_R_8F_E4M3 && c.type == CUDA_R_16BF && !product.a_scale.is_vector() &&
         !product.b_scale.is_vector() && d.stride % 16 == 0 &&
         product.bias_type.value_or(CUDA_R_16BF) == CUDA_R_16BF &&
         (product.bias == nullptr || product.bias_type.has_value());
}

bool is_operand(const void* address) { return reinterpret_cast<std::uintptr_t>(address) % 16 == 0; }
bool agree(const ProductDescription& product, const MatrixDescription& a,
           const MatrixDescription& b, const MatrixDescription& c, const MatrixDescription& d) {
  const auto whole = [](const MatrixDescription& x) { return x.rows > 0 && x.stride >= x.rows; };
  const auto operand = [](const MatrixDescription& x) {
    return x.stride * x.element_bytes() % 16 == 0;
  };
  return product.turns_a == CUBLAS_OP_T && whole(a) && whole(b) && whole(c) && whole(d) &&
         operand(a) && operand(b) && a.type == b.type && results_agree(product, a, c, d) &&
         a.rows == b.rows && d.rows == a.columns && d.columns == b.columns && c.rows == d.rows &&
         c.columns == d.columns;
}

struct StoredMatrix {
  const void* data = nullptr;
  MatrixDescription layout;
};
std::vector<float> floats(const StoredMatrix& matrix) {
  const MatrixDescription& layout = matrix.layout;
  std::vector<float> values(layout.rows * layout.columns);
  with_type(layout.type, [&](auto one) {
    const auto* from = static_cast<const decltype(one)*>(matrix.data);
    for (std::size_t j = 0; j < layout.columns; ++j)
      for (std::size_t i = 0; i < layout.rows; ++i)
        values[j * layout.rows + i] = to_float(from[j * layout.stride + i]);
  });
  return values;
}

// More exactly than a card does, and in several sums at once, which is the faster the more there
// are.
double dot(const float* a, const float* b, std::size_t count) {
  constexpr std::size_t kSums = 8;
  double sums[kSums] = {};
  std::size_t i = 0;
  for (; i + kSums <= count; i += kSums)
    for (std::size_t j = 0; j < kSums; ++j) sums[j] += double{a[i + j]} * b[i + j];
  for (; i < count; ++i) sums[0] += double{a[i]} * b[i];
  return std::accumulate(std::begin(sums), std::end(sums), 0.0);
}

float finished(const ProductDescription& product, cudaDataType_t results, std::size_t row,
               double sum) {
  if (has(product.epilogue, CUBLASLT_EPILOGUE_BIAS))
    sum += element(product.bias_type.value_or(results), product.bias, row);
  const auto value = static_cast<float>(sum);
  if (has(product.epilogue, CUBLASLT_EPILOGUE_RELU)) return activate(Activation::relu, value);
  if (has(product.epilogue, CUBLASLT_EPILOGUE_GELU)) return activate(Activation::gelu_tanh, value);
  return value;
}

// d = epilogue(alpha a^T b + beta c)
struct Multiplication {
  ProductDescription product;
  float alpha = 1, beta = 0;
  StoredMatrix a, b, c;
  MatrixDescription d_layout;
  void* d = nullptr;

  void run() const {
    const std::vector<float> left = floats(a), right = floats(b);
    const std::size_t inner = a.layout.rows;
    with_type(d_layout.type, [&](auto one) {
      using R = decltype(one);
      for (std::size_t j = 0; j < d_layout.columns; ++j)
        for (std::size_t i = 0; i < d_layout.rows; ++i) {
          double sum = alpha * product.a_scale.at(i) * product.b_scale.at(j) *
                       dot(&left[i * inner], &right[j * inner], inner);
          if (beta != 0) sum += beta * element(c.layout.type, c.data, j * c.layout.stride + i);
          static_cast<R*>(d)[j * d_layout.stride + i] =
              from_float<R>(finished(product, d_layout.type, i, sum) * product.d_scale.at(0));
        }
    });
  }
};

}  // namespace
}  // namespace sheaf::kernels::cuda::emulation

using namespace sheaf::kernels::cuda;             // NOLINT: the library's names are global
using namespace sheaf::kernels::cuda::emulation;  // NOLINT

std::size_t cublasLtGetVersion() { return played_library().version; }
cublasStatus_t cublasLtCreate(cublasLtHandle_t* handle) {
  *handle = new LibraryHandle();
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtDestroy(cublasLtHandle_t handle) {
  delete handle;
  return CUBLAS_STATUS_SUCCESS;
}
const char* cublasLtGetStatusString(cublasStatus_t status) {
  return status == CUBLAS_STATUS_EXECUTION_FAILED ? "execution failed" : "refused";
}

cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t* made, cublasComputeType_t,
                                        cudaDataType_t) {
  *made = new ProductDescription();
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t description) {
  delete description;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t description,
                                              cublasLtMatmulDescAttributes_t attribute,
                                              const void* value, std::size_t bytes) {
  const auto take = [&](auto& into) {
    if (bytes != sizeof into) return CUBLAS_STATUS_INVALID_VALUE;
    std::memcpy(&into, value, bytes);
    return CUBLAS_STATUS_SUCCESS;
  };
  switch (attribute) {
    case CUBLASLT_MATMUL_DESC_TRANSA:
      return take(description->turns_a);
    case CUBLASLT_MATMUL_DESC_EPILOGUE:
      return take(description->epilogue);
    case CUBLASLT_MATMUL_DESC_BIAS_POINTER:
      return take(description->bias);
    case CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE:
      return take(description->bias_type.emplace());
    case CUBLASLT_MATMUL_DESC_A_SCALE_POINTER:
      return take(description->a_scale.values);
    case CUBLASLT_MATMUL_DESC_B_SCALE_POINTER:
      return take(description->b_scale.values);
    case CUBLASLT_MATMUL_DESC_D_SCALE_POINTER:
      return take(description->d_scale.values);
    case CUBLASLT_MATMUL_DESC_A_SCALE_MODE:
      return take(description->a_scale.mode);
    case CUBLASLT_MATMUL_DESC_B_SCALE_MODE:
      return take(description->b_scale.mode);
  }
  return CUBLAS_STATUS_INVALID_VALUE;
}

cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t* made, cudaDataType_t type,
                                          std::uint64_t rows, std::uint64_t columns,
                                          std::int64_t stride) {
  *made = new MatrixDescription{type, rows, columns, static_cast<std::size_t>(stride)};
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t layout) {
  delete layout;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t* made) {
  *made = new Preferences();
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t preference) {
  delete preference;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t preference,
                                                    cublasLtMatmulPreferenceAttributes_t attribute,
                                                    const void* value, std::size_t bytes) {
  const bool workspace = attribute == CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES;
  if (bytes != (workspace ? sizeof(std::size_t) : sizeof(std::uint32_t)))
    return CUBLAS_STATUS_INVALID_VALUE;
  if (workspace) std::memcpy(&preference->workspace_bytes, value, bytes);
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t, cublasLtMatmulDesc_t product,
                                              cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                                              cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
                                              cublasLtMatmulPreference_t preference, int wanted,
                                              cublasLtMatmulHeuristicResult_t* results,
                                              int* found) {
  PlayedLibrary& library = played_library();
  ++library.asked;
  *found = 0;
  if (!agree(*product, *a, *b, *c, *d)) return CUBLAS_STATUS_INVALID_VALUE;
  if (!product->scales_are_there()) return CUBLAS_STATUS_INVALID_VALUE;
  if (product->a_scale.is_vector() && library.version < 120900) return CUBLAS_STATUS_NOT_SUPPORTED;
  if (d->type == CUDA_R_8F_E4M3 && !library.writes_fp8) return CUBLAS_STATUS_NOT_SUPPORTED;
  if (activates(product->epilogue) && !library.activates) return CUBLAS_STATUS_NOT_SUPPORTED;
  for (std::size_t i = 0; i < library.algorithms.size() && *found < wanted; ++i) {
    const std::size_t workspace = library.algorithms[i].workspace_bytes;
    if (workspace <= preference->workspace_bytes)
      results[(*found)++] = {
          {{i}},
          workspace,
          library.algorithms[i].usable ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_NOT_SUPPORTED};
  }
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulAlgoCheck(cublasLtHandle_t, cublasLtMatmulDesc_t product,
                                       cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                                       cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
                                       const cublasLtMatmulAlgo_t* algorithm,
                                       cublasLtMatmulHeuristicResult_t* result) {
  const PlayedLibrary& library = played_library();
  const std::uint64_t index = algorithm->data[0];
  if (index >= library.algorithms.size() || !agree(*product, *a, *b, *c, *d))
    return CUBLAS_STATUS_NOT_SUPPORTED;
  *result = {*algorithm, library.algorithms[index].workspace_bytes, CUBLAS_STATUS_SUCCESS};
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmul(cublasLtHandle_t, cublasLtMatmulDesc_t product, const void* alpha,
                              const void* a, cublasLtMatrixLayout_t a_layout, const void* b,
                              cublasLtMatrixLayout_t b_layout, const void* beta, const void* c,
                              cublasLtMatrixLayout_t c_layout, void* d,
                              cublasLtMatrixLayout_t d_layout,
                              const cublasLtMatmulAlgo_t* algorithm, void* workspace,
                              std::size_t workspace_bytes, const EmulatedStream* stream) {
  PlayedLibrary& library = played_library();
  if (const auto meanwhile = std::exchange(library.meanwhile, nullptr)) meanwhile();
  const std::uint64_t index = algorithm->data[0];
  const bool biased = has(product->epilogue, CUBLASLT_EPILOGUE_BIAS);
  if (index >= library.algorithms.size() ||
      !agree(*product, *a_layout, *b_layout, *c_layout, *d_layout) ||
      library.algorithms[index].workspace_bytes > workspace_bytes || workspace == nullptr ||
      !is_operand(a) || !is_operand(b) || (biased && product->bias == nullptr))
    return CUBLAS_STATUS_INVALID_VALUE;
  ++library.algorithms[index].runs;
  library.clock_ms += library.algorithms[index].milliseconds;
  if (library.algorithms[index].fails) return CUBLAS_STATUS_EXECUTION_FAILED;
  if (product->a_scale.is_vector() && !library.scales) return library.refusal;
  if (d_layout->type == CUDA_R_8F_E4M3 && !library.writes_fp8) return CUBLAS_STATUS_NOT_SUPPORTED;
  // In the place of the results only what is described as they are.
  if (c == d && c_layout->type != d_layout->type) return CUBLAS_STATUS_INVALID_VALUE;

  if (d_layout->type == CUDA_R_8F_E4M3) ++library.fp8_results;

  stream->take([multiplication = Multiplication{.product = *product,
                                                .alpha = *static_cast<const float*>(alpha),
                                                .beta = *static_cast<const float*>(beta),
                                                .a = {a, *a_layout},
                                                .b = {b, *b_layout},
                                                .c = {c, *c_layout},
                                                .d_layout = *d_layout,
                                                .d = d}] { multiplication.run(); });
  return CUBLAS_STATUS_SUCCESS;
}
