#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/result.h"

namespace sheaf::model {

enum class Architecture {  // weights' names
  bert,
  deberta,
  decoder,
  distilbert,
  gemma3,
  gte,
  jina_bert,
  jina_code,
  jina_flash,
  modernbert,
  mpnet,
  nomic,
};
enum class Task { embed, classify };
// What a text is answered with: one vector (of a classifier: a score a label), weights of some
// words of the vocabulary, or a vector for each token.
enum class Output { vector, sparse, tokens };
enum class Pooling { cls, mean, max, mean_sqrt_len, weighted_mean, last_token };

std::string_view name_of(Architecture architecture);  // "bert"
std::string_view name_of(Task task);                  // "embed"
std::string_view name_of(Output output);              // "vector", "sparse", "tokens"
std::string_view name_of(Pooling pooling);  // TEI's words: "cls", "mean", "last_token", ...

// What two vectors are compared by: the cosine of their angle, their product, or one of two
// distances, taken negative so that more is nearer.
enum class Similarity { cosine, dot, euclidean, manhattan };
std::string_view name_of(Similarity similarity);  // "cosine", ...

// How the angles of rotary positions are stretched for texts longer than the model was trained on.
enum class RotaryScaling { none, dynamic, linear, llama3, longrope, ntk, yarn };

// Rotary positions: pair i of a head of 2 * pairs turns by theta^(-i / pairs) from a token to the
// next, less if scaled.
struct RotarySpec {
  double theta = 0;     // 0: no rotary positions
  double fraction = 1;  // of a head's values that turn, the first ones
  RotaryScaling scaling = RotaryScaling::none;
  double factor = 1;  // by which a scaled pair turns more slowly
  // llama3 and yarn scale pairs that turn at most low_turns times within trained_positions, leave
  // those that turn at least high_turns times, and the others in between: llama3 by their turns,
  // yarn by their numbers, with whole_pairs from a whole number to a whole number.
  double low_turns = 1;
  double high_turns = 4;
  bool whole_pairs = true;
  // dynamic scales texts that are longer than this, each by its own length; longrope has factors
  // for them. A text counts alone: transformers goes by the longest of a batch, which would make a
  // vector depend on its neighbours.
  double trained_positions = 8192;
  // longrope: by which each pair turns more slowly, in texts of trained_positions and in longer
  // ones.
  std::vector<double> short_factors, long_factors;
  double amplitude = 1;  // of turned values (yarn, longrope)

  // Pairs that turn of a head of `head_size` values.
  std::size_t pairs(std::uint32_t head_size) const {
    return static_cast<std::size_t>(head_size * fraction) / 2;
  }
  // Whether a text of so many tokens turns otherwise than shorter ones.
  bool turns_alone(std::size_t tokens) const {
    return (scaling == RotaryScaling::dynamic || scaling == RotaryScaling::longrope) &&
           static_cast<double>(tokens) > trained_positions;
  }
};

// Attention by distance, as DeBERTa has it: the distance of query and key chooses one of rows()
// vectors, which the layers of a Transformer layer turn into keys, queries or both.
struct RelativeSpec {
  std::uint32_t reach = 0;     // distances each way that are told apart; 0: nothing of all this
  std::uint32_t buckets = 0;   // vectors each way, far distances sharing them; 0: each has its own
  bool keys = false;           // that queries look for ("c2p")
  bool queries = false;        // that keys look for ("p2c")
  bool shared_layers = false;  // by the layers that make keys and queries of tokens
  bool normalized = false;     // the vectors, before that

  std::uint32_t rows() const { return 2 * (buckets > 0 ? buckets : reach); }
};

enum class DenseActivation { none, gelu, relu, silu, tanh };

// A product that takes what pooling gives further: a Dense module of sentence-transformers, or a
// layer of a classifier's head.
struct DenseSpec {
  std::string folder;  // of its own file within the model's folder; empty: it is in the model's
  std::string name;    // of its weights
  std::string norm;    // of a LayerNorm without shift behind it; empty: none
  std::uint32_t inputs = 0;
  std::uint32_t outputs = 0;
  bool bias = true;
  DenseActivation activation = DenseActivation::tanh;
  // Not empty: `name` is a table [vocab_size, inputs], of which these are the weight: one row, or
  // one less another.
  std::vector<std::uint32_t> rows;
};

// How a model that was taught by conversation is asked about a pair: texts around an instruction,
// the query and the document, in this order. Only where a part ends may a tokenizer be relied upon
// to separate tokens: the white space before a word often belongs to it.
struct PairTemplate {
  std::string before_instruction;  // all of them empty: there is no template
  // Around the instruction; left out with it where there is none.
  std::string instruction_begin, instruction_end;
  std::string instruction;  // where no other is given; may be empty
  std::string before_query;
  std::string after_query;  // ends a part
  std::string before_document;
  std::string after_document;  // is a part; never cut off

  bool empty() const { return after_document.empty(); }
};

// The head of a masked language model, which says of each token how well every word would stand in
// its place, as Formal et al., "SPLADE" (2021), make a sparse vector of it: a text's weight of a
// word is the largest (or the sum) over its tokens of log(1 + max(0, logit)).
struct WordHeadSpec {
  DenseSpec transform;     // before the product with the words; without name: there is no such head
  bool norm_shift = true;  // whether the transform's norm has one
  std::string decoder;     // the product's own weights; empty: the word embeddings
  std::string bias;        // its tensor's whole name
  bool sum = false;
  std::uint32_t logs = 1;  // times log(1 + x) is taken
};

// What a model is, read from its folder without touching a weight's bytes: config.json,
// modules.json and the modules' own, sentence_bert_config.json, config_sentence_transformers.json,
// and the headers of the weights. Plain value.
struct ModelSpec {
  Architecture architecture = Architecture::bert;
  std::string model_type;  // as config.json says it

  std::uint32_t hidden_size = 0;
  std::uint32_t layers = 0;
  std::uint32_t heads = 0;
  std::uint32_t kv_heads = 0;   // heads of keys and values; each serves heads / kv_heads
  std::uint32_t head_size = 0;  // heads * head_size need not be hidden_size
  std::uint32_t intermediate_size = 0;
  std::uint32_t vocab_size = 0;
  std::uint32_t type_vocab_size = 0;   // 0: no token types
  std::uint32_t positions = 0;         // longest text, tokens
  std::uint32_t position_offset = 0;   // row of the position table that the first token gets
  bool position_table = true;          // BERT's kin: positions are part of the embedding
  std::uint32_t distance_buckets = 0;  // of the attention bias by distance; 0: none
  bool linear_distance = false;        // such a bias that falls evenly (ALiBi)
  RelativeSpec relative;
  bool causal = false;                // a token sees those before it, not those after
  RotarySpec rotary;                  // of layers that see the whole text
  RotarySpec local_rotary;            // of layers that see a window
  std::vector<bool> local_layers;     // which layers see a window; empty: none
  std::uint32_t local_before = 0;     // tokens before its own that a token of such a layer sees
  std::uint32_t local_after = 0;      // and after
  bool query_key_value_bias = false;  // of families whose biases, gates and norms vary:
  bool attention_output_bias = false;
  bool up_bias = false;
  bool down_bias = false;
  bool gated = false;                // the up projection has a second half that gates the first
  std::uint32_t experts = 0;         // up and down projections side by side; 0: just one of each
  std::uint32_t experts_chosen = 0;  // by a token
  std::uint32_t expert_every = 0;    // layers 1, 1 + n, 1 + 2 n, ... have experts
  bool head_norms = false;           // each head of queries and keys is normalized
  double query_scalar = 0;           // by whose root such queries are divided; 0: the head's size
  float norm_epsilon = 1e-12f;
  std::string activation;  // "gelu", ...

  std::vector<Pooling> pooling;  // several are concatenated
  bool pools_prompt = true;      // false: pooling leaves a prompt's tokens out
  std::vector<DenseSpec> dense;  // after pooling, one after the other
  WordHeadSpec word_head;        // in place of pooling
  DenseSpec token_weight;        // bge-m3's sparse head: a word weighs what its best token does
  DenseSpec token_vectors;  // its multi-vector head, for all tokens but the first; both without
                            // name: none
  std::vector<std::uint32_t> special_ids;  // that token_weight leaves out, ascending
  std::string unread_heads;                // heads stored in files that are not read
  bool adapters = false;  // there are some, one for each task; not built, the model is without them
  std::vector<std::string> labels;  // what a classifier's outputs mean; empty: the model embeds
  bool independent_labels = false;  // several may hold: sigmoid of each, no softmax
  // What a cross-encoder's file wants done to its score, a class of torch; empty: it says nothing.
  std::string score_activation;
  bool normalize = false;        // the model's own last module is Normalize
  std::uint32_t dimensions = 0;  // of what it answers: truncate_dim included; labels
  std::uint32_t max_length = 0;  // tokens a text by default, special tokens included
  bool do_lower_case = false;
  // Tokens that stand around each text where tokenizer.json puts none; empty: none.
  std::string opening_token, closing_token;
  bool cut_left = false;  // of texts that are too long the beginning is cut off
  // Its files have limits for queries and for documents, which sentence-transformers goes by only
  // where it is told which a text is. Not obeyed.
  bool limits_by_task = false;
  std::map<std::string, std::string> prompts;
  std::string default_prompt_name;
  Similarity similarity = Similarity::cosine;
  PairTemplate pair_template;
  std::string weights_dtype;  // "F32", as stored
  std::uint64_t parameter_count = 0;
  std::uint64_t weights_bytes_fp32 = 0;  // without the output matrix of language models
  // What was taken for granted where the files leave it open, and what says otherwise; a clause.
  // Empty: nothing.
  std::string assumed;

  Task task() const { return labels.empty() ? Task::embed : Task::classify; }
  bool is_splade() const { return !word_head.transform.name.empty(); }
  bool gives(Output output) const;
  std::vector<Output> outputs() const;  // all that it gives; a classifier: its scores, as a vector
  // What it is asked for where nothing else is said.
  Output main_output() const { return is_splade() ? Output::sparse : Output::vector; }
  // Numbers of a row: of a vector, of a token's vector, or of a sparse row the words there are.
  std::uint32_t width_of(Output output) const;
  // Of one label: its score orders documents for a query.
  bool is_reranker() const { return labels.size() == 1; }
  bool has_experts(std::uint32_t layer) const { return experts > 0 && layer % expert_every == 1; }
  bool is_local(std::uint32_t layer) const { return !local_layers.empty() && local_layers[layer]; }
};

std::string_view kind_of(const ModelSpec& spec);  // "embedder", "reranker", "classifier"
// Heads with files of their own besides the weights: "sparse_linear", "colbert_linear".
std::vector<std::string> extra_heads_of(const ModelSpec& spec);
// What whoever serves it should know: what was assumed of its files, which of them are not read and
// why. A clause each.
std::vector<std::string> notes_on(const ModelSpec& spec);

// Errors name the file and the field. `folder` holds config.json and so on. `pooling`, unless
// empty, is how a model that embeds is to pool in place of what its files say: "splade" (the head
// of a masked language model, largest weights), or a kind of Pooling as TEI or
// sentence-transformers spell it; or "rerank", by which a bare language model is a reranker in the
// way of Qwen3-Reranker. Refused of classifiers, and of models without such a head.
Result<ModelSpec> read_spec(const std::string& folder, const std::string& pooling = "");
// That `pooling` is such a word.
Status check_pooling(std::string_view pooling);

// A file that a model's folder needs to be served.
struct ModelFile {
  std::string path;
  bool required = false;
  std::string remedy;  // what helps where a required one is missing
};
// Those that say what else there is,
std::vector<ModelFile> description_files();
// and what else there is, once `folder` holds those: files of modules, then the weights.
Result<std::vector<ModelFile>> further_files(const std::string& folder);

}  // namespace sheaf::model
