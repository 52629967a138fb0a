// The replica: one running copy of a model, linked with the kernels. See src/replica/program.h.

#include "engine/engine.h"
#include "replica/program.h"

#ifdef SHEAF_FAULT_HOOKS
#include "fault_hooks.h"
#endif

int main(int argc, char** argv) {
  sheaf::replica::Backend backend{sheaf::engine::pack, sheaf::engine::Engine::open,
                                  sheaf::engine::footprint_of, sheaf::engine::backend_name};
#ifdef SHEAF_FAULT_HOOKS
  backend.open = sheaf::faults::with_hooks(backend.open);
#endif
  return sheaf::replica::run_program(argc, argv, backend);
}
