#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "cli/http_client.h"

namespace sheaf::cli {

struct EmbeddedBatch {
  std::vector<std::string> texts;
  std::vector<float> vectors;  // [texts, dimensions], row-major
  std::uint32_t dimensions = 0;
};

// What turns the texts of `sheaf embed` into vectors. Several batches may be under way, so that
// reading, tokenizing, computing and writing go on side by side. One thread.
class Embedder {
 public:
  virtual ~Embedder() = default;
  // Batches that may be submitted before the first of them is received.
  virtual std::size_t window() const = 0;
  virtual Status submit(std::vector<std::string> texts) = 0;
  // The oldest batch submitted and not yet received; waits for it.
  virtual Result<EmbeddedBatch> receive() = 0;
};

// By a `sheaf-replica embed` process of its own, on the model's files in `folder`: the same
// preparation of texts and the same vectors as a server's.
struct OfflineEmbedderOptions {
  std::string replica_program;
  std::string folder;
  std::uint32_t max_length = 0;  // 0: the model's own
  std::string prompt_name;       // empty: the model's default
};
Result<std::unique_ptr<Embedder>> make_offline_embedder(const OfflineEmbedderOptions& options);

struct RemoteEmbedderOptions {
  ServerAddress address;
  std::string model;  // empty: the server's default
  std::string api_key;
  std::string prompt_name;  // empty: the model's default
};
// By a running server over HTTP. Refusals for the moment (429, 503) are tried again for a minute.
std::unique_ptr<Embedder> make_remote_embedder(RemoteEmbedderOptions options);

}  // namespace sheaf::cli
