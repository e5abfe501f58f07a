#pragma once

#include "compress/dataset.h"
#include "compress/options.h"
#include "compress/pass.h"
#include "formats/csv.h"
#include "formats/format.h"
#include "formats/preprocess.h"

#include <functional>
#include <map>
#include <optional>

namespace niwaki {

/// Samples as the user names them.
struct DataRequest {
  std::string path;                          // "": none
  int64_t samples = 0;                       // 0: all
  Preprocess preprocess = {};
  CsvOptions csv = {};
};

/// A pass or verb with its options, as in a recipe.
struct Step {
  std::string name;
  Json options = Json::object();
};

/// Everything that a verb which writes a model is asked for (ux.md section 1), whichever way it was asked.
struct JobRequest {
  std::string program;                       // argv[0]
  std::string command_line;                  // without absolute paths; for the report
  std::string model, output;
  std::vector<Step> steps;                   // passes of `niwaki passes`, in order; verbs are expanded before
  bool clean = true;                         // exact clean-up first
  bool keep_weights = false;                 // without the clean-ups that write weights anew: kept ones stay bit for bit
  bool encode = true;                        // lossless encoding last
  bool short_names = false;                  // --names short
  DataRequest calibration{.samples = 512}, evaluation, training;
  std::string teacher;                       // model to learn from; "": the model itself, as it was read
  int64_t batch = 8;                         // small: what is alive of two of them decides the peak of memory
  std::map<std::string, std::string> fixed_inputs;
  std::string metric, output_name;
  std::vector<std::string> keep, only;
  std::optional<std::string> max_drop, max_size, max_latency_ratio;
  bool require_gain = false, allow_growth = false, must_shrink = true, accept_inconclusive = false;
  std::string verify = "auto";               // auto, onnxruntime, builtin
  std::string latency = "auto";              // auto, on, off
  std::string external_data = "auto";        // auto, always, never
  int64_t opset = 0;                         // 0: keep
  std::string report_directory;              // "": `<output stem>.report`
  std::vector<std::string> report_formats = {"html", "json", "md", "junit"};
  bool write_report = true;
  bool force = false, make_directories = false, dry_run = false;
  int threads = 0;
  uint64_t seed = 0;
  std::string target = "onnxruntime-cpu";
  std::string dump_directory, stop_after;
  std::vector<std::string> skip;
  ReadOptions read;
  std::string work_directory;                // for run directories; "": nothing is kept to go on from
  std::string resume = "auto";               // auto, required, never
  const ProcessGroup* group = nullptr;       // the processes that train together; null: this one alone
  Strings words;                             // of the command line, behind the program: what `niwaki run RUN_DIR` repeats
};

struct JobResult {
  Json report;                               // as report.json
  int exit_code = 0;                         // 0, or 1 where a gate was missed
};

/// What a run says while it works: a stage begins ("calibrate"), advances, ends with its seconds.
struct JobEvents {
  std::function<void(const Json& facts)> planned;   // {model, plan, needs}: what is about to be done
  std::function<void(int index, int count, const std::string& stage)> stage_begins;
  std::function<void(int index, int count, const std::string& stage, double seconds)> stage_ends;
  Progress::Show progress;
};

/// Reads, compresses, writes beside the target, verifies, measures, judges, reports; the output takes its name last.
/// On an error no output is left. Throws Interrupted when the user stopped it, with the run directory where training can go on.
JobResult run_job(const JobRequest& request, const JobEvents& events = {});

/// The passes that make up a verb's request, with its options, e.g. `quantize` with mode and bits, and whether there is calibration
/// data. `notes` gets what was decided, e.g. that `auto` became `storage`. Without `encode`, integers of weight_only stay behind
/// DequantizeLinear, where every tool finds them. E2003, E2005, E2008 and E2013 on bad options.
std::vector<Step> expand_verb(const std::string& verb, const Json& options, bool has_calibration, Strings* notes = nullptr, bool encode = true);

/// The exact clean-up that every job begins with.
std::vector<Pass> cleanup_passes(bool keep_weights);

/// Goes to the folder of a stopped run and gives its command line (argv, the program included). E4004, E1806.
Strings resumed_words(const std::string& run_directory, const std::string& program);

/// True for a verb that leaves the weights it keeps bit for bit: prune with refit off.
bool keeps_weights(const std::string& verb, const Json& options);

/// Options of the verbs quantize and prune, for --help, recipes and Python; empty for others.
std::vector<OptionText> verb_options(const std::string& verb);

/// The samples of a request, fitted to a graph; `notes` gets warnings, such as W1715.
Dataset load_dataset(const Graph& graph, const DataRequest& data, const JobRequest& request, bool want_labels, Strings* notes = nullptr);

}  // namespace niwaki
