// A model that is in fp8 in some of its layers.
#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "engine/engine.h"
#include "engine/footprint.h"
#include "engine/pack.h"
#include "kernels/ops.h"

namespace sheaf::engine {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using Layers = std::vector<std::uint32_t>;

std::string first_of(tensor::Dtype dtype) { return backend_name(dtype); }

Result<Mapping> pack_layers(const std::string& folder, const std::string& backend,
                            model::Fp8Layers layers, model::Shard shard = {}) {
  SHEAF_ASSIGN(const Fd fd, make_memfd("fp8_layers_test", 0));
  SHEAF_TRY(pack_for(backend, folder, fd.get(), "", shard, std::move(layers)));
  SHEAF_ASSIGN(const std::size_t bytes, file_size(fd.get()));
  return Mapping::map(fd.get(), bytes, Mapping::Access::read_only);
}

// Of a few texts, one behind the other.
Result<std::vector<float>> answers_of(Engine& engine) {
  std::vector<std::int32_t> ids(37);
  for (std::size_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<std::int32_t>(3 + i * 7 % 50);
  const std::array<std::uint32_t, 4> bounds = {0, 5, 25, 37};
  const std::vector<ItemOptions> options(3, {.normalize = false});
  Rows rows;
  SHEAF_TRY(engine.embed({ids, bounds, options}, rows));
  return std::vector<float>(rows.values().begin(), rows.values().end());
}

Result<std::vector<float>> answers_in(const std::string& folder, const std::string& backend,
                                      model::Fp8Layers layers = {}) {
  SHEAF_ASSIGN(Mapping packed, pack_layers(folder, backend, std::move(layers)));
  SHEAF_ASSIGN(const auto engine, Engine::open(std::move(packed), {}));
  return answers_of(*engine);
}
