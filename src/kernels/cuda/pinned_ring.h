#pragma once

#include <cuda_runtime.h>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <utility>

namespace sheaf::kernels::cuda {

// Copies between the host's memory and a card's by way of two pinned blocks, which the card reads
// and writes by itself while the processor goes on. For one stream and one thread. Returns what the
// runtime said first.
class PinnedRing {
 public:
  PinnedRing() = default;
  PinnedRing(const PinnedRing&) = delete;
  PinnedRing& operator=(const PinnedRing&) = delete;
  ~PinnedRing() {
    for (Block& block : blocks_) {
      if (block.read != nullptr) cudaEventDestroy(block.read);
      cudaFreeHost(block.bytes);
    }
  }

  // Waits only where both blocks are full of what the card has not read yet.
  cudaError_t write(const void* host, std::size_t bytes, void* to, cudaStream_t stream) {
    const auto* from = static_cast<const std::byte*>(host);
    auto* target = static_cast<std::byte*>(to);
    cudaError_t error = prepare();
    while (bytes > 0 && error == cudaSuccess) {
      if (used_ == kBlockBytes) error = turn(stream);
      if (error != cudaSuccess) break;
      const std::size_t part = std::min(bytes, kBlockBytes - used_);
      std::byte* const pinned = blocks_[block_].bytes + used_;
      std::memcpy(pinned, from, part);
      error = cudaMemcpyAsync(target, pinned, part, cudaMemcpyHostToDevice, stream);
      used_ += part;
      from += part;
      target += part;
      bytes -= part;
    }
    return error;
  }

  // Waits for all that the stream was given before.
  cudaError_t read(const void* from, std::size_t bytes, void* host, cudaStream_t stream) {
    const auto* source = static_cast<const std::byte*>(from);
    auto* target = static_cast<std::byte*>(host);
    cudaError_t error = prepare();
    if (error == cudaSuccess) error = cudaStreamSynchronize(stream);
    used_ = 0;  // the card has read all
    while (bytes > 0 && error == cudaSuccess) {
      const std::size_t part = std::min(bytes, kBlockBytes);
      std::byte* const pinned = blocks_[block_].bytes;
      error = cudaMemcpyAsync(pinned, source, part, cudaMemcpyDeviceToHost, stream);
      if (error == cudaSuccess) error = cudaStreamSynchronize(stream);
      if (error == cudaSuccess) std::memcpy(target, pinned, part);
      source += part;
      target += part;
      bytes -= part;
    }
    return error;
  }

 private:
  static constexpr std::size_t kBlockBytes = std::size_t{4} << 20;

  struct Block {
    std::byte* bytes = nullptr;
    cudaEvent_t read = nullptr;  // when the card has read what it held
  };

  cudaError_t prepare() {
    if (is_prepared_) return cudaSuccess;
    for (Block& block : blocks_) {
      void* bytes = nullptr;
      if (const cudaError_t error = cudaMallocHost(&bytes, kBlockBytes); error != cudaSuccess)
        return error;
      block.bytes = static_cast<std::byte*>(bytes);
      const unsigned flags = cudaEventBlockingSync | cudaEventDisableTiming;
      if (const cudaError_t error = cudaEventCreateWithFlags(&block.read, flags);
          error != cudaSuccess)
        return error;
    }
    is_prepared_ = true;
    return cudaSuccess;
  }

  // Goes on in the other block, once the card has read it.
  cudaError_t turn(cudaStream_t stream) {
    const cudaError_t error = cudaEventRecord(blocks_[block_].read, stream);
    block_ = 1 - block_;
    used_ = 0;
    return error != cudaSuccess ? error : cudaEventSynchronize(blocks_[block_].read);
  }

  Block blocks_[2];
  bool is_prepared_ = false;
  int block_ = 0;         // that is being filled
  std::size_t used_ = 0;  // of it
};

}  // namespace sheaf::kernels::cuda
