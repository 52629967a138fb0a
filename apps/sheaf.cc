#include "cli/cli.h"

int main(int argument_count, char** arguments) {
  return sheaf::cli::run(argument_count, arguments);
}
