#include "model/spec/heads.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <set>
#include <string_view>
#include <utility>

#include "base/mapping.h"
#include "model/spec/config_parts.h"
#include "model/spec/limits.h"
#include "model/spec/safetensors.h"

namespace sheaf::model {

const char* const kTokenHeadFiles[2] = {"sparse_linear.safetensors", "colbert_linear.safetensors"};

namespace {

// The layers' names as transformers saves them. The bias is a tensor of its own where the product
// is tied to the word embeddings.
struct WordHeadRow {
  std::string_view model_type;
  std::string_view dense, norm, decoder, tied_bias;
};
constexpr std::array<WordHeadRow, 7> kWordHeads = {{
    {"bert", "cls.predictions.transform.dense", "cls.predictions.transform.LayerNorm",
     "cls.predictions.decoder", "cls.predictions.bias"},
    {"camembert", "lm_head.dense", "lm_head.layer_norm", "lm_head.decoder", "lm_head.bias"},
    {"distilbert", "vocab_transform", "vocab_layer_norm", "vocab_projector",
     "vocab_projector.bias"},
    {"modernbert", "head.dense", "head.norm", "decoder", "decoder.bias"},
    {"mpnet", "lm_head.dense", "lm_head.layer_norm", "lm_head.decoder", "lm_head.bias"},
    {"roberta", "lm_head.dense", "lm_head.layer_norm", "lm_head.decoder", "lm_head.bias"},
    {"xlm-roberta", "lm_head.dense", "lm_head.layer_norm", "lm_head.decoder", "lm_head.bias"},
}};

// ModernBERT's head can be configured.
Status read_modernbert_head(const JsonObject& config, WordHeadSpec& head) {
  std::string activation;
  SHEAF_TRY(want(config, "classifier_activation", "gelu", activation));
  head.norm_shift = false;
  SHEAF_ASSIGN(head.transform.bias, config.boolean_or("classifier_bias", false));
  SHEAF_ASSIGN(const bool bias, config.boolean_or("decoder_bias", true));
  if (!bias) head.bias.clear();
  return {};
}

// A product of `folder`/`name`.safetensors, of which nothing but the shape is read.
Result<DenseSpec> read_linear(const std::string& folder, const std::string& name,
                              const ModelSpec& spec) {
  const std::string path = folder + "/" + name + ".safetensors";
  SHEAF_ASSIGN(const Mapping file, Mapping::map_file(path));
  SHEAF_ASSIGN(const TensorTable table, TensorTable::parse(file.bytes(), path));
  DenseSpec head{.name = name, .bias = false, .activation = DenseActivation::none};
  for (const TensorEntry& entry : table.entries()) {
    if (entry.name == "bias") head.bias = true;
    if (entry.name != "weight") continue;
    if (entry.shape.size() != 2 || entry.shape[1] != spec.hidden_size || entry.shape[0] < 1 ||
        entry.shape[0] > kMaxIntermediate)
      return Error{ErrorCode::corrupt,
                   fmt::format("{}: tensor 'weight' is no matrix of {} columns, the hidden_size",
                               path, spec.hidden_size)};
    head.inputs = spec.hidden_size;
    head.outputs = static_cast<std::uint32_t>(entry.shape[0]);
  }
  if (head.outputs > 0) return head;
  return Error{ErrorCode::corrupt, path + ": tensor 'weight' is missing"};
}

// XLM-R's, whose vocabularies all begin with them: <s>, <pad>, </s>, <unk>.
Status find_special_ids(const std::string& folder, ModelSpec& spec) {
  if (spec.model_type != "xlm-roberta")
    return Error{ErrorCode::unsupported,
                 fmt::format("{}/{}: is there, but such a head is built for xlm-roberta, not {}",
                             folder, kTokenHeadFiles[0], spec.model_type)};
  spec.special_ids = {0, 1, 2, 3};
  return {};
}

}  // namespace

Status read_word_head(const JsonObject& config, ModelSpec& spec) {
  const auto* row = std::ranges::find(kWordHeads, spec.model_type, &WordHeadRow::model_type);
  if (row == kWordHeads.end())
    return config.unsupported("model_type", "is '" + spec.model_type +
                                                "', of which no head of a masked language model "
                                                "is built");
  SHEAF_ASSIGN(const bool tied, config.boolean_or("tie_word_embeddings", true));
  WordHeadSpec& head = spec.word_head;
  head.transform = {.folder = "",
                    .name = std::string(row->dense),
                    .norm = std::string(row->norm),
                    .inputs = spec.hidden_size,
                    .outputs = spec.hidden_size,
                    .bias = true,
                    .activation = DenseActivation::gelu};
  head.decoder = tied ? "" : row->decoder;
  head.bias = tied ? std::string(row->tied_bias) : std::string(row->decoder) + ".bias";
  return spec.architecture == Architecture::modernbert ? read_modernbert_head(config, head)
                                                       : Status();
}

Status read_splade_pooling(const JsonObject& config, ModelSpec& spec) {
  const auto is_second = [&config](std::string_view field, const char* first,
                                   const char* second) -> Result<bool> {
    SHEAF_ASSIGN(const std::string word, config.text_or(field, first));
    if (word.compare(first) == 0) return false;
    if (word.compare(second) == 0) return true;
    return config.unsupported(field,
                              fmt::format("is '{}'; built are: {}, {}", word, first, second));
  };
  SHEAF_ASSIGN(spec.word_head.sum, is_second("pooling_strategy", "max", "sum"));
  SHEAF_ASSIGN(const bool twice, is_second("activation_function", "relu", "log1p_relu"));
  spec.word_head.logs = twice ? 2 : 1;
  return {};
}

Status read_token_heads(const std::string& folder, ModelSpec& spec) {
  for (const char* file : kTokenHeadFiles) {
    const std::string name(file, std::string_view(file).find('.'));
    if (!file_exists(folder + "/" + file)) {
      if (file_exists(folder + "/" + name + ".pt"))
        spec.unread_heads += (spec.unread_heads.empty() ? "" : ", ") + name + ".pt";
      continue;
    }
    const bool sparse = file == kTokenHeadFiles[0];
    DenseSpec& head = sparse ? spec.token_weight : spec.token_vectors;
    SHEAF_ASSIGN(head, read_linear(folder, name, spec));
    if (!sparse) continue;
    head.activation = DenseActivation::relu;
    if (head.outputs != 1)
      return Error{ErrorCode::corrupt,
                   fmt::format("{}/{}: tensor 'weight' has {} rows; a weight a token is 1", folder,
                               file, head.outputs)};
    SHEAF_TRY(find_special_ids(folder, spec));
  }
  return {};
}

std::string unread_heads_of(const ModelSpec& spec) {
  if (spec.unread_heads.empty()) return "";
  return fmt::format(
      "its heads {} are pickles, which are not read, since a pickle can run code; safetensors of "
      "the same names beside them are, with the tensors weight and bias",
      spec.unread_heads);
}

}  // namespace sheaf::model
