#include "passes/store/encode_constants.h"

#include "compress/error.h"
#include "compress/footprint.h"
#include "compress/onnx/infer_shapes.h"
#include "compress/onnx/raise_opset.h"
#include "passes/store/exact_form.h"

#include <algorithm>

namespace niwaki {
namespace {

constexpr int64_t kLeastBytes = 64;          // no form is shorter
constexpr int kRounds = 4;                   // the parts of a form may have forms themselves
constexpr int64_t kScatter = 11;             // opset with CumSum, Range and ScatterElements
constexpr int64_t kRaiseShare = 20;          // a newer opset must save one byte of so many

/// Operators that look at an input's numbers when a session is created, from this input on.
struct Slot {
  std::string_view op;
  size_t first;
};
constexpr std::array kLoadTime = {
    Slot{"Reshape", 1}, Slot{"Slice", 1}, Slot{"Resize", 1}, Slot{"Upsample", 1}, Slot{"Pad", 1}, Slot{"Expand", 1}, Slot{"Tile", 1},
    Slot{"ConstantOfShape", 0}, Slot{"Range", 0}, Slot{"Squeeze", 1}, Slot{"Unsqueeze", 1}, Slot{"Split", 1}, Slot{"TopK", 1},
    Slot{"OneHot", 1}, Slot{"Clip", 1}, Slot{"QuantizeLinear", 1}, Slot{"CumSum", 1}, Slot{"Trilu", 1},
    Slot{"ReduceSum", 1}, Slot{"ReduceMean", 1}, Slot{"ReduceMax", 1}, Slot{"ReduceMin", 1}, Slot{"ReduceL2", 1},
    Slot{"CenterCropPad", 1}, Slot{"NonMaxSuppression", 2}, Slot{"If", 0}, Slot{"Loop", 0}};

/// DequantizeLinear fuses only with scales and zero points that are initializers at once.
bool is_read_at_load(const Node& node, size_t index) {
  if (node.op == "DequantizeLinear") return index > 0;
  if (!is_default_domain(node.domain)) return node.domain != "com.microsoft";
  return std::any_of(kLoadTime.begin(), kLoadTime.end(), [&](const Slot& slot) { return slot.op == node.op && index >= slot.first; });
}

bool is_free(const Graph& graph, ValueId id) {
  for (const NodeId reader : graph.consumers(id)) {
    const Node& node = graph.node(reader);
    for (size_t i = 0; i < node.inputs.size(); ++i) {
      if (node.inputs[i] == id && is_read_at_load(node, i)) return false;
    }
  }
  return !graph.consumers(id).empty();
}

std::vector<ValueId> candidates(const Graph& graph, const ConstantStore& store) {
  std::vector<ValueId> found;
  for (size_t i = 1; i < graph.num_values(); ++i) {
    const auto id = static_cast<ValueId>(i);
    const Constant* constant = graph.constant(id);
    if (constant != nullptr && byte_size(*constant) >= kLeastBytes && store.obstacle(id).empty() && is_free(graph, id)) found.push_back(id);
  }
  return found;
}

/// Constants of the main body that others may be twins of, with what they held.
using Bases = std::vector<std::pair<ValueId, Constant>>;

/// A constant whose numbers were seen: every reader reads the first one.
bool share(Graph& graph, ValueId id, const Bases& bases) {
  for (const auto& [base, numbers] : bases) {
    if (!same_content(numbers, *graph.constant(id))) continue;
    graph.replace_uses(id, base);
    graph.remove_constant(id);
    return true;
  }
  return false;
}

std::optional<StoredForm> smallest_form(const Graph& graph, const ConstantStore& store, ValueId id, const Bases& bases, const EncodeConstantsOptions& options) {
  const Constant& constant = *graph.constant(id);
  std::optional<StoredForm> best;
  int64_t best_growth = 1 - options.least_saving;
  const auto offer = [&](StoredForm form, bool is_exact) {
    const int64_t growth = store.growth(id, form);
    if (growth >= best_growth || (!is_exact && !same_content(expanded(graph, form), constant))) return;
    best = std::move(form);
    best_growth = growth;
  };
  for (const auto& [base, numbers] : bases) {
    if (auto form = twin_form(constant, base, numbers)) offer(std::move(*form), true);
  }
  for (StoredForm& form : exact_forms(graph, constant, options.sparse)) offer(std::move(form), false);
  return best;
}

/// One look at every constant; how many bytes it saved.
int64_t encode_round(Graph& graph, const EncodeConstantsOptions& options, PassContext& context) {
  ConstantStore store(graph);
  const std::vector<ValueId> ids = candidates(graph, store);
  context.progress.start("encode constants", static_cast<int64_t>(ids.size()));
  Bases bases;
  int64_t saved = 0;
  for (const ValueId id : ids) {
    context.progress.advance();
    const std::string name = graph.value(id).name;
    const Constant constant = *graph.constant(id);
    const auto& mains = graph.main().constants;
    const bool is_main = std::find(mains.begin(), mains.end(), id) != mains.end();
    const int64_t whole = initializer_bytes(constant, name.size());
    if (share(graph, id, bases)) {
      context.report.change(name, {{"form", "shared"}, {"bytes_saved", whole}});
      saved += whole;
      continue;
    }
    if (const auto form = smallest_form(graph, store, id, bases, options)) {
      const int64_t growth = store.growth(id, *form);
      store.replace(id, *form);
      context.report.change(name, {{"form", graph.node(*graph.producer(id)).op}, {"bytes_saved", -growth}});
      saved -= growth;
    }
    if (is_main) bases.emplace_back(id, constant);
  }
  return saved;
}

void encode(Graph& graph, const EncodeConstantsOptions& options, PassContext& context) {
  release_constant_inputs(graph, context.report);
  int64_t saved = 0;
  for (int i = 0; i < kRounds; ++i) {
    const int64_t more = encode_round(graph, options, context);
    saved += more;
    if (more == 0) break;
  }
  if (saved > 0) context.report.changes.emplace_back("constants", cat("stored in forms that expand to the same bits; ", saved, " bytes fewer"));
  drop_described_types(graph, context.report);
}

/// The model at the opset of sparse forms, encoded; nullopt where it cannot be converted.
std::optional<Graph> encoded_at_newer_opset(const Graph& graph, const EncodeConstantsOptions& options, PassContext& context) {
  Graph raised = graph;
  try {
    raise_opset(raised, kScatter);
    infer_shapes(raised);
  } catch (const UnsupportedError&) {
    return std::nullopt;
  }
  context.report.changes.emplace_back("opset", cat("raised from ", graph.opset(), " to ", kScatter, ": forms of constants with zeros need it"));
  encode(raised, options, context);
  return raised;
}

}  // namespace

void encode_constants(Graph& graph, const EncodeConstantsOptions& options, PassContext& context) {
  const Graph before = graph;
  encode(graph, options, context);
  if (before.opset() >= kScatter) return;
  PassReport report{.pass = context.report.pass};
  PassContext other{.report = report, .progress = context.progress};
  const std::optional<Graph> raised = encoded_at_newer_opset(before, options, other);
  const int64_t bytes = serialized_bytes(graph);
  if (!raised || (bytes - serialized_bytes(*raised)) * kRaiseShare < bytes) return;
  graph = *raised;
  graph.touch();
  context.report = std::move(report);
}

}  // namespace niwaki
