#include "passes/train/find_blocks.h"

#include <algorithm>
#include <map>

namespace niwaki {
namespace {

/// Operators that end a block rather than begin one, where they stand alone.
const std::set<std::string>& closing_ops() {
  static const std::set<std::string> names = {"Add", "BatchNormalization", "Clip", "Elu", "FastGelu", "Gelu", "HardSwish",
                                              "LeakyRelu", "Mul", "PRelu", "Relu", "Selu"};
  return names;
}

/// What a node reads, its bodies included.
void read_values(const Graph& graph, const Node& node, std::set<ValueId>& values) {
  for (const ValueId id : node.inputs) {
    if (id != ValueId::absent) values.insert(id);
  }
  for (const auto& [name, body] : node.bodies) {
    values.insert(body.outputs.begin(), body.outputs.end());
    for (const NodeId id : body.nodes) read_values(graph, graph.node(id), values);
  }
}

bool reads_any(const Graph& graph, NodeId id, const std::set<ValueId>& values) {
  std::set<ValueId> read;
  read_values(graph, graph.node(id), read);
  return std::any_of(read.begin(), read.end(), [&](ValueId value) { return values.contains(value); });
}

/// `weights`, and what is computed from them.
std::set<ValueId> touched_values(const Graph& graph, const std::set<ValueId>& weights) {
  std::set<ValueId> touched = weights;
  for (const NodeId id : graph.main().nodes) {
    if (!reads_any(graph, id, touched)) continue;
    const auto& outputs = graph.node(id).outputs;
    touched.insert(outputs.begin(), outputs.end());
  }
  touched.erase(ValueId::absent);
  return touched;
}

bool is_linear(const Graph& graph, NodeId id, const std::set<ValueId>& weights) {
  std::set<ValueId> read;
  read_values(graph, graph.node(id), read);
  return std::any_of(read.begin(), read.end(), [&](ValueId value) {
    return weights.contains(value) && graph.constant(value)->sizes.size() >= 2;
  });
}

/// Nodes on the way from `input` to `output`, in order, and what they read.
std::vector<NodeId> nodes_between(const Graph& graph, ValueId input, ValueId output, std::set<ValueId>& read) {
  std::vector<NodeId> nodes;
  read = {output};
  const auto& order = graph.main().nodes;
  for (auto id = order.rbegin(); id != order.rend(); ++id) {
    const auto& made = graph.node(*id).outputs;
    const auto is_read = [&](ValueId value) { return value != input && read.contains(value); };
    if (std::none_of(made.begin(), made.end(), is_read)) continue;
    nodes.push_back(*id);
    read_values(graph, graph.node(*id), read);
  }
  std::reverse(nodes.begin(), nodes.end());
  return nodes;
}

struct Stretch {
  Block block;
  int64_t linear = 0;                        // nodes with weights of rank 2 and more
  bool closes = true;                        // every node may end a block
};

std::vector<Stretch> stretches_between(const Graph& graph, const std::vector<ValueId>& cuts, const std::set<ValueId>& weights) {
  const std::set<ValueId> touched = touched_values(graph, weights);
  std::vector<Stretch> stretches;
  ValueId input = ValueId::absent;
  for (const ValueId output : cuts) {
    Stretch one{.block = {.input = input, .output = output}};
    std::set<ValueId> read;
    for (const NodeId id : nodes_between(graph, input, output, read)) {
      if (!reads_any(graph, id, touched)) continue;
      one.block.nodes.push_back(id);
      one.linear += is_linear(graph, id, weights);
      one.closes &= closing_ops().contains(graph.node(id).op);
    }
    stretches.push_back(std::move(one));
    input = output;
  }
  return stretches;
}

void join(Stretch& first, const Stretch& second) {
  first.block.output = second.block.output;
  first.block.nodes.insert(first.block.nodes.end(), second.block.nodes.begin(), second.block.nodes.end());
  first.linear += second.linear;
}

/// Stretches with a linear node each.
std::vector<Stretch> with_weights(std::vector<Stretch> stretches) {
  std::vector<Stretch> kept;
  std::optional<Stretch> waiting;            // has no linear node: begins the next block
  for (Stretch& one : stretches) {
    if (waiting) {
      join(*waiting, one);
      one = std::move(*waiting);
      waiting.reset();
    }
    if (one.linear > 0) kept.push_back(std::move(one));
    else if (one.closes && !kept.empty()) join(kept.back(), one);
    else waiting = std::move(one);
    if (waiting) waiting->closes = false;
  }
  return kept;
}

}  // namespace

std::vector<ValueId> cut_values(const Graph& graph, const std::set<ValueId>& weights) {
  const std::set<ValueId> touched = touched_values(graph, weights);
  std::map<ValueId, NodeId> last_readers;
  for (const NodeId id : graph.main().nodes) {
    std::set<ValueId> read;
    read_values(graph, graph.node(id), read);
    for (const ValueId value : read) last_readers.insert_or_assign(value, id);
  }
  std::vector<ValueId> cuts;
  std::set<ValueId> live;
  for (const NodeId id : graph.main().nodes) {
    std::erase_if(live, [&](ValueId value) { return last_readers.at(value) == id; });
    for (const ValueId output : graph.node(id).outputs) {
      if (touched.contains(output) && last_readers.contains(output)) live.insert(output);
    }
    if (live.size() != 1 || graph.value(*live.begin()).dtype != DType::float32) continue;
    if (cuts.empty() || cuts.back() != *live.begin()) cuts.push_back(*live.begin());
  }
  std::vector<ValueId> ends;
  for (const ValueId output : graph.main().outputs) {
    if (touched.contains(output) && graph.producer(output)) ends.push_back(output);
  }
  const bool has_end = ends.size() == 1 && graph.value(ends[0]).dtype == DType::float32;
  if (has_end && std::find(cuts.begin(), cuts.end(), ends[0]) == cuts.end()) cuts.push_back(ends[0]);
  return cuts;
}

std::vector<Block> blocks_between(const Graph& graph, const std::vector<ValueId>& cuts, const std::set<ValueId>& weights, size_t most) {
  std::vector<Stretch> stretches = with_weights(stretches_between(graph, cuts, weights));
  while (stretches.size() > std::max<size_t>(most, 1)) {
    size_t best = 0;
    const auto both = [&](size_t i) { return stretches[i].linear + stretches[i + 1].linear; };
    for (size_t i = 1; i + 1 < stretches.size(); ++i) {
      if (both(i) < both(best)) best = i;
    }
    join(stretches[best], stretches[best + 1]);
    stretches.erase(stretches.begin() + static_cast<std::ptrdiff_t>(best) + 1);
  }
  std::vector<Block> blocks;
  for (Stretch& one : stretches) blocks.push_back(std::move(one.block));
  return blocks;
}

Graph block_graph(const Graph& graph, ValueId input, ValueId output) {
  Graph block = graph;                       // cheap: constants share storage
  std::set<ValueId> read;
  std::vector<NodeId> nodes = nodes_between(graph, input, output, read);
  Body& body = block.edit_main();
  body.nodes = std::move(nodes);
  body.outputs = {output};
  std::erase_if(body.inputs, [&](ValueId id) { return !read.contains(id) || graph.constant(id); });
  if (input != ValueId::absent) body.inputs.push_back(input);
  std::erase_if(body.constants, [&](ValueId id) { return !read.contains(id); });
  block.index();
  return block;
}

}  // namespace niwaki
