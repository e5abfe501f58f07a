#include "passes/factorize/measure_units.h"

#include "compress/error.h"
#include "compress/footprint.h"
#include "compress/graph_edit.h"
#include "compress/graph_text.h"
#include "compress/parallel.h"
#include "compress/progress.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <thread>

#include <cstdlib>

namespace niwaki {
namespace {

constexpr int kLeastRounds = 2, kMostRounds = 6;   // each begins with fresh sessions; further ones only while it is not decided
constexpr int kPairs = 20;                   // of blocks, in a round
constexpr double kBlockMs = 3, kRoundSeconds = 2, kWarmUpSeconds = 0.1;
constexpr int64_t kMostBytes = int64_t{3} << 29;   // of a model in one message
constexpr double kPlain = 1.0 / 128;         // a weight: neither subnormal nor large

bool is_activation(const Node& node) {
  static const std::set<std::string> kFused = {"Clip", "Elu", "HardSigmoid", "LeakyRelu", "Relu", "Sigmoid", "Tanh"};
  return is_default_domain(node.domain) && kFused.contains(node.op);
}

/// The node that alone reads the output of `id`, with nothing but constants beside it.
std::optional<NodeId> follower(const Graph& graph, NodeId id) {
  const ValueId made = graph.node(id).outputs[0];
  if (!has_single_use(graph, made)) return std::nullopt;
  const NodeId next = graph.consumers(made).front();
  const auto& nodes = graph.main().nodes;
  const auto& inputs = graph.node(next).inputs;
  const bool is_alone = std::all_of(inputs.begin(), inputs.end(), [&](ValueId input) { return input == made || input == ValueId::absent || graph.constant(input); });
  return is_alone && std::find(nodes.begin(), nodes.end(), next) != nodes.end() ? std::optional(next) : std::nullopt;
}

std::set<NodeId> with_followers(const Graph& graph, const FactorUnit& unit) {
  std::set<NodeId> kept;
  for (NodeId id : unit.node_ids()) {
    kept.insert(id);
    auto next = follower(graph, id);
    if (next && graph.node(id).op == "MatMul" && graph.node(*next).op == "Add") {
      kept.insert(id = *next);
      next = follower(graph, id);
    }
    if (next && is_activation(graph.node(*next))) kept.insert(*next);
  }
  return kept;
}

/// The body of these nodes alone.
Body body_of(const Graph& graph, const std::set<NodeId>& kept) {
  Body body{.name = "unit"};
  std::set<ValueId> seen{ValueId::absent};
  for (const NodeId id : graph.main().nodes) {
    if (!kept.contains(id)) continue;
    body.nodes.push_back(id);
    for (const ValueId input : graph.node(id).inputs) {
      if (seen.insert(input).second) (graph.constant(input) ? body.constants : body.inputs).push_back(input);
    }
    for (const ValueId output : graph.node(id).outputs) {
      seen.insert(output);
      const auto readers = graph.consumers(output);
      if (std::none_of(readers.begin(), readers.end(), [&](NodeId reader) { return kept.contains(reader); })) body.outputs.push_back(output);
    }
  }
  return body;
}

void name_by_place(Graph& graph) {
  int count = 0;
  const Body& body = graph.main();
  for (const auto* ids : {&body.inputs, &body.constants}) {
    for (const ValueId id : *ids) graph.rename_value(id, cat("v", ++count));
  }
  for (const NodeId id : std::vector(body.nodes)) {
    graph.set_node_name(id, cat("n", ++count));
    for (const ValueId output : graph.node(id).outputs) graph.rename_value(output, cat("v", ++count));
  }
}

/// All weights alike: only then equal text means equal structure.
void make_plain(Graph& graph) {
  for (const ValueId id : std::vector(graph.main().constants)) {
    const Constant& old = *graph.constant(id);
    if (old.strings || element_count(old) < 2 || !old.storage.is_floating_point()) continue;
    graph.set_constant(id, make_constant(at::full(old.sizes, kPlain, old.storage.options()), old.dtype));
  }
}

/// Rows of the table that is read at these places; 1 where none is.
int64_t rows_read(const Graph& graph, ValueId places) {
  int64_t rows = 0;
  for (const NodeId id : graph.consumers(places)) {
    const Node& node = graph.node(id);
    const Constant* table = node.op == "Gather" ? graph.constant(node.inputs[0]) : nullptr;
    if (table) rows = rows == 0 ? table->sizes[0] : std::min(rows, table->sizes[0]);
  }
  return std::max<int64_t>(rows, 1);
}

/// Numbers of every input: places are spread over the table.
NamedTensors inputs_of(const Graph& graph) {
  NamedTensors inputs;
  for (const ValueId id : graph.main().inputs) {
    const Value& value = graph.value(id);
    const std::vector<int64_t> sizes = *known_sizes(value);
    int64_t count = 1;
    for (const int64_t size : sizes) count *= size;
    const auto type = scalar_type(value.dtype);
    const bool is_float = at::isFloatingType(type);
    const Tensor numbers = is_float ? at::linspace(-1, 1, count, at::kDouble) : at::remainder(at::arange(count, at::kLong) * 7919, rows_read(graph, id));
    inputs[value.name] = numbers.to(type).reshape(sizes);
  }
  return inputs;
}

double median_of(std::vector<double> times) { return summarize_times(std::move(times)).p50; }

/// argv[0] of this process: the interpreter beside it has the runtime, as `niwaki` itself looks for it.
std::string own_program() {
  std::string word;
  std::ifstream line("/proc/self/cmdline", std::ios::binary);
  std::getline(line, word, '\0');
  return word;
}

/// As for reports: all cores is what the runtime itself takes.
int runtime_threads() {
  const int count = num_threads();
  return count == static_cast<int>(std::thread::hardware_concurrency()) ? 0 : count;
}

}  // namespace

std::optional<Graph> unit_alone(const Graph& graph, const FactorUnit& unit, const KnownSizes& sizes) {
  Graph alone = graph;
  Body body = body_of(graph, with_followers(graph, unit));
  const std::vector<ValueId> inputs = body.inputs, outputs = body.outputs;
  const DType dtype = graph.constant(unit.table != ValueId::absent ? unit.table : unit.nodes.front().weight)->dtype;
  const auto fix = [&](ValueId id) {
    const auto known = sizes.find(id);
    if (known == sizes.end()) return false;
    const DType own = graph.value(id).dtype;
    alone.set_type(id, own == DType::undefined ? dtype : own, Shape(known->second.begin(), known->second.end()));
    return true;
  };
  alone.adopt_main(std::move(body));
  alone.index();
  alone.header().ir_version = std::max<int64_t>(4, graph.header().ir_version);   // weights need not be inputs
  if (!std::all_of(inputs.begin(), inputs.end(), fix) || !std::all_of(outputs.begin(), outputs.end(), fix)) return std::nullopt;
  name_by_place(alone);
  return alone;
}

/// A folder with the two models.
struct UnitTimer::Files {
  Files() : folder((std::filesystem::temp_directory_path() / "niwaki-XXXXXX").string()) {
    if (::mkdtemp(folder.data()) == nullptr) throw EnvironmentError("E4003", "cannot make a temporary folder", {.help = "set TMPDIR to a folder that can be written"});
  }
  ~Files() {
    std::error_code ignored;
    std::filesystem::remove_all(folder, ignored);
  }
  std::string path(size_t side) const { return cat(folder, side == 0 ? "/before.onnx" : "/after.onnx"); }
  void write(size_t side, const Graph& graph) const {
    const std::string bytes = serialized(graph);
    std::ofstream file(path(side), std::ios::binary);
    if (!file.write(bytes.data(), static_cast<std::streamsize>(bytes.size())).flush()) {
      throw EnvironmentError("E4003", "cannot write a model to be timed", {.where = path(side), .help = "set TMPDIR to a folder with more room"});
    }
  }
  std::string folder;
};

UnitTimer::UnitTimer(uint64_t seed) : seed_(seed), files_(std::make_unique<Files>()) {
  const WorkerOptions options{.program = own_program(), .stopped = [] { return Progress::stop_requested().load(); }};
  for (auto& worker : workers_) worker = std::make_unique<RuntimeWorker>(options);
  for (const auto& worker : workers_) worker->version();
}

UnitTimer::~UnitTimer() = default;

std::vector<BlockPair> UnitTimer::round(int index, const NamedTensors& inputs) {
  std::array<RuntimeWorker*, 2> sides;       // before, after
  std::array<SessionId, 2> sessions{};
  std::array<int64_t, 2> runs{};
  for (size_t side : {0, 1}) {
    sides[side] = workers_[(side + static_cast<size_t>(index)) % 2].get();
    sessions[side] = sides[side]->load(files_->path(side), {.threads = runtime_threads()});
    sides[side]->bind(sessions[side], inputs);
    const double ms = std::max(1e-6, sides[side]->warm_up(sessions[side], kWarmUpSeconds));
    runs[side] = std::max<int64_t>(1, static_cast<int64_t>(std::ceil(kBlockMs / ms)));
  }
  const auto begin = std::chrono::steady_clock::now();
  const auto seconds = [&] { return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count(); };
  const auto block = [&](size_t side) { return median_of(sides[side]->measure(sessions[side], runs[side])); };
  std::vector<BlockPair> pairs;
  while (pairs.size() < kPairs && (pairs.size() < 4 || seconds() < kRoundSeconds)) {
    BlockPair pair;
    const bool is_turned = pairs.size() % 2 == 1;
    (is_turned ? pair.second : pair.first) = block(is_turned ? 1 : 0);
    (is_turned ? pair.first : pair.second) = block(is_turned ? 0 : 1);
    pairs.push_back(pair);
  }
  for (size_t side : {0, 1}) sides[side]->unload(sessions[side]);
  return pairs;
}

UnitTimes UnitTimer::time(const NamedTensors& inputs) {
  Rounds rounds;
  UnitTimes times;
  while (rounds.size() < kMostRounds) {
    rounds.push_back(round(static_cast<int>(rounds.size()), inputs));
    times.ci95 = bootstrap_ratio(rounds, seed_);
    if (rounds.size() >= kLeastRounds && (times.ci95[1] < 1 || times.ci95[0] > 1)) break;
  }
  std::vector<double> before, after;
  for (const auto& pairs : rounds) {
    for (const BlockPair& pair : pairs) {
      before.push_back(pair.first);
      after.push_back(pair.second);
    }
  }
  times.before_ms = median_of(std::move(before));
  times.after_ms = median_of(std::move(after));
  return times;
}

std::optional<UnitTimes> UnitTimer::compare(Graph before, Graph after) {
  make_plain(before);
  make_plain(after);
  const std::string key = cat(text(before), "\n", text(after));
  const auto known = known_.find(key);
  if (known != known_.end()) return known->second;
  if (std::max(serialized_bytes(before), serialized_bytes(after)) > kMostBytes) return std::nullopt;
  files_->write(0, before);
  files_->write(1, after);
  return known_.emplace(key, time(inputs_of(before))).first->second;
}

}  // namespace niwaki
