#include "passes/factorize/table_units.h"

#include "compress/graph_edit.h"

#include <algorithm>

namespace niwaki {
namespace {

constexpr double kUnread = 1e-2;             // what rows of a table that the data never read count, of those that they read

bool has_matmul(DType dtype) { return dtype == DType::float32 || dtype == DType::float64 || dtype == DType::float16 || dtype == DType::bfloat16; }

/// The table whose rows a Gather reads, or absent.
ValueId table_of(const Graph& graph, const Node& node) {
  if (node.op != "Gather" || !is_default_domain(node.domain)) return ValueId::absent;
  const Constant* numbers = graph.constant(node.inputs[0]);
  if (!numbers || !has_matmul(numbers->dtype) || numbers->sizes.size() != 2 || element_count(*numbers) == 0) return ValueId::absent;
  const int64_t axis = int_attribute(node, "axis", 0);
  return axis == 0 || axis == -2 ? node.inputs[0] : ValueId::absent;
}

/// True if the node is x W, with W this value [in, out] or, `is_turned`, [out, in], and no more than a bias beside it.
bool multiplies_by(const Node& node, ValueId weight, bool is_turned) {
  if (!is_default_domain(node.domain) || node.inputs.size() < 2 || node.inputs[1] != weight) return false;
  if (std::count(node.inputs.begin(), node.inputs.end(), weight) != 1) return false;
  if (node.op == "MatMul") return !is_turned;
  const bool is_plain = int_attribute(node, "transA", 0) == 0 && float_attribute(node, "alpha", 1) == 1.0F && float_attribute(node, "beta", 1) == 1.0F;
  return node.op == "Gemm" && is_plain && (int_attribute(node, "transB", 0) != 0) == is_turned;
}

/// True if every reader of this value, one at least, is a node of the main body that multiplies by it.
bool is_weight_alone(const Graph& graph, ValueId id, const std::set<NodeId>& main) {
  const auto readers = graph.consumers(id);
  return !readers.empty() && !graph.is_output(id) &&
         std::all_of(readers.begin(), readers.end(), [&](NodeId reader) { return main.contains(reader) && multiplies_by(graph.node(reader), id, false); });
}

std::set<NodeId> main_nodes(const Graph& graph) { return {graph.main().nodes.begin(), graph.main().nodes.end()}; }

bool is_turn(const Node& node) {
  if (node.op != "Transpose" || !is_default_domain(node.domain)) return false;
  const std::vector<int64_t> order = ints_attribute(node, "perm");
  return order.empty() || order == std::vector<int64_t>{1, 0};
}

bool is_turned_copy(const Constant& numbers, const Constant& table) {
  if (numbers.dtype != table.dtype || numbers.sizes.size() != 2 || numbers.sizes[0] != table.sizes[1] || numbers.sizes[1] != table.sizes[0]) return false;
  return at::equal(values(numbers), values(table).t());
}

/// Linear nodes that multiply by the table or by a copy of it that nothing else reads.
void add_heads(const Graph& graph, const std::vector<LinearView>& views, const std::set<NodeId>& main, FactorUnit& unit) {
  const Constant& table = *graph.constant(unit.table);
  std::map<ValueId, bool> copies;
  for (const LinearView& view : views) {
    bool is_head = view.weight == unit.table && multiplies_by(graph.node(view.node), unit.table, true);
    if (view.weight != unit.table) {
      const auto [known, is_new] = copies.emplace(view.weight, false);
      if (is_new) {
        known->second = fixed_constant(graph, view.weight) && is_turned_copy(*graph.constant(view.weight), table) && is_weight_alone(graph, view.weight, main);
      }
      is_head = known->second;
    }
    if (is_head) unit.nodes.push_back(view);
  }
  unit.is_tied = !unit.nodes.empty();
}

/// Sum of x x^T over the rows that were read, and how many they were.
std::pair<Tensor, double> read_rows(const Graph& graph, const FactorUnit& unit, const Statistics& statistics) {
  Tensor products;
  double count = 0;
  for (const NodeId id : unit.gathers) {
    const Gram& gram = statistics.value_gram(graph.node(id).outputs[0]);
    products = products.defined() ? products + gram.products[0] : gram.products[0];
    count += static_cast<double>(gram.count);
  }
  return {products, count};
}

/// At how many positions of one sample rows are read.
double positions_read(const Graph& graph, const FactorUnit& unit, const KnownSizes& sizes) {
  double positions = 0;
  for (const NodeId id : unit.gathers) {
    const auto known = sizes.find(graph.node(id).outputs[0]);
    if (known == sizes.end()) continue;
    double count = 1;
    for (const int64_t size : known->second) count *= static_cast<double>(size);
    positions += count / static_cast<double>(graph.constant(unit.table)->sizes[1]);
  }
  return positions;
}

/// R with R^T R = this, which is symmetric.
Tensor root_of(const Tensor& moments) {
  const auto [energies, directions] = at::linalg_eigh(moments);
  return energies.clamp_min(0).sqrt().unsqueeze(1) * directions.t();
}

}  // namespace

Graph with_turned_tables(const Graph& graph) {
  Graph turned = graph;
  std::set<ValueId> tables;
  for (const NodeId id : graph.main().nodes) tables.insert(table_of(graph, graph.node(id)));
  const std::set<NodeId> main = main_nodes(graph);
  for (const NodeId id : graph.main().nodes) {
    const Node& node = graph.node(id);
    if (!is_turn(node) || node.inputs[0] == ValueId::absent || !tables.contains(node.inputs[0]) || !fixed_constant(graph, node.inputs[0])) continue;
    const ValueId made = node.outputs[0];
    if (!is_weight_alone(graph, made, main)) continue;
    const Constant& table = *graph.constant(node.inputs[0]);
    turned.remove(id);
    become_constant(turned, made, make_constant(table.storage.t().contiguous(), table.dtype));
  }
  return turned;
}

std::vector<FactorUnit> table_units(const Graph& graph) {
  std::vector<FactorUnit> units;
  std::map<ValueId, size_t> known;
  for (const NodeId id : graph.main().nodes) {
    const ValueId table = table_of(graph, graph.node(id));
    if (table == ValueId::absent) continue;
    const auto [place, is_new] = known.emplace(table, units.size());
    if (is_new) units.push_back({.table = table});
    units[place->second].gathers.push_back(id);
  }
  const std::vector<LinearView> views = linear_views(graph);
  const std::set<NodeId> main = main_nodes(graph);
  for (FactorUnit& unit : units) add_heads(graph, views, main, unit);
  return units;
}

std::string why_not_table(const Graph& graph, const FactorUnit& unit) {
  const Constant* table = fixed_constant(graph, unit.table);
  if (!table) return "the caller may replace its table";
  // the nodes are those of the main body: any other reader needs the whole table
  const auto own = std::count_if(unit.nodes.begin(), unit.nodes.end(), [&](const LinearView& view) { return view.weight == unit.table; });
  if (graph.consumers(unit.table).size() != unit.gathers.size() + static_cast<size_t>(own) || graph.is_output(unit.table)) return "its table is used elsewhere too";
  return at::isfinite(values(*table)).all().item<bool>() ? "" : "its table has numbers that are not finite";
}

FactoredLayer layer_of_table(const Graph& graph, const FactorUnit& unit, const Statistics* statistics, const KnownSizes& sizes) {
  const Tensor table = values(*graph.constant(unit.table)).to(at::kDouble);
  const Tensor all = table.t().mm(table) / static_cast<double>(table.size(0));
  Tensor moments = all;
  if (statistics) {
    const auto [products, count] = read_rows(graph, unit, *statistics);
    moments = products / count + kUnread * all;
  }
  return {.rows = at::eye(table.size(1), at::kDouble), .moments = moments.unsqueeze(0), .output_positions = std::max(1.0, positions_read(graph, unit, sizes)), .table_rows = static_cast<double>(table.size(0))};
}

/// What is minimised of w - w', over the rows w that the outputs make use of and those that were read: their errors as outputs x (w - w')
/// and as vectors, each relative to the energy of the outputs. One narrow map serves both, so that each kind of row counts in both
/// measures; this has an exact solution at every rank.
void add_lookups(const Graph& graph, const FactorUnit& unit, const Statistics* statistics, const KnownSizes& sizes, FactoredLayer& layer) {
  layer.lookups = positions_read(graph, unit, sizes);
  if (!statistics || !layer.moments.defined()) return;
  const Tensor read = read_rows(graph, unit, *statistics).first;
  const Tensor weighted = layer.weights.defined() ? layer.rows * layer.weights.unsqueeze(1) : layer.rows, stored = weighted.t().mm(weighted);
  const double outputs = (layer.moments[0] * stored).sum().item<double>(), plain = stored.trace().item<double>(), energy = read.trace().item<double>();
  if (outputs <= 0 || plain <= 0 || energy <= 0) return;
  const Tensor seen = root_of(read * (plain / energy));
  layer.moments = layer.moments + outputs / plain * at::eye(stored.size(0), at::kDouble);
  layer.rows = at::cat({layer.rows, seen});
  layer.num_seen = seen.size(0);
  // four parts of the same energy stand for two
  if (layer.weights.defined()) layer.weights = at::cat({layer.weights, at::ones({layer.num_seen}, at::kDouble)}) * std::sqrt(0.5);
}

}  // namespace niwaki
