#pragma once

#include "compress/graph.h"
#include "compress/options.h"
#include "compress/progress.h"

#include <functional>
#include <string>
#include <vector>

namespace niwaki {

class Dataset;
class Statistics;
struct ProcessGroup;

enum class Outcome { changed, skipped };

/// What a pass did to one node: a skip has a reason, a metric that was not measured is absent.
struct NodeReport {
  std::string node, op;
  Outcome outcome = Outcome::skipped;
  std::string code, reason;
  Json metrics = Json::object();
};

struct PassReport {
  std::string pass;
  std::vector<NodeReport> nodes;
  std::vector<std::pair<std::string, std::string>> changes;   // what of the input is not in the output bit for bit, and why
  Strings notes;
  Json details = Json::object();             // of the whole pass: losses per epoch
  bool changed = false;
  bool may_regrow = false;                   // the pass that trains next may move the zeros this one made
  double seconds = 0;
  int64_t bytes_before = 0, bytes_after = 0;

  void change(const std::string& node, Json metrics = Json::object()) { nodes.push_back({node, "", Outcome::changed, "", "", std::move(metrics)}); }
  void skip(const std::string& node, const std::string& why) { nodes.push_back({node, "", Outcome::skipped, "", why}); }
  /// The reason of the first skip of this node, or "".
  std::string reason(const std::string& node) const;
};

struct Needs {
  bool calibration = false;
  bool training = false;                     // samples to train on
  int opset = 0;                             // 0: any
};

struct PassContext {
  PassReport& report;
  Progress& progress;
  const Dataset* calibration = nullptr;      // set when needed
  std::vector<std::string> keep, only;       // patterns of --keep and --only, checked before
  at::Device device = at::kCPU;
  uint64_t seed = 0;                         // the only source of randomness
  double original_macs = 0;                  // of the model as it was read; 0: not known
  const Dataset* training = nullptr;         // set when needed
  const Graph* teacher = nullptr;            // the model to learn from: the one as it was read, or another; null: none is known
  std::string checkpoint = "";               // where long work keeps what it needs to go on after a stop; "": nowhere
  bool trains_next = false;                  // but for clean-ups, the next pass trains
  const Graph* unmasked = nullptr;           // the model before the last pass, where that one made zeros that may move; null: none
  const ProcessGroup* group = nullptr;       // the processes that train together; null: this one alone
};

struct Pass {
  std::string name;
  Json options;                              // as resolved, defaults included
  Needs needs;
  std::function<void(Graph&, PassContext&)> run;
};

struct PassEntry {
  std::string name, help;
  std::vector<OptionText> options;
  std::function<Pass(const Json& options)> make;   // checks the options
};

/// The passes by name, in alphabetical order.
class PassTable {
 public:
  template <typename O>
  void add(const std::string& name, const std::string& help, void (*run)(Graph&, const O&, PassContext&)) {
    const auto make = [name, run](const Json& json) {
      const O options = parse_options<O>(json);
      return Pass{name, options_json(options), options.needs(), [options, run](Graph& graph, PassContext& context) { run(graph, options, context); }};
    };
    entries_.push_back({name, help, options_text<O>(), make});
  }
  const std::vector<PassEntry>& entries() const { return entries_; }
  /// The pass with these options bound; E2003 with the nearest name where there is none.
  Pass make(const std::string& name, const Json& options = Json::object()) const;

 private:
  std::vector<PassEntry> entries_;
};

/// Nodes that `keep` leaves out or `only` does not name; patterns: glob on labels, `op:Conv`, `re:^layer4`.
bool is_selected(const Graph& graph, NodeId node, const std::vector<std::string>& keep, const std::vector<std::string>& only);
/// E2007 with the three nearest names for a pattern that matches no node.
void require_matches(const Graph& graph, const std::vector<std::string>& patterns, const std::string& flag);

}  // namespace niwaki
