#include <fcntl.h>
#include <unistd.h>

#include "cli/cli.h"

namespace {

// Were one of the three closed, the next file or socket that is opened would get its number, and
// log lines with it.
void open_missing_standard_streams() {
  int fd = 0;
  while (fd <= STDERR_FILENO) {
    fd = ::open("/dev/null", O_RDWR);
    if (fd < 0) return;
  }
  ::close(fd);
}

}  // namespace

int main(int argument_count, char** arguments) {
  open_missing_standard_streams();
  return sheaf::cli::run(argument_count, arguments);
}
