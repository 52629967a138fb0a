#include "kernels/cuda/product.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cmath>
#include <limits>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "base/log_line.h"
#include "kernels/cuda/product_search.h"
#include "tensor/buffer.h"

#if defined(__CUDACC__)
#include <cublasLt.h>
static_assert(CUBLAS_VER_MAJOR == SHEAF_CUDA_MAJOR, "headers of another library than is linked");
#else
#include "kernels/cuda/emulation/cublaslt.h"
#endif

namespace sheaf::kernels::cuda {
namespace {

// Batches differ in their rows: a plan of one is kept for the next, but not for ever.
constexpr std::size_t kPlansKept = 4096;
// Of the library's algorithms that are timed.
constexpr std::size_t kProposals = 8;

template <class T>
constexpr cudaDataType_t type_of() {
  if constexpr (std::is_same_v<T, float>) return CUDA_R_32F;
  if constexpr (std::is_same_v<T, Fp8>) return CUDA_R_8F_E4M3;
  return std::is_same_v<T, Half> ? CUDA_R_16F : CUDA_R_16BF;
}

// The library's descriptions, each destroyed as it was made.
struct Description {
  cublasLtMatmulDesc_t handle = nullptr;
  bool is_whole = true;  // whether the library has taken all that was set
  explicit Description(cublasComputeType_t compute) {
    cublasLtMatmulDescCreate(&handle, compute, CUDA_R_32F);
  }
  Description(const Description&) = delete;
  Description& operator=(const Description&) = delete;
  ~Description() { cublasLtMatmulDescDestroy(handle); }
  template <class Value>
  void set(cublasLtMatmulDescAttributes_t attribute, const Value& value) {
    if (cublasLtMatmulDescSetAttribute(handle, attribute, &value, sizeof value) !=
        CUBLAS_STATUS_SUCCESS)
      is_whole = false;
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
  LibraryProduct(Device& device, tensor::Buffer& workspace, CardFindings& findings)
      : device_(device), workspace_(workspace), findings_(findings) {
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
    Plan* const plan = plan_for(task);
    if (plan == nullptr) return Left::nothing;
    const Form form = plan->form;
    if (form.left == Left::all) return Left::all;
    const cublasStatus_t status = multiply(*plan, plan->algorithm, task);
    if (is_refusal(form, status)) {
      if (scales(task).exchange(false)) say_refused(task);
      plans_.clear();
      return run(task);
    }
    check(status);
    return form.left;
  }

 private:
  // What the library's choice may depend on.
  using Key = std::array<std::size_t, 14>;
  // How much of a task the library is asked for.
  struct Form {
    cublasLtEpilogue_t epilogue = CUBLASLT_EPILOGUE_DEFAULT;
    bool scaled = false;  // by the task's scales
    Left left = Left::nothing;
  };
  // All that the library is told of products with one key.
  struct Plan {
    Description product;
    Layout weight, x, residual, out;
    Form form;
    cublasLtMatmulAlgo_t algorithm{};

    explicit Plan(const ProductTask& task)
        : product(CUBLAS_COMPUTE_32F),
          weight(type_of<T>(), task.inputs, task.outputs, task.weight_stride),
          x(type_of<T>(), task.inputs, task.rows, task.x_stride),
          residual(addends_of(task), task.outputs, task.rows,
                   task.residual != nullptr ? task.residual_stride : task.out_stride),
          out(results_of(task), task.outputs, task.rows, task.out_stride) {
      product.set(CUBLASLT_MATMUL_DESC_TRANSA, CUBLAS_OP_T);
      if (kFp8 && task.bias != nullptr)
        product.set(CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, addends_of(task));
    }
    void ask_for(const Form& wanted, const ProductTask& task) {
      form = wanted;
      product.set(CUBLASLT_MATMUL_DESC_EPILOGUE, form.epilogue);
      if constexpr (kFp8) {
        const cublasLtMatmulMatrixScale_t mode = form.scaled && !task.one_scale
                                                     ? CUBLASLT_MATMUL_MATRIX_SCALE_OUTER_VEC_32F
                                                     : CUBLASLT_MATMUL_MATRIX_SCALE_SCALAR_32F;
        product.set(CUBLASLT_MATMUL_DESC_A_SCALE_MODE, mode);
        product.set(CUBLASLT_MATMUL_DESC_B_SCALE_MODE, mode);
      }
    }
    // What differs between products with one key. A scalar that is not there is 1.
    void take_vectors_of(const ProductTask& task) {
      if (task.bias != nullptr) product.set(CUBLASLT_MATMUL_DESC_BIAS_POINTER, task.bias);
      if constexpr (kFp8) {
        const float* const none = nullptr;
        product.set(CUBLASLT_MATMUL_DESC_A_SCALE_POINTER, form.scaled ? task.weight_scales : none);
        product.set(CUBLASLT_MATMUL_DESC_B_SCALE_POINTER, form.scaled ? task.x_scales : none);
        if (task.out_scale_inverse != nullptr)
          product.set(CUBLASLT_MATMUL_DESC_D_SCALE_POINTER, task.out_scale_inverse);
      }
    }
  };
  // The library multiplies by vectors of scales on one generation alone, and from cuBLAS 12.9 on
  // (cuBLAS 13.2, "Outer Vector Scaling for FP8 Data Types"; notes of the release 12.9).
  static bool has_vectors_on(int compute_capability) {
    return compute_capability == 90 && cublasLtGetVersion() >= 120900;
  }
  // Whether the library scales such products, as far as any backend of the card knows.
  std::atomic<bool>& scales(const ProductTask& task) const {
    if (task.results == Dtype::fp8) return findings_.codes;
    return task.one_scale ? findings_.scalars : findings_.vectors;
  }
  bool may_scale(const ProductTask& task) const {
    const bool by_vectors = task.results != Dtype::fp8 && !task.one_scale;
    return scales(task) && (has_vectors_ || !by_vectors);
  }
  // Scales may be refused as late as when the product is run, as cublasLt.h says of its pointers to
  // them. From then on no backend of the card asks for such.
  bool is_refusal(const Form& form, cublasStatus_t status) const {
    return form.scaled &&
           (status == CUBLAS_STATUS_NOT_SUPPORTED || status == CUBLAS_STATUS_INVALID_VALUE ||
            status == CUBLAS_STATUS_ARCH_MISMATCH);
  }

  static void say_refused(const ProductTask& task) {
    if (!log_enabled(LogLevel::warn)) return;
    const std::string what = task.results == Dtype::fp8 ? "to write fp8" : "to scale";
    write_log(LogLevel::warn, "cuBLASLt refuses a product in fp8 that it was " + what +
                                  ": from now on a kernel behind such products does that");
  }

  // The library takes a bias in the type of the results, which is why there are biases in both, or
  // of results in fp8 in bfloat16 (cuBLAS 13.2, the table of types of cublasLtMatmul()).
  static cudaDataType_t addends_of(const ProductTask& task) {
    constexpr cudaDataType_t kRounded = kFp8 ? CUDA_R_16BF : type_of<T>();
    return task.results == Dtype::float32 ? CUDA_R_32F : kRounded;
  }
  static cudaDataType_t results_of(const ProductTask& task) {
    return task.results == Dtype::fp8 ? CUDA_R_8F_E4M3 : addends_of(task);
  }
  // Read where there is a residual. Where there is none it is `out`, if that is of the same type:
  // the library takes what is added in the place of the results if both are described alike.
  static const void* added_of(const ProductTask& task) {
    if (task.residual != nullptr) return task.residual;
    return task.results == Dtype::fp8 ? nullptr : task.out;
  }
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
  std::vector<Form> forms_of(const ProductTask& task) {
    const bool bias = task.bias != nullptr;
    std::vector<Form> forms;
    // Behind fp8 the library adds biases in bfloat16 alone, also to results in float32.
    const bool adds_bias = !kFp8 || !bias || task.results != Dtype::float32;
    const bool whole = task.results == Dtype::fp8;
    if (!kFp8 || (may_scale(task) && adds_bias)) {
      if (library_activates(task.activation))
        forms.push_back({epilogue_of(task.activation, bias), kFp8, Left::nothing});
      if (task.activation != Activation::none && !whole)
        forms.push_back({epilogue_of(Activation::none, bias), kFp8, Left::activation});
    }
    if (kFp8) forms.push_back({.left = whole ? Left::all : Left::scales_and_all_behind});
    return forms;
  }
  static Key key_of(const ProductTask& task, std::size_t rows) {
    return {rows,
            task.inputs,
            task.outputs,
            task.x_stride,
            task.residual_stride,
            task.out_stride,
            task.residual != nullptr,
            static_cast<std::size_t>(epilogue_of(task.activation, task.bias != nullptr)),
            static_cast<std::size_t>(task.results),
            task.one_scale,
            alignment_of(task.weight),
            alignment_of(task.x),
            alignment_of(added_of(task)),
            alignment_of(task.out)};
  }

  cublasStatus_t multiply(Plan& plan, const cublasLtMatmulAlgo_t& algorithm,
                          const ProductTask& task) {
    plan.take_vectors_of(task);
    const bool adds = task.residual != nullptr && plan.form.left != Left::scales_and_all_behind;
    const float one = 1;
    const float beta = adds ? 1 : 0;
    cublasStatus_t status = CUBLAS_STATUS_SUCCESS;
    device_.give([&](Stream stream) {
      const cublasStatus_t said = cublasLtMatmul(
          library_, plan.product.handle, &one, task.weight, plan.weight.handle, task.x,
          plan.x.handle, &beta, added_of(task), plan.residual.handle, task.out, plan.out.handle,
          &algorithm, workspace_.reserve(0), kWorkspaceBytes, stream);
      if (stream == device_.stream()) status = said;
      return said == CUBLAS_STATUS_SUCCESS;
    });
    return status;
  }

  // Null, and the device failed: the library has no such product.
  Plan* plan_for(const ProductTask& task) {
    const Key key = key_of(task, task.rows);
    if (const auto found = plans_.find(key); found != plans_.end()) return found->second.get();
    auto plan = std::make_unique<Plan>(task);
    // Where there is none in a form, one in the next.
    for (const Form& form : forms_of(task)) {
      plan->ask_for(form, task);
      if (form.left == Left::all) return (plans_[key] = std::move(plan)).get();
      plan->take_vectors_of(task);  // at whose addresses the library looks
      if (!plan->product.is_whole) continue;
      const std::span<const cublasLtMatmulHeuristicResult_t> proposals = propose(*plan, task);
      if (proposals.empty()) continue;
      plan->algorithm = choose(*plan, task, proposals);
      if (plans_.size() >= kPlansKept) plans_.clear();
      return (plans_[key] = std::move(plan)).get();
    }
    device_.fail({ErrorCode::unsupported, "cuBLASLt has no product of " +
                                              shape_text(task.rows, task.inputs) + " and " +
                                              shape_text(task.inputs, task.outputs)});
    return nullptr;
  }

  // What the library holds for fast, what it holds for fastest first; none where it has no such
  // product. Until the next call.
  std::span<const cublasLtMatmulHeuristicResult_t> propose(const Plan& plan,
                                                           const ProductTask& task) {
    Preference wanted;
    wanted.set(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, kWorkspaceBytes);
    wanted.set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, alignment_of(task.weight));
    wanted.set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, alignment_of(task.x));
    wanted.set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES,
               alignment_of(task.residual != nullptr ? task.residual : task.out));
    wanted.set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, alignment_of(task.out));
    int found = 0;
    const cublasStatus_t status = cublasLtMatmulAlgoGetHeuristic(
        library_, plan.product.handle, plan.weight.handle, plan.x.handle, plan.residual.handle,
        plan.out.handle, wanted.handle, static_cast<int>(proposals_.size()), proposals_.data(),
        &found);
    if (status != CUBLAS_STATUS_SUCCESS) return {};
    const auto end = proposals_.begin() + found;
    const auto useless = std::remove_if(proposals_.begin(), end, [](const auto& proposal) {
      return proposal.state != CUBLAS_STATUS_SUCCESS;
    });
    return {proposals_.begin(), useless};
  }

  // The fastest of them, by the clock, once for all batches of about so many rows, on whichever
  // backend they come first. What is timed writes `out`, which the product itself then does again;
  // a residual that lies there would be added more than once, so that the first is taken.
  cublasLtMatmulAlgo_t choose(Plan& plan, const ProductTask& task,
                              std::span<const cublasLtMatmulHeuristicResult_t> proposals) {
    if (task.residual == task.out) return proposals.front().algo;
    const std::vector<std::size_t> likes = likes_of(plan.form, task);
    if (const auto found = findings_.algorithms.find(likes)) {
      const auto algorithm = std::bit_cast<cublasLtMatmulAlgo_t>(*found);
      if (runs(plan, algorithm)) return algorithm;
    }
    std::array<float, kProposals> times{};
    for (std::size_t i = 0; i < proposals.size(); ++i)
      times[i] = time(plan, proposals[i].algo, task);
    const std::size_t chosen = fastest(std::span(times).first(proposals.size()));
    const cublasLtMatmulAlgo_t& own = proposals[chosen].algo;
    if (!device_.status().ok() || std::isinf(times[chosen])) return own;  // nothing was found
    const auto kept = std::bit_cast<cublasLtMatmulAlgo_t>(
        findings_.algorithms.keep(likes, std::bit_cast<AlgorithmWords>(own)));
    return runs(plan, kept) ? kept : own;
  }
  // The same of batches of about as many rows. What is left says whether the library scales.
  static std::vector<std::size_t> likes_of(const Form& form, const ProductTask& task) {
    std::vector<std::size_t> likes = {type_of<T>(), static_cast<std::size_t>(form.left)};
    const Key key = key_of(task, rows_of_search(task.rows));
    likes.insert(likes.end(), key.begin(), key.end());
    return likes;
  }
  // Whether an algorithm that was found for its likes will do.
  bool runs(const Plan& plan, const cublasLtMatmulAlgo_t& algorithm) const {
    cublasLtMatmulHeuristicResult_t result{};
    return cublasLtMatmulAlgoCheck(library_, plan.product.handle, plan.weight.handle, plan.x.handle,
                                   plan.residual.handle, plan.out.handle, &algorithm,
                                   &result) == CUBLAS_STATUS_SUCCESS &&
           result.workspaceSize <= kWorkspaceBytes;
  }
  // The shortest of a few, after one that has the card load its code; infinite where it fails.
  float time(Plan& plan, const cublasLtMatmulAlgo_t& algorithm, const ProductTask& task) {
    if (multiply(plan, algorithm, task) != CUBLAS_STATUS_SUCCESS)
      return std::numeric_limits<float>::infinity();
    return shortest([&] { return device_.time([&] { check(multiply(plan, algorithm, task)); }); });
  }

  void check(cublasStatus_t status) {
    if (status != CUBLAS_STATUS_SUCCESS)
      device_.fail({ErrorCode::internal,
                    std::string("cuBLASLt failed: ") + cublasLtGetStatusString(status)});
  }

  Device& device_;
  cublasLtHandle_t library_ = nullptr;
  tensor::Buffer& workspace_;
  const bool has_vectors_ = has_vectors_on(device_.compute_capability());
  std::array<cublasLtMatmulHeuristicResult_t, kProposals> proposals_;
  std::map<Key, std::unique_ptr<Plan>> plans_;  // by rows as they are
  CardFindings& findings_;                      // algorithms by likes_of()
};

}  // namespace

template <class T>
std::unique_ptr<Product> make_product(Device& device, tensor::Buffer& workspace,
                                      CardFindings& findings) {
  return std::make_unique<LibraryProduct<T>>(device, workspace, findings);
}
template std::unique_ptr<Product> make_product<float>(Device&, tensor::Buffer&, CardFindings&);
template std::unique_ptr<Product> make_product<Bfloat16>(Device&, tensor::Buffer&, CardFindings&);
template std::unique_ptr<Product> make_product<Half>(Device&, tensor::Buffer&, CardFindings&);
template std::unique_ptr<Product> make_product<Fp8>(Device&, tensor::Buffer&, CardFindings&);

}  // namespace sheaf::kernels::cuda
