#include "kernels/cuda/nccl.h"

#include <dlfcn.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "base/clock.h"

namespace sheaf::kernels::cuda {
namespace {

constexpr const char* kFile = "libnccl.so.2";
constexpr auto kLook = std::chrono::milliseconds(20);

// pip puts cuBLASLt into nvidia/cu13/lib and NCCL into nvidia/nccl/lib; empty: no cuBLASLt.
std::string folder_of_pip() {
  Dl_info info{};
  void* const known = dlsym(RTLD_DEFAULT, "cublasLtGetVersion");
  if (known == nullptr || dladdr(known, &info) == 0 || info.dli_fname == nullptr) return {};
  std::string folder = info.dli_fname;
  for (int i = 0; i < 3; ++i) folder.resize(std::min(folder.rfind('/'), folder.size()));
  return folder.empty() ? folder : folder + "/nccl/lib";
}

void* open_file(std::string& tried) {
  if (const char* named = std::getenv("SHEAF_NCCL"); named != nullptr && *named != 0) {
    tried = named;
    return dlopen(named, RTLD_NOW | RTLD_LOCAL);
  }
  tried = std::string(kFile) + " where the loader looks";
  if (void* const opened = dlopen(kFile, RTLD_NOW | RTLD_LOCAL)) return opened;
  const std::string folder = folder_of_pip();
  if (folder.empty()) return nullptr;
  tried += " or in " + folder;
  return dlopen((folder + "/" + kFile).c_str(), RTLD_NOW | RTLD_LOCAL);
}

}  // namespace

Result<nccl::Functions> open_nccl() {
  std::string tried;
  void* const opened = open_file(tried);
  if (opened == nullptr)
    return Error{
        ErrorCode::unsupported,
        "there is no NCCL (" + tried +
            "), by which cards add up: `pip install "
            "nvidia-nccl-cu13` (cu12 before driver 580) brings it, or SHEAF_NCCL names it"};
  nccl::Functions library;
  const char* missing = nullptr;
#define SHEAF_NCCL_LOOK_UP(function, result, parameters)                                     \
  library.function = reinterpret_cast<decltype(library.function)>(dlsym(opened, #function)); \
  if (library.function == nullptr) missing = #function;
  SHEAF_NCCL_FUNCTIONS(SHEAF_NCCL_LOOK_UP)
#undef SHEAF_NCCL_LOOK_UP
  if (missing == nullptr) return library;
  return Error{ErrorCode::unsupported, tried + " is no NCCL of 2.14 or later: it lacks " + missing};
}

namespace {

std::string seconds_text(int ms) {
  return ms % 1000 == 0 ? std::to_string(ms / 1000) + " s" : std::to_string(ms) + " ms";
}

class NcclSums final : public Sums {
 public:
  NcclSums(const nccl::Functions& library, Communicator& group, nccl::Stream stream,
           NcclPatience patience)
      : library_(library), group_(group), stream_(stream), patience_(patience) {}
  NcclSums(const NcclSums&) = delete;
  NcclSums& operator=(const NcclSums&) = delete;
  ~NcclSums() override {
    {
      const std::lock_guard lock(mutex_);
      ending_ = true;
    }
    wake_.notify_all();
    if (watcher_.joinable()) watcher_.join();
    abort();
  }

  // Not blocking, so that ranks that do not come are waited for only so long.
  Status start() {
    SHEAF_ASSIGN(const nccl::UniqueId id, shared_id());
    nccl::Config config;
    const std::lock_guard lock(mutex_);
    const nccl::Return code = library_.ncclCommInitRankConfig(
        &comm_, static_cast<int>(group_.ranks()), id, static_cast<int>(group_.rank()), &config);
    SHEAF_TRY(settle(code, "start", patience_.start_ms));
    watcher_ = std::thread([this] { watch(); });
    return {};
  }

  Status add_up(tensor::MatrixSpan x) override {
    const std::lock_guard lock(mutex_);
    SHEAF_TRY(status_);
    const nccl::Return code = library_.ncclAllReduce(x.data, x.data, x.rows * x.columns,
                                                     nccl::kFloat32, nccl::kSum, comm_, stream_);
    return settle(code, "take a sum", patience_.sum_ms);
  }

  Status status() const override {
    const std::lock_guard lock(mutex_);
    return status_;
  }

 private:
  Result<nccl::UniqueId> shared_id() {
    nccl::UniqueId id{};
    std::vector<std::byte> message(sizeof id);
    if (group_.rank() == 0) {
      const nccl::Return code = library_.ncclGetUniqueId(&id);
      if (code != nccl::kSuccess) return refused("name a group", code);
      std::memcpy(message.data(), &id, sizeof id);
    }
    SHEAF_TRY(group_.share(message));
    if (message.size() != sizeof id)
      return Error{ErrorCode::corrupt, "the name of NCCL's group has " +
                                           std::to_string(message.size()) + " bytes, not 128"};
    std::memcpy(&id, message.data(), sizeof id);
    return id;
  }

  // The rest hold the mutex.

  // Until the library has done what `code` says of it. The stream may be given nothing more before.
  Status settle(nccl::Return code, const char* what, int patience_ms) {
    const TimeUs until = monotonic_us() + TimeUs{patience_ms} * 1000;
    while (code == nccl::kInProgress && monotonic_us() < until) {
      std::this_thread::yield();
      const nccl::Return asked = library_.ncclCommGetAsyncError(comm_, &code);
      if (asked != nccl::kSuccess) code = asked;
    }
    if (code == nccl::kInProgress)
      fail({ErrorCode::unavailable, "NCCL did not " + std::string(what) + " within " +
                                        seconds_text(patience_ms) + ": another rank did not come"});
    else if (code != nccl::kSuccess)
      fail(refused(what, code));
    return status_;
  }

  Error refused(const char* what, nccl::Return code) const {
    const char* const detail = library_.ncclGetLastError(comm_);
    std::string text = "NCCL cannot " + std::string(what) + ": ";
    text += library_.ncclGetErrorString(code);
    if (detail != nullptr && *detail != 0) text += std::string(" (") + detail + ")";
    return {code == kRemoteError ? ErrorCode::unavailable : ErrorCode::internal, std::move(text)};
  }

  // Known before the stream goes on without its sum.
  void fail(Error error) {
    status_ = std::move(error);
    abort();
  }
  void abort() {
    if (comm_ != nullptr) library_.ncclCommAbort(std::exchange(comm_, nullptr));
  }

  // Of another rank's end the library tells only whoever asks.
  void watch() {
    std::unique_lock lock(mutex_);
    while (!wake_.wait_for(lock, kLook, [this] { return ending_; })) {
      if (!status_.ok()) return;
      nccl::Return code = nccl::kSuccess;
      library_.ncclCommGetAsyncError(comm_, &code);
      if (code != nccl::kSuccess && code != nccl::kInProgress) fail(refused("add up", code));
    }
  }

  static constexpr nccl::Return kRemoteError = 6;

  const nccl::Functions library_;
  Communicator& group_;
  const nccl::Stream stream_;
  const NcclPatience patience_;
  mutable std::mutex mutex_;
  nccl::Comm comm_ = nullptr;  // null: none any more
  Status status_;
  std::condition_variable wake_;
  bool ending_ = false;
  std::thread watcher_;
};

}  // namespace

std::string version_text(const nccl::Functions& library) {
  int version = 0;
  if (library.ncclGetVersion(&version) != nccl::kSuccess) return "of no version";
  return std::to_string(version / 10000) + "." + std::to_string(version / 100 % 100) + "." +
         std::to_string(version % 100);
}

Result<std::unique_ptr<Sums>> join_by_nccl(const nccl::Functions& library, Communicator& group,
                                           nccl::Stream stream, NcclPatience patience) {
  auto sums = std::make_unique<NcclSums>(library, group, stream, patience);
  SHEAF_TRY(sums->start());
  return std::unique_ptr<Sums>(std::move(sums));
}

}  // namespace sheaf::kernels::cuda
