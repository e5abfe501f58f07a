#include "compress/report/report.h"

#include "compress/atomic_file.h"
#include "compress/cli/command.h"
#include "compress/cli/report_file.h"
#include "compress/cli/terminal.h"

#include <filesystem>

namespace niwaki {

int report_command(const CommandLine& line, Terminal& terminal) {
  const std::string output = line.text("output"), path = report_path(line.arguments[0]);
  if (!output.empty()) require_writable_output(output, {path}, line.has("force"), line.has("mkdir"));
  const Json report = read_report(path);
  const std::string text = render(report, line.text("format", terminal.is_json() ? "json" : "md"));
  if (output.empty()) {
    terminal.print_always(text);
    return 0;
  }
  write_file(output, text);
  terminal.print(cat("  wrote  ", printable(output), "\n"));
  terminal.print_json({{"format", line.text("format", "json")}, {"output", printable(output, 4096)}, {"bytes", text.size()}});
  return 0;
}

}  // namespace niwaki
