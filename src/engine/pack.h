#pragma once

#include <memory>
#include <string>

#include "base/result.h"
#include "engine/engine.h"
#include "model/spec/device_map.h"
#include "model/spec/shard.h"

namespace sheaf::engine {

// pack() for a named backend of kernels::backend_names(), for tests and measurements; of one rank's
// part of the model.
Status pack_for(const std::string& backend, const std::string& folder, int fd,
                const std::string& pooling = "", model::Shard shard = {},
                model::Fp8Layers fp8_layers = {});

// pack() of a file whose tensors are all zero, which takes no memory; it checks their names, shapes
// and types and reads nothing of them.
Status pack_outline(const Source& source, int fd);

// What the parts of a model take as pack() would write them, which reads no more than
// pack_outline() does; source.shard is not looked at.
Result<model::PartBytes> part_bytes(const Source& source);

// Engine::open() with operations that compute nothing (kernels/dry_run.h); of a rank's part, too,
// without the others.
Result<std::unique_ptr<Engine>> open_dry(Mapping packed, EngineOptions options);

}  // namespace sheaf::engine
