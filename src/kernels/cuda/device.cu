#include <atomic>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "kernels/cuda/backend.h"
#include "kernels/cuda/card_graph.h"
#include "kernels/cuda/cuda.h"
#include "kernels/cuda/device.h"
#include "kernels/cuda/driver_memory.h"
#include "kernels/cuda/memory_share.h"
#include "kernels/cuda/nccl.h"
#include "kernels/cuda/passes.h"
#include "kernels/cuda/pinned_ring.h"
#include "kernels/cuda/shared_weights.h"

namespace sheaf::kernels::cuda {
namespace {

Error cuda_error(const char* what, cudaError_t error) {
  return {ErrorCode::internal, std::string(what) + ": " + cudaGetErrorString(error)};
}

// How far a stream has come, by events behind every few operations, and the wait for its end.
// Progress is raised as they pass: a card that works long through what it was given is told from
// one that hangs. Whoever waits sleeps after a moment, since a thread that only looks would take a
// core from others and seem to compute.
class Milestones {
 public:
  explicit Milestones(std::atomic<std::uint64_t>* progress) : progress_(progress) {}
  Milestones(const Milestones&) = delete;
  Milestones& operator=(const Milestones&) = delete;
  ~Milestones() {
    for (const cudaEvent_t event : events_) cudaEventDestroy(event);
  }

  cudaError_t begin_operation(cudaStream_t stream) {
    const bool due = ++operations_ % kOperations == 0 && pending_ < kPendingMax;
    return due ? set(stream) : cudaSuccess;
  }
  cudaError_t await_end(cudaStream_t stream) {
    cudaError_t error = set(stream);
    for (std::size_t i = 0; i < pending_ && error == cudaSuccess; ++i) {
      error = await(events_[i]);
      if (progress_ != nullptr) progress_->fetch_add(1, std::memory_order_relaxed);
    }
    pending_ = 0;
    return error;
  }

 private:
  static constexpr std::size_t kOperations = 8;
  static constexpr std::size_t kPendingMax = 4096;  // of a host that is far ahead
  static constexpr TimeUs kLookUs = 200;

  cudaError_t set(cudaStream_t stream) {
    if (pending_ == events_.size()) {
      cudaEvent_t event = nullptr;
      const unsigned flags = cudaEventBlockingSync | cudaEventDisableTiming;
      if (const cudaError_t error = cudaEventCreateWithFlags(&event, flags); error != cudaSuccess)
        return error;
      events_.push_back(event);
    }
    return cudaEventRecord(events_[pending_++], stream);
  }
  static cudaError_t await(cudaEvent_t event) {
    for (const TimeUs until = monotonic_us() + kLookUs; monotonic_us() < until;) {
      if (const cudaError_t error = cudaEventQuery(event); error != cudaErrorNotReady) return error;
      cudaGetLastError();  // which that would be, and stop all that comes after
    }
    return cudaEventSynchronize(event);
  }

  std::atomic<std::uint64_t>* const progress_;
  std::vector<cudaEvent_t> events_;  // of which the first pending_ are set, in their order
  std::size_t pending_ = 0;
  std::size_t operations_ = 0;
};

// One that knows when it passed.
struct Event {
  cudaEvent_t handle = nullptr;
  Event() { cudaEventCreate(&handle); }
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  ~Event() {
    if (handle != nullptr) cudaEventDestroy(handle);
  }
};

class RealCard final : public Device {
 public:
  // Makes the context, which takes a second or so where the process has none.
  explicit RealCard(const BackendOptions& options)
      : share_(options.lanes), milestones_(options.progress), weights_copy_(options.weights_copy) {
    check("cannot make a stream on the card",
          cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking));
  }
  RealCard(const RealCard&) = delete;
  RealCard& operator=(const RealCard&) = delete;
  ~RealCard() override {
    if (stream_ != nullptr) cudaStreamDestroy(stream_);
  }

  void* allocate(std::size_t bytes) override {
    passes_.forget();
    if (!share_.has_room(bytes)) {
      fail(share_.refusal(bytes));
      return nullptr;
    }
    void* block = nullptr;
    const cudaError_t error = cudaMalloc(&block, bytes);
    if (error == cudaErrorMemoryAllocation)
      fail({ErrorCode::too_large,
            "the card has no room for " + std::to_string(bytes) + " bytes more"});
    check("cannot allocate memory on the card", error);
    if (error != cudaSuccess) return nullptr;
    share_.add(block, bytes);
    return block;
  }
  void release(void* block) override {
    passes_.forget();
    share_.remove(block);
    check("cannot free memory of the card", cudaFree(block));
  }

  void write(const void* host, std::size_t bytes, void* to) override {
    if (passes_.write(host, bytes, to)) return;
    if (bytes >= kPinnedWhereItIsBytes && write_where_it_is(host, bytes, to)) return;
    check("cannot copy to the card", pinned_.write(host, bytes, to, stream_));
  }
  void read(const void* from, std::size_t bytes, void* host) override {
    passes_.finish();
    if (!status().ok()) return;
    check("the card failed", milestones_.await_end(stream_));
    check("cannot copy from the card", pinned_.read(from, bytes, host, stream_));
  }
  const std::byte* share(std::span<const std::byte> host, std::size_t head_bytes) override {
    if (weights_copy_ == nullptr || !status().ok()) return nullptr;
    if (exported_ == nullptr) exported_ = driver_memory();
    const std::byte* const shared =
        share_weights(*this, *exported_, *weights_copy_, host, head_bytes);
    if (shared != nullptr) share_.add_common(host.size());
    return shared;
  }

  Stream stream() const override { return stream_; }
  bool give(const Launch& launch) override { return passes_.give(launch); }
  void begin_pass(std::span<const std::uint32_t> shape) override { passes_.begin(shape); }
  float time(const std::function<void()>& run) override {
    if (passes_.repeats()) return 0;  // nothing is given to the stream
    float milliseconds = 0;
    const Event begun, ended;
    check("cannot time the card", cudaEventRecord(begun.handle, stream_));
    run();
    check("cannot time the card", cudaEventRecord(ended.handle, stream_));
    check("the card failed", cudaEventSynchronize(ended.handle));
    check("cannot time the card", cudaEventElapsedTime(&milliseconds, begun.handle, ended.handle));
    return milliseconds;
  }
  int compute_capability() const override {
    return attribute(cudaDevAttrComputeCapabilityMajor) * 10 +
           attribute(cudaDevAttrComputeCapabilityMinor);
  }
  unsigned multiprocessors() const override {
    return static_cast<unsigned>(attribute(cudaDevAttrMultiProcessorCount));
  }
  std::size_t shared_bytes_max() const override {
    return static_cast<std::size_t>(attribute(cudaDevAttrMaxSharedMemoryPerBlockOptin));
  }
  Result<std::unique_ptr<Sums>> join(Communicator& group) override {
    SHEAF_ASSIGN(const nccl::Functions library, open_nccl());
    return join_by_nccl(library, group, reinterpret_cast<nccl::Stream>(stream_));
  }
  void begin_operation() override {
    if (passes_.repeats()) return;  // nothing is given to the stream yet
    check("cannot set an event on the card", milestones_.begin_operation(stream_));
  }
  // A launch says only here, and a kernel in a later call, that it failed.
  Status status() const override {
    if (status_.ok())
      if (const cudaError_t error = cudaPeekAtLastError(); error != cudaSuccess)
        status_ = cuda_error("the card failed", error);
    return status_;
  }
  void fail(Error error) override {
    if (status_.ok()) status_ = std::move(error);
  }

  bool owns(const void*) const override { return true; }

 private:
  // Weights. What pages cost to be pinned is less than to be copied by the processor; not measured.
  static constexpr std::size_t kPinnedWhereItIsBytes = std::size_t{16} << 20;

  static int attribute(cudaDeviceAttr which) {
    int value = 0;
    cudaDeviceGetAttribute(&value, which, 0);
    return value;
  }

  void check(const char* what, cudaError_t error) {
    if (error != cudaSuccess) fail(cuda_error(what, error));
  }

  // One copy, at the link's rate, of pages as they are: those of a file that may only be read
  // cannot be pinned by every driver. False: they were not, and nothing was copied.
  bool write_where_it_is(const void* host, std::size_t bytes, void* to) {
    void* const pages = const_cast<void*>(host);
    if (cudaHostRegister(pages, bytes, cudaHostRegisterReadOnly) != cudaSuccess) {
      cudaGetLastError();  // which that is, and stops all that comes after
      return false;
    }
    check("cannot copy to the card",
          cudaMemcpyAsync(to, host, bytes, cudaMemcpyHostToDevice, stream_));
    check("the card failed", cudaStreamSynchronize(stream_));
    check("cannot release pages that were copied to the card", cudaHostUnregister(pages));
    return true;
  }

  MemoryShare share_;
  Passes<CardGraph> passes_{*this};
  Milestones milestones_;
  PinnedRing pinned_;
  std::unique_ptr<ExportedMemory> exported_;
  SharedCopy* const weights_copy_;
  cudaStream_t stream_ = nullptr;
  mutable Status status_;
};

static_assert(CUDART_VERSION / 1000 == SHEAF_CUDA_MAJOR, "headers of another CUDA than is linked");

// Loads only on a card for which this build has code.
__global__ void probe() {}

// Compute capability from which on the driver can compile this build's PTX; 0: it has none.
constexpr int kPtx = SHEAF_CUDA_PTX;

Error unusable(std::string why) { return {ErrorCode::unsupported, std::move(why)}; }

std::string version_text(int version) {
  return std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10);
}

Result<int> count_cards() {
  int driver = 0;
  if (cudaDriverGetVersion(&driver) != cudaSuccess || driver == 0)
    return unusable("there is no NVIDIA driver on this machine");
  if (driver / 1000 < CUDART_VERSION / 1000)
    return unusable("the NVIDIA driver is for CUDA " + version_text(driver) +
                    "; this build needs one for " + version_text(CUDART_VERSION / 1000 * 1000));
  int cards = 0;
  if (const cudaError_t error = cudaGetDeviceCount(&cards); error != cudaSuccess || cards == 0)
    return unusable(std::string("there is no CUDA card to be used: ") + cudaGetErrorString(error));
  return cards;
}

Status check_card() {
  SHEAF_ASSIGN(std::ignore, count_cards());
  cudaFuncAttributes attributes;
  const cudaError_t error = cudaFuncGetAttributes(&attributes, probe);
  if (error == cudaSuccess) return {};
  if (error != cudaErrorNoKernelImageForDevice && error != cudaErrorInvalidDeviceFunction)
    return cuda_error("the card cannot be used", error);
  cudaDeviceProp card{};
  cudaGetDeviceProperties(&card, 0);
  return unusable(std::string("this build has no code for ") + card.name + " (compute capability " +
                  std::to_string(card.major) + "." + std::to_string(card.minor) + ")");
}

// "GPU-092b6049-781b-5f99-ae9a-87b610700d58", as NVML names a card. (MIG devices it names
// otherwise.)
std::string uuid_text(const cudaUUID_t& uuid) {
  std::string text = "GPU";
  for (int i = 0; i < 16; ++i) {
    constexpr char kDigits[] = "0123456789abcdef";
    const auto byte = static_cast<unsigned char>(uuid.bytes[i]);
    if (i == 0 || i == 4 || i == 6 || i == 8 || i == 10) text += '-';
    text += kDigits[byte / 16];
    text += kDigits[byte % 16];
  }
  return text;
}

}  // namespace

std::vector<int> compiled_capabilities() {
  constexpr int kHopper = 90;  // compiled as 90a, which runs there alone
  std::vector<int> capabilities;
  for (const int card : {75, 80, 86, 87, 88, 89, 90, 100, 103, 110, 120, 121}) {
    bool runs = kPtx > 0 && card >= kPtx;
    for (const int compiled : {SHEAF_CUDA_CAPABILITIES}) {
      const bool same_generation = compiled / 10 == card / 10 && compiled != kHopper;
      runs = runs || compiled == card || (same_generation && compiled < card);
    }
    if (runs) capabilities.push_back(card);
  }
  return capabilities;
}

Result<std::vector<Card>> find_cards() {
  SHEAF_ASSIGN(const int count, count_cards());
  std::vector<Card> cards;
  for (int i = 0; i < count; ++i) {
    cudaDeviceProp card{};
    if (const cudaError_t error = cudaGetDeviceProperties(&card, i); error != cudaSuccess)
      return cuda_error("a card does not say what it is", error);
    cards.push_back(
        {card.name, uuid_text(card.uuid), card.major * 10 + card.minor, card.totalGlobalMem});
  }
  return cards;
}

Result<std::string> what_adds_up() {
  SHEAF_ASSIGN(const nccl::Functions library, open_nccl());
  return "NCCL " + version_text(library);
}

std::vector<DeviceBackend> card_backends() {
  const auto findings = std::make_shared<CardFindings>();
  std::vector<DeviceBackend> backends;
  for (const CardPrecision& precision : kCardPrecisions) {
    std::string name = "cuda ";
    name += precision.name;
    backends.push_back(
        {name, precision.dtype, [=](BackendOptions options) -> Result<std::unique_ptr<Backend>> {
           SHEAF_TRY(check_card());
           auto card = std::make_unique<RealCard>(options);
           SHEAF_TRY(card->status());
           return make_backend_on(std::move(card), name, precision, options, findings);
         }});
  }
  return backends;
}

}  // namespace sheaf::kernels::cuda
