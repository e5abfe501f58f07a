#include "compress/cli/terminal.h"

#include "compress/cli/message.h"
#include "compress/parallel.h"
#include "compress/report/numbers.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include <sys/ioctl.h>
#include <unistd.h>

namespace niwaki {
namespace {

bool locale_is_utf8() {
  for (const char* name : {"LC_ALL", "LC_CTYPE", "LANG"}) {
    const char* value = std::getenv(name);
    if (value == nullptr || *value == 0) continue;
    const std::string text = value;
    return text.find("UTF-8") != std::string::npos || text.find("utf8") != std::string::npos || text.find("UTF8") != std::string::npos;
  }
  return !isatty(2);                         // nothing is said: a log takes UTF-8
}

int terminal_columns() {
  winsize size = {};
  for (const int descriptor : {1, 2}) {
    if (isatty(descriptor) && ioctl(descriptor, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) return std::clamp<int>(size.ws_col, 20, 200);
  }
  const char* variable = std::getenv("COLUMNS");
  const int asked = variable == nullptr ? 0 : std::atoi(variable);
  return asked > 0 ? std::clamp(asked, 20, 200) : 80;
}

ProgressView::Mode progress_mode(const CommandLine& line, bool is_quiet) {
  using Mode = ProgressView::Mode;
  const std::string choice = line.text("progress", "auto");
  if (choice == "json") return Mode::json;
  if (choice == "none" || is_quiet) return Mode::none;
  if (choice == "bar") return Mode::bar;
  if (choice == "lines") return Mode::lines;
  const char* kind = std::getenv("TERM");
  return isatty(2) && !(kind != nullptr && std::strcmp(kind, "dumb") == 0) ? Mode::bar : Mode::lines;
}

void replace_all(std::string& text, const std::string& from, const std::string& to) {
  for (size_t at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size())) text.replace(at, from.size(), to);
}

/// "input[N,3,32,32]" of an entry of inputs[].
std::string interface_words(const Json& value) {
  std::string dims;
  for (const Json& dim : value.value("shape", Json::array())) {
    dims += (dims.empty() ? "" : ",") + (dim.is_number() ? std::to_string(dim.get<int64_t>()) : dim.is_string() ? dim.get<std::string>() : "?");
  }
  return value.value("name", "") + "[" + dims + "]";
}

/// The lines under the header: what is read, what will be done, what it needs.
std::vector<std::pair<std::string, std::string>> planned_lines(const Json& facts) {
  std::vector<std::pair<std::string, std::string>> lines;
  if (facts.contains("model") && facts["model"].is_object()) {
    const Json& model = facts["model"];
    std::string text = cat(facts.value("name", ""), "  ", size_text(model.value("file_bytes", 0.0)), " · ", grouped(model.value("weights", 0.0)), " weights · opset ", model.value("opset", 0));
    const Json inputs = model.value("inputs", Json::array());
    for (size_t i = 0; i < std::min<size_t>(inputs.size(), 3); ++i) text += (i == 0 ? " · " : " ") + interface_words(inputs[i]);
    lines.emplace_back("model", text + (inputs.size() > 3 ? cat(" +", inputs.size() - 3) : ""));
  }
  if (facts.contains("plan") && facts["plan"].is_string()) {
    lines.emplace_back("plan", facts["plan"].get<std::string>());
  } else if (facts.contains("passes") && facts["passes"].is_number()) {
    const int64_t samples = facts.value("samples", int64_t{0});
    lines.emplace_back("plan", cat(facts["passes"].get<int64_t>(), " passes", samples > 0 ? cat(" · ", grouped(static_cast<double>(samples)), " calibration samples") : ""));
  }
  if (facts.contains("needs") && facts["needs"].is_string()) lines.emplace_back("needs", facts["needs"].get<std::string>());
  return lines;
}

void write(FILE* stream, const std::string& text) {
  std::fputs(text.c_str(), stream);
  std::fflush(stream);
}

}  // namespace

Terminal::Terminal(const CommandLine& line)
    : is_json_(line.has("json")), is_quiet_(line.has("quiet")), is_unicode_(locale_is_utf8()),
      is_colored_(wants_color(line.text("color", "auto"), 1)), columns_(terminal_columns()),
      verbosity_(static_cast<int>(line.list("verbose").size())) {
  if (line.has("log")) {
    log_.open(line.text("log"), std::ios::app);
    if (!log_) throw EnvironmentError("E4007", cat("cannot write '", printable(line.text("log")), "'"), {.help = "check the path of --log"});
  }
  view_ = std::make_unique<ProgressView>(ProgressView::Style{progress_mode(line, is_quiet_), columns_, is_unicode_});
}

std::string Terminal::plain_text(std::string text) const {
  if (is_unicode_) return text;
  replace_all(text, " · ", ", ");
  replace_all(text, "─", "-");
  replace_all(text, "…", "..");
  return text;
}

void Terminal::print(const std::string& text) {
  if (log_) log_ << text << std::flush;
  if (is_json_ || is_quiet_) return;
  view_->clear();
  write(stdout, plain_text(text));
}

void Terminal::print_always(const std::string& text) {
  view_->clear();
  write(stdout, text);
}

void Terminal::print_json(const Json& document) {
  if (!is_json_) return;
  view_->clear();
  write(stdout, document.dump(2, ' ', false, Json::error_handler_t::replace) + "\n");
}

void Terminal::tell(const std::string& text) {
  if (log_) log_ << text << std::flush;
  if (is_quiet_) return;
  view_->clear();
  write(stderr, plain_text(text));
}

void Terminal::tell_message(const Json& message) {
  const std::string code = message.value("code", "");
  const bool is_error = code.starts_with("E");
  if (is_quiet_ && !is_error) return;
  std::string text = cat(is_error ? "error[" : code.starts_with("W") ? "warning[" : "note[", code, "]: ", printable(message.value("message", message.value("text", "")), 400), "\n");
  if (const std::string found = message.value("found", ""); !found.empty()) text += "   |  " + printable(found, 400) + "\n";
  if (const std::string help = message.value("help", ""); !help.empty()) text += "help: " + printable(help, 400) + "\n";
  view_->clear();
  if (log_) log_ << text << std::flush;
  if (is_colored_ && isatty(2)) text = (is_error ? "\x1b[1;31m" : "\x1b[1;33m") + text.substr(0, text.find(']') + 1) + "\x1b[0m" + text.substr(text.find(']') + 1);
  write(stderr, text);
}

void Terminal::header(const std::string& target, uint64_t seed) {
  const int threads = num_threads();
  std::string text = cat("niwaki ", version(), " · ", threads, threads == 1 ? " thread" : " threads", " · ", cpu_features());
  if (!target.empty()) text += " · target " + target;
  tell(text + cat(" · seed ", seed, "\n"));
}

JobEvents Terminal::events() {
  JobEvents events;
  events.planned = [this](const Json& facts) {
    for (const auto& [label, text] : planned_lines(facts)) tell("  " + label + std::string(8 - label.size(), ' ') + printable(text, 300) + "\n");
  };
  events.stage_begins = [this](int index, int count, const std::string& stage) { view_->begin(index, count, stage); };
  events.stage_ends = [this](int index, int count, const std::string& stage, double seconds) { view_->end(index, count, stage, seconds); };
  events.progress = show();
  return events;
}

Progress::Show Terminal::show() {
  return [this](const Progress::State& state) { view_->advance(state); };
}

void Terminal::end_progress() { view_->clear(); }

std::string cpu_features() {
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx512vnni")) return "avx512-vnni";
  if (__builtin_cpu_supports("avx512f")) return "avx512";
  if (__builtin_cpu_supports("avx2")) return "avx2";
  return "x86-64";
#elif defined(__aarch64__)
  return "arm64";
#else
  return "cpu";
#endif
}

}  // namespace niwaki
