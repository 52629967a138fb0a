// The replica's process, channel and faults around a model without arithmetic, for tests of the
// fleet and the router that need no model (src/replica/fake_engine.h).

#include "fault_hooks.h"
#include "replica/fake_engine.h"
#include "replica/program.h"

int main(int argc, char** argv) {
  return sheaf::replica::run_program(
      argc, argv,
      {sheaf::replica::fake_pack, sheaf::faults::with_hooks(sheaf::replica::fake_open),
       sheaf::replica::fake_footprint, sheaf::replica::fake_backend_name});
}
