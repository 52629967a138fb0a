#include <cuda.h>
#include <cuda_runtime.h>

#include <cstdint>
#include <string>
#include <vector>

#include "kernels/cuda/driver_memory.h"

namespace sheaf::kernels::cuda {
namespace {

constexpr CUdevice kCard = 0;
constexpr unsigned kCallsOf = 12000;  // the CUDA version whose forms of the calls are meant
constexpr auto kDescriptor = CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR;

// Asked of the runtime, as nothing is linked with the driver: where there is none the program says
// so. Null: the driver does not have it.
template <class Function>
void find_call(Function*& call, const char* name) {
  void* found = nullptr;
  cudaDriverEntryPointQueryResult result{};
  if (cudaGetDriverEntryPointByVersion(name, &found, kCallsOf, cudaEnableDefault, &result) ==
          cudaSuccess &&
      result == cudaDriverEntryPointSuccess)
    call = reinterpret_cast<Function*>(found);
  cudaGetLastError();  // of one that is not there, which would stop all that comes after
}

struct Calls {
  decltype(cuDeviceGetAttribute)* attribute = nullptr;
  decltype(cuGetErrorName)* error_name = nullptr;
  decltype(cuMemGetAllocationGranularity)* granularity = nullptr;
  decltype(cuMemCreate)* create = nullptr;
  decltype(cuMemRelease)* release = nullptr;
  decltype(cuMemExportToShareableHandle)* export_handle = nullptr;
  decltype(cuMemImportFromShareableHandle)* import_handle = nullptr;
  decltype(cuMemAddressReserve)* reserve = nullptr;
  decltype(cuMemAddressFree)* free = nullptr;
  decltype(cuMemMap)* map = nullptr;
  decltype(cuMemUnmap)* unmap = nullptr;
  decltype(cuMemSetAccess)* set_access = nullptr;

  Calls() {
    find_call(attribute, "cuDeviceGetAttribute");
    find_call(error_name, "cuGetErrorName");
    find_call(granularity, "cuMemGetAllocationGranularity");
    find_call(create, "cuMemCreate");
    find_call(release, "cuMemRelease");
    find_call(export_handle, "cuMemExportToShareableHandle");
    find_call(import_handle, "cuMemImportFromShareableHandle");
    find_call(reserve, "cuMemAddressReserve");
    find_call(free, "cuMemAddressFree");
    find_call(map, "cuMemMap");
    find_call(unmap, "cuMemUnmap");
    find_call(set_access, "cuMemSetAccess");
  }
  bool are_there() const {
    return attribute && error_name && granularity && create && release && export_handle &&
           import_handle && reserve && free && map && unmap && set_access;
  }
};

// Memory of the card by the driver's name for it, which is ours to release. Released too soon
// never: mappings and descriptors keep the memory.
class Handle {
 public:
  Handle(const Calls& calls, CUmemGenericAllocationHandle value) : calls_(calls), value_(value) {}
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;
  ~Handle() { calls_.release(value_); }
  CUmemGenericAllocationHandle value() const { return value_; }

 private:
  const Calls& calls_;
  const CUmemGenericAllocationHandle value_;
};

CUmemAllocationProp properties() {
  CUmemAllocationProp properties{};
  properties.type = CU_MEM_ALLOCATION_TYPE_PINNED;
  properties.requestedHandleTypes = kDescriptor;
  properties.location = {CU_MEM_LOCATION_TYPE_DEVICE, kCard};
  return properties;
}

class DriverMemory final : public ExportedMemory {
 public:
  DriverMemory() = default;
  DriverMemory(const DriverMemory&) = delete;
  DriverMemory& operator=(const DriverMemory&) = delete;
  ~DriverMemory() override {
    for (const Block& block : blocks_) {
      calls_.unmap(block.address, block.bytes);
      calls_.free(block.address, block.bytes);
    }
  }

  Result<ExportedMemory::Block> make(std::size_t bytes) override {
    SHEAF_ASSIGN(const std::size_t whole, whole_bytes(bytes));
    const CUmemAllocationProp wanted = properties();
    CUmemGenericAllocationHandle created = 0;
    const CUresult result = calls_.create(&created, whole, &wanted, 0);
    if (result == CUDA_ERROR_OUT_OF_MEMORY)
      return Error{ErrorCode::too_large, "the card has no room for " + std::to_string(whole) +
                                             " bytes of weights in common"};
    SHEAF_TRY(check("cannot make memory in common on the card", result));
    const Handle handle(calls_, created);
    int descriptor = -1;
    SHEAF_TRY(check("cannot make a descriptor of the card's memory",
                    calls_.export_handle(&descriptor, created, kDescriptor, 0)));
    Fd owned(descriptor);
    SHEAF_ASSIGN(std::byte* const data, place(handle, whole));
    if (const Status allowed = allow(data, whole, CU_MEM_ACCESS_FLAGS_PROT_READWRITE);
        !allowed.ok())
      return take_back(allowed);
    return ExportedMemory::Block{data, std::move(owned)};
  }

  // The driver refuses to map more than there is.
  Result<const std::byte*> map(int descriptor, std::size_t bytes) override {
    SHEAF_ASSIGN(const std::size_t whole, whole_bytes(bytes));
    CUmemGenericAllocationHandle imported = 0;
    void* const value = reinterpret_cast<void*>(static_cast<std::intptr_t>(descriptor));
    SHEAF_TRY(check("cannot take the weights on the card by their descriptor",
                    calls_.import_handle(&imported, value, kDescriptor)));
    const Handle handle(calls_, imported);
    SHEAF_ASSIGN(std::byte* const data, place(handle, whole));
    if (allow(data, whole, CU_MEM_ACCESS_FLAGS_PROT_READ).ok()) return data;
    if (const Status allowed = allow(data, whole, CU_MEM_ACCESS_FLAGS_PROT_READWRITE);
        !allowed.ok())
      return take_back(allowed);
    return data;
  }

 private:
  struct Block {
    CUdeviceptr address = 0;
    std::size_t bytes = 0;
  };

  Status check(const char* what, CUresult result) const {
    if (result == CUDA_SUCCESS) return {};
    const char* name = nullptr;
    calls_.error_name(result, &name);
    return Error{ErrorCode::unsupported,
                 std::string(what) + ": " + (name == nullptr ? "an unknown error" : name)};
  }

  // As many as the card gives out at once.
  Result<std::size_t> whole_bytes(std::size_t bytes) const {
    if (!calls_.are_there())
      return Error{ErrorCode::unsupported, "the driver has no memory in common for processes"};
    for (const auto needed : {CU_DEVICE_ATTRIBUTE_VIRTUAL_MEMORY_MANAGEMENT_SUPPORTED,
                              CU_DEVICE_ATTRIBUTE_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR_SUPPORTED}) {
      int has = 0;
      SHEAF_TRY(check("a card does not say what it can do", calls_.attribute(&has, needed, kCard)));
      if (has == 0)
        return Error{ErrorCode::unsupported, "the card has no memory in common for processes"};
    }
    const CUmemAllocationProp wanted = properties();
    std::size_t step = 0;
    SHEAF_TRY(check("a card does not say how it gives out memory",
                    calls_.granularity(&step, &wanted, CU_MEM_ALLOC_GRANULARITY_MINIMUM)));
    return (bytes + step - 1) / step * step;
  }

  // At addresses of this process, for as long as this object lasts.
  Result<std::byte*> place(const Handle& handle, std::size_t bytes) {
    CUdeviceptr address = 0;
    SHEAF_TRY(check("cannot get addresses for weights on the card",
                    calls_.reserve(&address, bytes, 0, 0, 0)));
    const Status mapped = check("cannot map the weights on the card",
                                calls_.map(address, bytes, 0, handle.value(), 0));
    if (!mapped.ok()) {
      calls_.free(address, bytes);
      return mapped.error();
    }
    blocks_.push_back({address, bytes});
    return reinterpret_cast<std::byte*>(address);
  }

  // What place() gave last, which is of no use.
  Error take_back(const Status& trouble) {
    calls_.unmap(blocks_.back().address, blocks_.back().bytes);
    calls_.free(blocks_.back().address, blocks_.back().bytes);
    blocks_.pop_back();
    return trouble.error();
  }

  Status allow(std::byte* data, std::size_t bytes, CUmemAccess_flags flags) const {
    const CUmemAccessDesc access = {{CU_MEM_LOCATION_TYPE_DEVICE, kCard}, flags};
    return check("cannot use the weights on the card",
                 calls_.set_access(reinterpret_cast<CUdeviceptr>(data), bytes, &access, 1));
  }

  const Calls calls_;
  std::vector<Block> blocks_;
};

}  // namespace

std::unique_ptr<ExportedMemory> driver_memory() { return std::make_unique<DriverMemory>(); }

}  // namespace sheaf::kernels::cuda
