#include "compress/cli/command_line.h"

#include <algorithm>
#include <array>

namespace niwaki {
namespace {

enum Verb : uint32_t {
  kInspect = 1, kCheck = 2, kConvert = 4, kQuantize = 8, kRun = 16, kEval = 32, kBench = 64, kCompare = 128,
  kReport = 256, kExplain = 512, kDoctor = 1024, kPasses = 2048, kCompletion = 4096, kPrune = 8192,
  kFactorize = 1u << 15, kFinetune = 1u << 16, kDistill = 1u << 17, kPack = 1u << 20, kUnpack = 1u << 21,
  kTrainers = kFinetune | kDistill,
  kChangers = kQuantize | kPrune | kFactorize | kTrainers,
  kWriters = kConvert | kChangers | kRun,
  kReaders = kWriters | kInspect | kCheck | kEval | kBench | kCompare,
  kOpeners = kReaders | kPack | kUnpack,
  kFeeders = kWriters | kEval | kBench | kCompare,
  kAll = kEveryVerb
};

constexpr const char* kPattern = "PATTERN";

}  // namespace

const std::vector<VerbSpec>& verb_specs() {
  static const std::vector<VerbSpec> specs = {
      {"inspect", kInspect, 1, 1, "MODEL [--ops] [--weights] [--bytes] [--prunable]", "inputs, outputs, opset, MACs, bytes by part, risks; runs no model code"},
      {"check", kCheck, 1, 1000, "MODEL...", "say whether models are well-formed; changes nothing"},
      {"convert", kConvert, 1, 1, "IN -o OUT.onnx", "exact clean-up and lossless encoding, or a plain copy"},
      {"quantize", kQuantize, 1, 1, "MODEL -o OUT [--calib DATA]", "fewer bits for weights and activations"},
      {"prune", kPrune, 1, 1, "MODEL -o OUT (--macs-ratio F | --sparsity F) [--calib DATA]", "fewer channels, or more zeros, with repair"},
      {"factorize", kFactorize, 1, 1, "MODEL -o OUT (--energy F | --rank N | --macs-ratio F | --sparsity F) [--goal fastest] [--calib DATA]", "products of narrow weights in place of wide ones"},
      {"finetune", kFinetune, 1, 1, "MODEL --train DATA -o OUT [--epochs N | --steps N]", "train the weights on labelled samples"},
      {"distill", kDistill, 1, 1, "STUDENT --teacher TEACHER --train DATA -o OUT [--epochs N | --steps N]", "train the weights to answer as a teacher does"},
      {"run", kRun, 1, 1, "RECIPE.yaml | RUN_DIR", "carry out a recipe, or go on with a stopped run"},
      {"pack", kPack, 1, 1, "MODEL.onnx -o OUT.niwaki [--codec auto|zstd|rans]", "a compact archive for storing and sending"},
      {"unpack", kUnpack, 1, 1, "FILE.niwaki -o OUT.onnx", "the same bytes back"},
      {"eval", kEval, 1, 1, "MODEL --data DATA [--metric NAME]", "measure quality with its interval"},
      {"bench", kBench, 1, 16, "A [B...]", "measure latency and peak memory, side by side"},
      {"compare", kCompare, 2, 2, "A B [--data DATA] [--per-layer]", "what differs: graph, bytes, outputs, first bad node"},
      {"report", kReport, 1, 1, "RUN_DIR|report.json --format FORMAT [-o FILE]", "write a report again in another format"},
      {"explain", kExplain, 0, 2, "CODE | --list | REPORT NODE", "what an error means, or why a node was (not) changed"},
      {"doctor", kDoctor, 0, 0, "", "CPU features, memory, disk, runtimes and their versions"},
      {"passes", kPasses, 0, 1, "[NAME | --schema]", "the passes and their options"},
      {"completion", kCompletion, 1, 1, "bash|zsh|fish", "completion script of a shell"}};
  return specs;
}

const std::vector<FlagSpec>& flag_specs() {
  using enum FlagKind;
  static const std::vector<FlagSpec> specs = {
      // what a verb does
      {"output", 'o', text, "OUT", "", kWriters | kReport | kPack | kUnpack, false, "the file to write"},
      {"ops", 0, none, "", "", kInspect, false, "list every node with its operator and shapes"},
      {"weights", 0, none, "", "", kInspect, false, "list every weight with its type, shape and range"},
      {"bytes", 0, none, "", "", kInspect, false, "list the bytes of every constant, largest first"},
      {"prunable", 0, none, "", "", kInspect, false, "list the channels that prune could remove, and what is frozen and why"},
      {"cleanup", 0, choice, "exact|none", "exact", kConvert, false, "exact clean-up first, or nothing is changed"},
      {"external-data", 0, choice, "auto|always|never", "auto", kWriters, false, "weights in a file of their own"},
      {"opset", 0, integer, "N", "keep", kWriters, false, "raise the opset of ai.onnx to N"},
      {"qat", 0, none, "", "", kTrainers, false, "quantize, and train the integers and their scales"},
      {"bits", 0, choice, "8|4|3|2", "8", kQuantize | kTrainers, false, "bits of a weight"},
      {"mode", 0, choice, "auto|static|dynamic|weight_only|storage", "auto", kQuantize | kTrainers, false, "what is computed with integers"},
      {"granularity", 0, choice, "auto|per_tensor|per_channel|per_block", "auto", kQuantize | kTrainers, false, "weights that share a scale"},
      {"block-size", 0, integer, "N", "32", kQuantize, false, "weights of a block"},
      {"symmetric", 0, none, "", "", kQuantize, false, "zero point 0"},
      {"asymmetric", 0, none, "", "", kQuantize, false, "zero point by range"},
      {"range-estimator", 0, choice, "min_max|percentile|mse|entropy", "mse", kQuantize, false, "how the range of an activation is chosen"},
      {"percentile", 0, number, "P", "99.99", kQuantize, false, "share of numbers inside the range, of percentile"},
      {"rounding", 0, choice, "nearest|gptq|adaround|hqq", "nearest", kQuantize, false, "how weights are rounded"},
      {"equalize", 0, choice, "auto|on|off", "auto", kQuantize, false, "scales between layers; auto: where channels are far apart"},
      {"mixed", 0, choice, "auto|off", "auto", kQuantize, false, "keep in float what does not pay"},
      {"pattern", 0, text, "channels|blocks|unstructured|N:M", "channels", kPrune, false, "what goes: channels, residual blocks, weights, all but N of every M"},
      {"energy", 0, number, "F", "", kFactorize, false, "share of the energy of each node's outputs that stays"},
      {"rank", 0, integer, "N", "", kFactorize, false, "rank of every node that it makes smaller"},
      {"goal", 0, choice, "smallest|fastest", "smallest", kFactorize, false, "fastest: only factors that ONNX Runtime runs faster, as measured"},
      {"sparsity", 0, number, "F", "", kPrune | kFactorize, false, "share of the weights that goes"},
      {"macs-ratio", 0, number, "F", "", kPrune | kFactorize, false, "multiply-accumulates left, of the original's"},
      {"importance", 0, choice, "auto|magnitude|wanda|sparse_gpt|obs|taylor", "auto", kPrune, false, "what a weight or a channel is worth"},
      {"refit", 0, choice, "on|off", "on", kPrune | kFactorize, false, "repair what is left by least squares"},
      {"round-to", 0, integer, "N", "8", kPrune | kFactorize, false, "widths and ranks are multiples of N"},
      {"train", 0, text, "DATA", "", kTrainers, false, "training samples"},
      {"teacher", 0, text, "MODEL", "", kDistill, false, "the model to learn from"},
      {"epochs", 0, integer, "N", "3", kTrainers, false, "passes over the training samples"},
      {"steps", 0, integer, "N", "", kTrainers, false, "updates, instead of epochs"},
      {"lr", 0, number, "F", "0.001", kTrainers, false, "learning rate at its highest"},
      {"loss", 0, text, "NAME", "auto", kTrainers, false, "finetune: cross_entropy or mse; distill: kl, standardised, dist, binary or mse"},
      {"temperature", 0, text, "F", "auto", kDistill, false, "that scores are divided by; auto: 1 for a student made from the teacher, else 4"},
      {"alpha", 0, number, "F", "0.9", kDistill, false, "share of the teacher beside labels"},
      {"features", 0, choice, "off|mse|attention_map|similarity|attention", "off", kDistill, false, "what is compared of the ends of blocks, or of attention"},
      {"feature-weight", 0, number, "F", "1", kDistill, false, "of what --features compares, beside the outputs"},
      {"pairs", 0, text, "S=T,...", "by name or likeness", kDistill, false, "values of student and teacher that --features compares"},
      {"optimizer", 0, choice, "adamw|sgd", "adamw", kTrainers, false, "how a gradient becomes an update"},
      {"weight-decay", 0, number, "F", "0.0001", kTrainers, false, "decay of weights"},
      {"flip", 0, none, "", "", kTrainers, false, "mirror every other image"},
      {"crop", 0, integer, "N", "0", kTrainers, false, "move images by up to N pixels"},
      {"regrow", 0, choice, "auto|on|off", "auto", kTrainers, false, "may zeros of pruned weights change places; auto: right behind an unstructured prune step"},
      {"batch-norm", 0, choice, "auto|frozen|train", "auto", kTrainers, false, "statistics of batch norms: frozen, or of each batch and of the data afterwards"},
      {"patience", 0, integer, "N", "0", kTrainers, false, "epochs without a better validation loss before the end; 0: never early"},
      {"hold-out", 0, number, "F", "0.05", kTrainers, false, "share of the samples kept apart for the validation loss"},
      {"resume", 0, choice, "auto|required|never", "auto", kTrainers | kRun, false, "go on with a stopped run of the same command"},
      {"codec", 0, choice, "auto|zstd|rans", "auto", kPack, false, "what codes the weights; auto: the smallest, tensor by tensor"},
      {"set", 0, name_value, "KEY=VALUE", "", kRun, true, "replace a value of the recipe, e.g. steps.0.bits=4"},
      {"print-config", 0, none, "", "", kRun, false, "print every value with the place it came from"},
      {"skip", 0, text, "PASS", "", kRun, true, "leave a pass out"},
      {"stop-after", 0, text, "PASS", "", kRun, false, "end behind this pass"},
      {"dump-dir", 0, text, "DIR", "", kRun, false, "text of the graph behind every pass"},
      {"runtime", 0, choice, "onnxruntime|builtin", "onnxruntime", kEval | kBench, false, "what runs the model"},
      {"save-outputs", 0, text, "OUT.npz", "", kEval, false, "all outputs of all samples, by name"},
      {"rounds", 0, integer, "N", "3", kBench, false, "fresh pairs of processes"},
      {"runs", 0, integer, "N", "30", kBench, false, "pairs of blocks in a round, at least"},
      {"max-time", 0, duration, "TIME", "60s", kBench, false, "begin no new block later"},
      {"per-layer", 0, none, "", "", kCompare, false, "error of every value that both models have, by name"},
      {"format", 0, choice, "html|md|json|junit|csv|pr|card", "md", kReport, false, "what is written"},
      {"list", 0, none, "", "", kExplain, false, "every code with one line"},
      {"schema", 0, none, "", "", kPasses, false, "JSON Schema of recipes"},
      // data and quality
      {"calib", 0, text, "DATA", "", kChangers, false, "calibration samples"},
      {"samples", 0, integer, "N", "512", kFeeders, false, "samples to use; evaluation uses all unless told"},
      {"data", 0, text, "DATA", "", kWriters | kEval | kCompare, false, "evaluation samples"},
      {"preprocess", 0, text, "FILE", "", kWriters | kEval | kCompare, false, "YAML with scale, mean, std and layout for float inputs"},
      {"csv", 0, text, "KEY=VALUE,...", "label=first", kWriters | kEval | kCompare, false, "how rows of a CSV are laid out: label, header, delimiter"},
      {"metric", 0, text, "NAME", "auto", kWriters | kEval, true, "how quality is measured"},
      {"batch", 0, integer, "N", "8 (bench: 1, training: 64)", kFeeders, false, "samples at once where the model's batch is free"},
      {"input", 0, name_value, "NAME=VALUE", "", kFeeders, true, "a number for an input that the data lacks"},
      {"output-name", 0, text, "NAME", "first", kWriters | kEval, false, "the output that is judged"},
      {"max-drop", 0, text, "DROP", "", kWriters, false, "largest loss of quality: 1pt, 1%, 0.05nat"},
      {"max-size", 0, text, "SIZE", "", kWriters, false, "largest file: 300KB, 2MB"},
      {"max-latency-ratio", 0, number, "R", "", kWriters, false, "largest time, 1 is the original's"},
      {"on-inconclusive", 0, choice, "fail|warn", "fail", kWriters, false, "what an unclear gate does"},
      // nodes, target, report
      {"keep", 0, text, kPattern, "", kChangers | kConvert, true, "nodes to leave alone: glob, op:Conv, re:^layer4"},
      {"only", 0, text, kPattern, "", kChangers | kConvert, true, "nodes to change, no others"},
      {"target", 0, choice, "onnxruntime-cpu|onnxruntime-cpu-novnni|generic", "onnxruntime-cpu", kWriters, false, "the runtime that the file is for"},
      {"require-gain", 0, none, "", "", kWriters, false, "exit 1 where nothing could be changed"},
      {"allow-growth", 0, none, "", "", kWriters, false, "accept a larger file"},
      {"strict", 0, none, "", "", kWriters, false, "a skipped node that was asked for is an error"},
      {"verify", 0, choice, "auto|onnxruntime|builtin", "auto", kWriters, false, "what the result must run on"},
      {"latency", 0, choice, "auto|on|off", "auto", kWriters, false, "measure latency and peak memory"},
      {"encode", 0, choice, "auto|off", "auto", kWriters, false, "store constants in their smallest exact form"},
      {"names", 0, choice, "keep|short", "keep", kWriters, false, "names of inner values"},
      {"report-dir", 0, text, "DIR", "OUT.report", kWriters, false, "where the report is written"},
      // every command
      {"quiet", 'q', none, "", "", kAll, false, "errors only"},
      {"verbose", 'v', none, "", "", kAll, true, "say more; twice: more still"},
      {"json", 0, none, "", "", kAll, false, "one JSON document on stdout"},
      {"log", 0, text, "FILE", "", kAll, false, "write messages to a file too"},
      {"color", 0, choice, "auto|always|never", "auto", kAll, false, "colour of messages"},
      {"progress", 0, choice, "auto|bar|lines|json|none", "auto", kAll, false, "how progress is shown"},
      {"threads", 0, integer, "N", "0", kOpeners, false, "threads; 0: all cores"},
      {"seed", 0, integer, "N", "0", kReaders, false, "the only source of chance"},
      {"limit", 0, name_value, "NAME=VALUE", "", kOpeners, true, "change one limit of what is read"},
      {"limits", 0, choice, "default|strict", "default", kOpeners, false, "all limits"},
      {"allow-symlinks", 0, none, "", "", kOpeners, false, "external data through symbolic links"},
      {"allow-hardlinks", 0, none, "", "", kOpeners, false, "external data with several hard links"},
      {"force", 'f', none, "", "", kWriters | kReport | kEval | kPack | kUnpack, false, "replace an output that exists"},
      {"mkdir", 0, none, "", "", kWriters | kReport | kPack | kUnpack, false, "make the folder of the output"},
      {"dry-run", 'n', none, "", "", kWriters, false, "print the plan, write nothing"},
      {"work-dir", 0, text, "DIR", ".niwaki", kTrainers | kRun, false, "where a run keeps what it needs to go on after a stop"},
      {"help", 'h', none, "", "", kAll, false, "this text"},
      {"version", 0, none, "", "", kAll, false, "version"}};
  return specs;
}

bool is_planned_verb(const std::string& name) {
  static constexpr std::array<const char*, 3> kPlanned = {"auto", "gate", "baseline"};
  return std::find(kPlanned.begin(), kPlanned.end(), name) != kPlanned.end();
}

bool is_planned_flag(const std::string& name) {
  static constexpr std::array<const char*, 13> kPlanned = {
      "fix", "dtype", "dim", "bisect", "mask", "save-calibration", "use-calibration",
      "memory", "config", "allow-python", "trust-input", "html-css", "time-budget"};
  return std::find(kPlanned.begin(), kPlanned.end(), name) != kPlanned.end();
}

}  // namespace niwaki
