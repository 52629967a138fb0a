#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "fleet/fleet.h"
#include "router/prepare.h"
#include "router/router.h"

namespace sheaf::router {

// A request between embed() and its callback: the payload that the core never sees.
struct OpenRequest : std::enable_shared_from_this<OpenRequest> {
  core::RequestId id = 0;
  std::size_t model = 0;
  EmbedRequest request;
  EmbedCallback callback;
  TimeUs arrived_us = 0;
  TimeUs tokenize_us = 0;
  std::uint64_t characters = 0;
  std::uint32_t dimensions = 0;

  PreparedInputs inputs;                 // set once, before the core hears of the request
  std::vector<float> vectors;            // [inputs, dimensions], filled row by row
  std::vector<std::vector<float>> rows;  // in their place for outputs of varying size
  std::uint64_t answer_floats = 0;       // of these, counted before they come or as they do
  bool counted = false;                  // by the metrics, as a request that has started

  std::string name() const { return request.id.empty() ? std::to_string(id) : request.id; }
  fleet::BatchItem batch_item(std::uint32_t index) const {
    return {.ids = inputs.ids_of(index),
            .normalize = request.normalize,
            .dimensions = request.dimensions ? dimensions : 0,
            .second_at = inputs.second_at[index],
            .output = wire_output(request.output)};
  }
  void store_row(std::uint32_t index, std::span<const float> row) {
    if (request.output == model::Output::vector)
      std::copy_n(row.data(), dimensions, vectors.data() + std::size_t{index} * dimensions);
    else
      rows[index].assign(row.begin(), row.end());
  }

  static channel::Output wire_output(model::Output output) {
    switch (output) {
      case model::Output::sparse:
        return channel::Output::sparse;
      case model::Output::tokens:
        return channel::Output::tokens;
      case model::Output::vector:
        break;
    }
    return channel::Output::vector;
  }
};

}  // namespace sheaf::router
