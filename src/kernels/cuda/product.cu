#include <cublasLt.h>

#include <algorithm>
#include <array>
#include <map>
#include <string>
#include <type_traits>
#include <vector>

#include "kernels/cuda/product.h"
#include "tensor/buffer.h"

namespace sheaf::kernels::cuda {
namespace {

// Batches differ in their rows: what was found for one is kept for the next, but not for ever.
constexpr std::size_t kAlgorithmsKept = 4096;

template <class T>
constexpr cudaDataType_t type_of() {
  if constexpr (std::is_same_v<T, float>) return CUDA_R_32F;
  if constexpr (std::is_same_v<T, Fp8>) return CUDA_R_8F_E4M3;
  return std::is_same_v<T, Half> ? CUDA_R_16F : CUDA_R_16BF;
}

// The library's descriptions, each destroyed as it was made.
struct Description {
  cublasLtMatmulDesc_t handle = nullptr;
  explicit Description(cublasComputeType_t compute) {
    cublasLtMatmulDescCreate(&handle, compute, CUDA_R_32F);
  }
  Description(const Description&) = delete;
  Description& operator=(const Description&) = delete;
  ~Description() { cublasLtMatmulDescDestroy(handle); }
  template <class Value>
  void set(cublasLtMatmulDescAttributes_t attribute, const Value& value) {
    cublasLtMatmulDescSetAttribute(handle, attribute, &value, sizeof value);
  }
};
struct Layout {
  cublasLtMatrixLayout_t handle = nullptr;
  Layout(cudaDataType_t type, std::size_t rows, std::size_t columns, std::size_t stride) {
    cublasLtMatrixLayoutCreate(&handle, type, rows, columns, static_cast<std::int64_t>(stride));
  }
  Layout(const Layout&) = delete;
  Layout& operator=(const Layout&) = delete;
  ~Layout() { cublasLtMatrixLayoutDestroy(handle); }
};
struct Preference {
  cublasLtMatmulPreference_t handle = nullptr;
  Preference() { cublasLtMatmulPreferenceCreate(&handle); }
  Preference(const Preference&) = delete;
  Preference& operator=(const Preference&) = delete;
  ~Preference() { cublasLtMatmulPreferenceDestroy(handle); }
  template <class Value>
  void set(cublasLtMatmulPreferenceAttributes_t attribute, const Value& value) {
    cublasLtMatmulPreferenceSetAttribute(handle, attribute, &value, sizeof value);
  }
};

std::string shape_text(std::size_t rows, std::size_t columns) {
  return "[" + std::to_string(rows) + ", " + std::to_string(columns) + "]";
}

// 4 to 256: what the address is a multiple of.
std::uint32_t alignment_of(const void* address) {
  const auto at = reinterpret_cast<std::uintptr_t>(address) | 256;
  return static_cast<std::uint32_t>(at & (~at + 1));
}

// The library thinks in columns: a row-major matrix is its transpose there, so that
// out^T [outputs, rows] = W x^T.
template <class T>
class LibraryProduct final : public Product {
  static constexpr bool kFp8 = std::is_same_v<T, Fp8>;

 public:
  LibraryProduct(Device& device, tensor::Buffer& workspace)
      : device_(device), workspace_(workspace) {
    check(cublasLtCreate(&library_));
    workspace_.reserve(kWorkspaceBytes / sizeof(float), device_);
  }
  LibraryProduct(const LibraryProduct&) = delete;
  LibraryProduct& operator=(const LibraryProduct&) = delete;
  ~LibraryProduct() override {
    if (library_ != nullptr) cublasLtDestroy(library_);
  }

  Left run(const ProductTask& task) override {
    if (!device_.status().ok()) return Left::nothing;
    Description product(CUBLAS_COMPUTE_32F);
    product.set(CUBLASLT_MATMUL_DESC_TRANSA, CUBLAS_OP_T);
    if (task.bias != nullptr) product.set(CUBLASLT_MATMUL_DESC_BIAS_POINTER, task.bias);
    const Layout weight(type_of<T>(), task.inputs, task.outputs, task.weight_stride);
    const Layout x(type_of<T>(), task.inputs, task.rows, task.x_stride);
    // The library takes a bias in the type of the results, which is why there are biases in both.
    const cudaDataType_t rounded = kFp8 ? CUDA_R_16BF : type_of<T>();
    const cudaDataType_t results = task.results == Dtype::float32 ? CUDA_R_32F : rounded;
    if (kFp8) product.set(CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, results);
    const Layout out(results, task.outputs, task.rows, task.out_stride);
    const void* added = task.residual != nullptr ? task.residual : task.out;
    const Layout residual(results, task.outputs, task.rows,
                          task.residual != nullptr ? task.residual_stride : task.out_stride);
    const Choice* choice = choice_for(task, added, product, weight, x, residual, out);
    if (choice == nullptr) return Left::nothing;
    ask_for(product, task, choice->form);
    const float one = 1;
    const float beta = task.residual != nullptr && choice->form.left != kProductAlone ? 1 : 0;
    const cublasStatus_t status =
        cublasLtMatmul(library_, product.handle, &one, task.weight, weight.handle, task.x, x.handle,
                       &beta, added, residual.handle, task.out, out.handle, &choice->algorithm,
                       workspace_.reserve(0), kWorkspaceBytes, device_.stream());
    if (choice->form.scaled && status != CUBLAS_STATUS_SUCCESS) {
      // Scales may be refused as late as here, as cublasLt.h says of its pointers to them.
      scales_ = false;
      algorithms_.clear();
      return run(task);
    }
    check(status);
    return choice->form.left;
  }

 private:
  // What the library's choice may depend on.
  using Key = std::array<std::size_t, 13>;
  // How much of a task the library is asked for.
  struct Form {
    cublasLtEpilogue_t epilogue = CUBLASLT_EPILOGUE_DEFAULT;
    bool scaled = false;  // by scales of rows and of outputs
    Left left = Left::nothing;
  };
  struct Choice {
    cublasLtMatmulAlgo_t algorithm{};
    Form form;
  };
  static constexpr Left kProductAlone = Left::scales_and_all_behind;
  // The library multiplies by vectors of scales on this generation alone (cuBLAS 13.2, "Outer
  // Vector Scaling for FP8 Data Types").
  static constexpr int kScalingCapability = 90;

  // Of an activation that the library has not, as of none.
  static cublasLtEpilogue_t epilogue_of(Activation activation, bool bias) {
    switch (activation) {
      case Activation::relu:
        return bias ? CUBLASLT_EPILOGUE_RELU_BIAS : CUBLASLT_EPILOGUE_RELU;
      case Activation::gelu:
      case Activation::gelu_tanh:
        return bias ? CUBLASLT_EPILOGUE_GELU_BIAS : CUBLASLT_EPILOGUE_GELU;
      default:
        return bias ? CUBLASLT_EPILOGUE_BIAS : CUBLASLT_EPILOGUE_DEFAULT;
    }
  }

  // What to ask for, the most first.
  std::vector<Form> forms_of(const ProductTask& task) const {
    const bool bias = task.bias != nullptr;
    std::vector<Form> forms;
    if (!kFp8 || scales_) {
      if (library_activates(task.activation))
        forms.push_back({epilogue_of(task.activation, bias), kFp8, Left::nothing});
      if (task.activation != Activation::none)
        forms.push_back({epilogue_of(Activation::none, bias), kFp8, Left::activation});
    }
    if (kFp8) forms.push_back({.left = kProductAlone});
    return forms;
  }
  static void ask_for(Description& product, const ProductTask& task, const Form& form) {
    product.set(CUBLASLT_MATMUL_DESC_EPILOGUE, form.epilogue);
    if constexpr (kFp8) {
      const cublasLtMatmulMatrixScale_t mode = form.scaled
                                                   ? CUBLASLT_MATMUL_MATRIX_SCALE_OUTER_VEC_32F
                                                   : CUBLASLT_MATMUL_MATRIX_SCALE_SCALAR_32F;
      const float* const none = nullptr;  // of a scalar: 1
      product.set(CUBLASLT_MATMUL_DESC_A_SCALE_MODE, mode);
      product.set(CUBLASLT_MATMUL_DESC_B_SCALE_MODE, mode);
      product.set(CUBLASLT_MATMUL_DESC_A_SCALE_POINTER, form.scaled ? task.weight_scales : none);
      product.set(CUBLASLT_MATMUL_DESC_B_SCALE_POINTER, form.scaled ? task.x_scales : none);
    }
  }

  // Where there is none in a form, one in the next; null, and the device failed: there is none at
  // all.
  const Choice* choice_for(const ProductTask& task, const void* added, Description& product,
                           const Layout& weight, const Layout& x, const Layout& residual,
                           const Layout& out) {
    const cublasLtEpilogue_t epilogue = epilogue_of(task.activation, task.bias != nullptr);
    const Key key = {task.rows,
                     task.inputs,
                     task.outputs,
                     task.x_stride,
                     task.residual_stride,
                     task.out_stride,
                     task.residual != nullptr,
                     epilogue,
                     task.results == Dtype::float32,
                     alignment_of(task.weight),
                     alignment_of(task.x),
                     alignment_of(added),
                     alignment_of(task.out)};
    if (const auto found = algorithms_.find(key); found != algorithms_.end()) return &found->second;
    Preference wanted;
    wanted.set(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, kWorkspaceBytes);
    wanted.set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, alignment_of(task.weight));
    wanted.set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, alignment_of(task.x));
    wanted.set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, alignment_of(added));
    wanted.set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, alignment_of(task.out));
    for (const Form& tried : forms_of(task)) {
      ask_for(product, task, tried);
      cublasLtMatmulHeuristicResult_t result{};
      int found = 0;
      const cublasStatus_t status = cublasLtMatmulAlgoGetHeuristic(
          library_, product.handle, weight.handle, x.handle, residual.handle, out.handle,
          wanted.handle, 1, &result, &found);
      if (status != CUBLAS_STATUS_SUCCESS || found == 0) continue;
      if (algorithms_.size() >= kAlgorithmsKept) algorithms_.clear();
      return &(algorithms_[key] = {result.algo, tried});
    }
    device_.fail({ErrorCode::unsupported, "cuBLASLt has no product of " +
                                              shape_text(task.rows, task.inputs) + " and " +
                                              shape_text(task.inputs, task.outputs)});
    return nullptr;
  }

  void check(cublasStatus_t status) {
    if (status != CUBLAS_STATUS_SUCCESS)
      device_.fail({ErrorCode::internal,
                    std::string("cuBLASLt failed: ") + cublasLtGetStatusString(status)});
  }

  Device& device_;
  cublasLtHandle_t library_ = nullptr;
  tensor::Buffer& workspace_;
  bool scales_ = device_.compute_capability() == kScalingCapability;
  std::map<Key, Choice> algorithms_;
};

}  // namespace

template <class T>
std::unique_ptr<Product> make_product(Device& device, tensor::Buffer& workspace) {
  return std::make_unique<LibraryProduct<T>>(device, workspace);
}
template std::unique_ptr<Product> make_product<float>(Device&, tensor::Buffer&);
template std::unique_ptr<Product> make_product<Bfloat16>(Device&, tensor::Buffer&);
template std::unique_ptr<Product> make_product<Half>(Device&, tensor::Buffer&);
template std::unique_ptr<Product> make_product<Fp8>(Device&, tensor::Buffer&);

}  // namespace sheaf::kernels::cuda
