#pragma once

#include <cuda_runtime.h>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <utility>
#include <vector>

namespace sheaf::kernels::cuda {

// What passes.h asks of a graph, by CUDA's graphs: a stream of its own is captured. Copies come
// from pinned blocks, which a graph reads each time that it is launched.
class CardGraph {
 public:
  CardGraph() {
    const unsigned flags = cudaStreamNonBlocking;
    if (!took(cudaStreamCreateWithFlags(&stream_, flags))) return;
    // Relaxed: meanwhile the pass itself does on its own stream what it likes.
    captures_ = took(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeRelaxed));
  }
  CardGraph(const CardGraph&) = delete;
  CardGraph& operator=(const CardGraph&) = delete;
  ~CardGraph() {
    end_capture();
    if (executable_ != nullptr) cudaGraphExecDestroy(executable_);
    if (graph_ != nullptr) cudaGraphDestroy(graph_);
    if (stream_ != nullptr) cudaStreamDestroy(stream_);
    for (std::byte* const block : pinned_) cudaFreeHost(block);
    cudaGetLastError();  // which a capture that failed left
  }

  cudaStream_t stream() const { return stream_; }
  // Takes back what a launch into the capture set, which is no error of the pass.
  bool ok() { return took(cudaGetLastError()) && ok_; }

  bool write(const void* host, std::size_t bytes, void* to) {
    std::byte* const from = room_for(bytes);
    if (from == nullptr || !ok_) return ok_ = false;
    copies_.push_back({from, bytes, to});
    std::memcpy(from, host, bytes);
    return took(cudaMemcpyAsync(to, from, bytes, cudaMemcpyHostToDevice, stream_));
  }
  bool finish() {
    end_capture();
    // What it takes of the card's memory is taken now, where a failure hurts nobody.
    return ok_ && took(cudaGraphInstantiate(&executable_, graph_, 0)) &&
           took(cudaGraphUpload(executable_, stream_)) && took(cudaStreamSynchronize(stream_));
  }

  bool rewrite(const void* host, std::size_t bytes, void* to) {
    if (next_ == copies_.size()) return false;
    const Copy& copy = copies_[next_++];
    if (copy.bytes != bytes || copy.to != to) return false;
    std::memcpy(copy.from, host, bytes);
    return true;
  }
  bool launch(cudaStream_t stream) {
    const bool all = next_ == copies_.size();
    next_ = 0;
    return all && cudaGraphLaunch(executable_, stream) == cudaSuccess;
  }

 private:
  // Of a block: ids and places of some thousand tokens, four words each.
  static constexpr std::size_t kPinnedBytes = std::size_t{64} << 10;

  struct Copy {
    std::byte* from;
    std::size_t bytes;
    void* to;
  };

  // Pinned, at a multiple of 16; null: there is none.
  std::byte* room_for(std::size_t bytes) {
    const std::size_t whole = (bytes + 15) / 16 * 16;
    if (whole > left_) {
      void* block = nullptr;
      left_ = 0;
      if (!took(cudaMallocHost(&block, std::max(whole, kPinnedBytes)))) return nullptr;
      left_ = std::max(whole, kPinnedBytes);
      pinned_.push_back(static_cast<std::byte*>(block));
      next_byte_ = pinned_.back();
    }
    left_ -= whole;
    return std::exchange(next_byte_, next_byte_ + whole);
  }
  bool took(cudaError_t error) {
    if (error == cudaSuccess) return true;
    cudaGetLastError();
    return ok_ = false;
  }
  void end_capture() {
    if (captures_) took(cudaStreamEndCapture(stream_, &graph_));
    captures_ = false;
  }

  std::vector<std::byte*> pinned_;
  std::byte* next_byte_ = nullptr;  // of the last block, of which left_ are free
  std::size_t left_ = 0;
  std::vector<Copy> copies_;
  std::size_t next_ = 0;  // copy to be rewritten
  cudaStream_t stream_ = nullptr;
  cudaGraph_t graph_ = nullptr;
  cudaGraphExec_t executable_ = nullptr;
  bool captures_ = false;
  bool ok_ = true;
};

}  // namespace sheaf::kernels::cuda
