#include "compress/cli/command.h"

/// What the program calls once it has loaded this library: runs a parsed command line, returns its exit code.
extern "C" int niwaki_run_command(int argc, const char* const* argv) { return niwaki::run_command(argc, argv); }
