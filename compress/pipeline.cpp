#include "compress/pipeline.h"

#include "compress/atomic_file.h"
#include "compress/error.h"
#include "compress/footprint.h"
#include "compress/graph_text.h"
#include "compress/onnx/infer_shapes.h"
#include "compress/verify.h"

#include <algorithm>
#include <chrono>

namespace niwaki {
namespace {

constexpr int64_t kGrowth = 4096;            // bytes that a clean-up may add (algorithms.md 1.1)

void check_needs(std::span<const Pass> passes, const RunInputs& inputs) {
  for (const Pass& pass : passes) {
    if (pass.needs.calibration && inputs.calibration == nullptr) {
      throw UsageError("E2014", cat("pass '", pass.name, "' needs calibration data"), {.help = cat("give --calib DATA", pass.name.starts_with("quantize") ? ", or use --mode storage" : "")});
    }
    if (pass.needs.training && inputs.training == nullptr) {
      throw UsageError("E2014", cat("pass '", pass.name, "' needs samples to train on"), {.help = "give --train DATA"});
    }
  }
}

bool contains(const std::vector<std::string>& names, const std::string& name) { return std::find(names.begin(), names.end(), name) != names.end(); }

/// But for clean-ups, the pass behind `place` trains.
bool trains_behind(std::span<const Pass> passes, size_t place) {
  const auto rest = passes.subspan(place + 1);
  const auto next = std::find_if(rest.begin(), rest.end(), [](const Pass& pass) { return !only_cleans_up(pass.name); });
  return next != rest.end() && next->needs.training;
}

/// `unmasked`: the model before the last pass whose zeros may move.
void run_one(std::span<const Pass> passes, size_t place, std::optional<Graph>& unmasked, Graph& graph, const RunInputs& inputs, PassReport& report, Progress& progress) {
  const Pass& pass = passes[place];
  Graph candidate = graph;                   // cheap: constants share storage
  PassContext context{.report = report, .progress = progress, .calibration = inputs.calibration, .keep = inputs.keep, .only = inputs.only,
                      .seed = inputs.seed, .original_macs = inputs.original_macs, .training = inputs.training, .teacher = inputs.teacher,
                      .trains_next = trains_behind(passes, place), .unmasked = unmasked ? &*unmasked : nullptr, .group = inputs.group};
  if (!inputs.checkpoint_directory.empty()) context.checkpoint = cat(inputs.checkpoint_directory, "/", place + 1, "-", pass.name, ".checkpoint");
  pass.run(candidate, context);
  if (report.may_regrow) unmasked = graph;
  else if (!only_cleans_up(pass.name)) unmasked.reset();
  report.changed = candidate.revision() != graph.revision();
  if (!report.changed) return;
  infer_shapes(candidate);
  require_valid(candidate);
  report.bytes_after = serialized_bytes(candidate);
  if (only_cleans_up(pass.name) && report.bytes_after > report.bytes_before + kGrowth) {
    report.notes.push_back(cat("N3002: undone: the model would have grown from ", report.bytes_before, " to ", report.bytes_after, " bytes"));
    report.changed = false;
    report.nodes.clear();
    report.changes.clear();
    report.bytes_after = report.bytes_before;
    return;
  }
  graph = std::move(candidate);
}

}  // namespace

bool only_cleans_up(const std::string& pass) {
  static const std::vector<std::string> kCleanups = {"eliminate_dead_nodes", "eliminate_identity", "fold_batch_norm", "fold_constants", "fuse_gelu",
                                                     "fuse_layer_norm", "merge_duplicates", "remove_dead_channels", "simplify_shapes"};
  return contains(kCleanups, pass);
}

std::vector<PassReport> run(std::span<const Pass> passes, Graph& graph, const RunInputs& inputs, Progress& progress) {
  check_needs(passes, inputs);
  std::vector<PassReport> reports;
  int64_t bytes = serialized_bytes(graph);
  std::optional<Graph> unmasked;
  for (size_t i = 0; i < passes.size(); ++i) {
    const Pass& pass = passes[i];
    if (contains(inputs.skip, pass.name)) continue;
    PassReport& report = reports.emplace_back(PassReport{.pass = pass.name});
    report.bytes_before = report.bytes_after = bytes;
    const auto begin = std::chrono::steady_clock::now();
    const auto place = [&] { return cat("pass ", i + 1, " of ", passes.size(), " '", pass.name, "'"); };
    try {
      run_one(passes, i, unmasked, graph, inputs, report, progress);
    } catch (Error& error) {
      error.within(place());
      throw;
    } catch (const c10::Error& error) {
      throw InternalError(cat(place(), ": ", std::string(error.what_without_backtrace()).substr(0, 400)));
    } catch (const std::bad_alloc&) {
      throw EnvironmentError("E4002", cat(place(), ": not enough memory"));
    }
    bytes = report.bytes_after;
    report.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    if (!inputs.dump_directory.empty() && report.changed) {
      write_file(cat(inputs.dump_directory, "/", i + 1, "_", pass.name, ".txt"), text(graph));
    }
    if (pass.name == inputs.stop_after) break;
  }
  return reports;
}

}  // namespace niwaki
