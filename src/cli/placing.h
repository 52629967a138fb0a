#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "cli/card_program.h"
#include "cli/serve_settings.h"
#include "cli/slices.h"
#include "router/router.h"
#include "slices/placement.h"

namespace sheaf::cli {

// What there is to compute on, as far as the settings make it matter.
struct Computers {
  std::string replica_program;  // on processor cores
  SlicesHere here;              // no cards without a program for them, whatever the machine has
  std::optional<CardProgram> cards;
  std::string no_cards_because;  // what auto found; empty where cards were out of the question

  // What runs a model's replicas.
  const std::string& program_for(bool on_cards) const {
    return on_cards ? cards->path : replica_program;
  }
  // Whether replicas on cards compute there: false where the processor stands in for simulated
  // ones.
  bool computes_on_cards() const { return cards && !cards->stands_in; }
};

// Looked at before models are fetched, and by one rule:
//   --device cpu    processor cores, and whatever speaks of cards is refused
//   --device cuda   cards, or an error that says why not and what helps
//   --device auto   the same as cuda where cards are spoken of (--num-gpus, --gpu-assignment, or
//                   --slices of a model); else cards if sheaf-replica-cuda is there and says that
//                   it can use one, and the processor if not
// Cards that are taken or too small are none of it: they are refused by place_models(). Whoever can
// do nothing without cards (`only_cards`) is told of no flag that would.
Result<Computers> find_computers(const ServeSettings& settings, bool only_cards = false);

// Whether a model's replicas are to run on cards. Error where its slices are of both kinds, or not
// of that of --device.
Result<bool> runs_on_cards(const ServeSettings& settings, const ModelSetting& model,
                           const Computers& computers);

// Whether its replicas can be divided as it wants. Error where the model has something that the
// number does not divide, or what adds up over cards is not there.
Status check_ranks(const ServeSettings& settings, const ModelSetting& model,
                   const router::ModelConfig& config, const Computers& computers);

// Error where a model is to have several streams and is not on cards, or divided.
Status check_streams(const ServeSettings& settings, const ModelSetting& model,
                     const router::ModelConfig& config, const Computers& computers);

// Divides the layers of a model that is to have several stages among them, by what they take in its
// dtype, and by the memory of the machine or the smallest of the cards that would do; what "auto"
// stands for has to be known. Says who has which; empty: it has one.
Result<std::string> map_layers(const ServeSettings& settings, const ModelSetting& model,
                               const Computers& computers, router::ModelConfig& config);

// Whether a card has instructions for it.
bool multiplies_in(std::string_view dtype, const slices::Gpu& card);

// Error where no card has.
Status check_dtype_of_cards(const std::string& dtype, const std::string& model,
                            const slices::GpuInventory& gpus);

// Where the replicas of a server run.
struct Placing {
  slices::Placement placement;
  std::vector<std::string> warnings;  // for the log
  // Replicas on slices by MPS need their daemons. False on simulated cards without NVIDIA's
  // program, where nothing would come of it.
  bool needs_mps = false;
};

// How many replicas of a model are to share a card or MIG slice (UUID), where `--num-replicas auto`
// knows.
using ReplicasOnDevice = std::map<std::string, std::uint32_t>;

// Places the models, `configs` as settings.models stand, their dtypes no longer "auto", and sets
// how many replicas each has. `on_devices` by model; empty: one a card or MIG slice. What a replica
// takes of a card its program says; where the processor stands in, it is estimated as `sheaf plan
// model` does. Refusals say what is needed, what is there, and what would help.
Result<Placing> place_models(const ServeSettings& settings, const Computers& computers,
                             std::vector<router::ModelConfig>& configs,
                             const std::vector<ReplicasOnDevice>& on_devices = {});

// A row for each replica: slice, memory it needs and may use.
std::string table_of(const Placing& placing, const std::vector<router::ModelConfig>& configs);

// {"cores:0", "2-3", "gpu:0"}, as --slices cuts it at its commas, to {"cores:0,2-3", "gpu:0"}.
std::vector<std::string> join_core_lists(const std::vector<std::string>& words);

}  // namespace sheaf::cli
