#pragma once

#include "compress/cli/command_line.h"
#include "compress/cli/job.h"
#include "compress/cli/progress_view.h"

#include <fstream>
#include <memory>
#include <string>

namespace niwaki {

/// What the user sees: results on stdout, everything else on stderr; with `--json` stdout is one document.
class Terminal {
 public:
  explicit Terminal(const CommandLine& line);

  bool is_json() const { return is_json_; }
  int columns() const { return columns_; }
  bool is_unicode() const { return is_unicode_; }
  bool is_colored() const { return is_colored_; }
  int verbosity() const { return verbosity_; }

  /// A result in words; nothing with -q or --json.
  void print(const std::string& text);
  /// A result as a document; nothing without --json.
  void print_json(const Json& document);
  /// A result whose very purpose is its text (a report, a page): printed even with -q.
  void print_always(const std::string& text);
  /// Something to know, on stderr; nothing with -q.
  void tell(const std::string& text);
  /// A warning or missed gate of report.json: `{code, message, found, help}`.
  void tell_message(const Json& message);
  /// "niwaki 0.1.0 · 2 threads · avx512-vnni · target onnxruntime-cpu · seed 0".
  void header(const std::string& target, uint64_t seed);
  /// Feeds of a job into this terminal.
  JobEvents events();
  /// For commands with one stage of their own.
  Progress::Show show();
  void end_progress();

 private:
  std::string plain_text(std::string text) const;
  bool is_json_, is_quiet_, is_unicode_, is_colored_;
  int columns_ = 80, verbosity_ = 0;
  std::ofstream log_;
  std::unique_ptr<ProgressView> view_;
};

/// "avx512-vnni", "avx2", ... of this machine.
std::string cpu_features();

}  // namespace niwaki
