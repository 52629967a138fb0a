#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"
#include "cli/embedder.h"
#include "cli/flag_set.h"
#include "cli/text_source.h"

// What `sheaf embed` and `sheaf rerank` have in common: lines in, and a model that answers them,
// here or on a server.
namespace sheaf::cli {

struct TextSettings {
  std::string default_model;  // where none is named; empty: one must be, or a server
  std::string model;
  std::string revision;
  std::string server;
  std::string api_key;
  std::string pooling;
  std::string dtype = "auto";
  std::string device = "auto";
  std::uint32_t batch_size = 64;
  std::uint32_t max_length = 0;
  std::string replica_program;
  std::string card_program;
};

// Where the model is: --model, --server. `otherwise` is what the help says of a model not named.
void add_model_flags(FlagSet& flags, TextSettings& settings, std::string otherwise);
// The others, in no one's first line.
void add_text_flags(FlagSet& flags, TextSettings& settings);

// Once the flags are applied: chooses between here and the server, refuses what belongs to the
// other one, and finds out which model it is to be.
Status check_text_settings(const FlagSet& flags, TextSettings& settings);

Result<std::unique_ptr<Embedder>> open_embedder(const TextSettings& settings, Question question);

// Hands all lines of `source` to `embedder` and each batch, in order, to `take`, with a progress
// bar named `command`. Says on standard error how many lines were broken.
Status answer_lines(std::string_view command, TextSource& source, Embedder& embedder,
                    std::uint32_t batch_size,
                    const std::function<Status(const EmbeddedBatch&)>& take);

}  // namespace sheaf::cli
