#include "passes/prune/channel_families.h"

#include "compress/error.h"
#include "compress/graph_edit.h"

#include <algorithm>

namespace niwaki {

bool is_recurrent(const Node& node) { return is_default_domain(node.domain) && (node.op == "LSTM" || node.op == "GRU" || node.op == "RNN"); }

namespace {

using Ids = std::span<const ClassId>;

/// The axis of a linear node's input that it sums over.
size_t summed_axis(const AxisClasses& classes, const LinearView& view) {
  if (view.kind == LinearKind::conv || view.kind == LinearKind::conv_transpose) return 1;
  const size_t rank = classes.num_axes(view.input);
  return view.kind == LinearKind::matmul && view.weight_index == 0 ? rank - 2 : rank - 1;
}

bool is_depthwise(const Graph& graph, const LinearView& view) {
  return view.kind == LinearKind::conv && view.groups > 1 && graph.constant(view.weight)->sizes[1] == 1;
}

class Finder {
 public:
  Finder(const Graph& graph, const AxisClasses& classes, const std::set<NodeId>& kept) : graph_(graph), classes_(classes), kept_(kept) {}
  ChannelFamilies find();

 private:
  void freeze_kept();
  void find_readers();
  void add_view(const LinearView& view);
  void add_recurrent(NodeId id);
  void add_reader(ChannelReader reader, Ids ids, int64_t taps, int64_t first);
  void others(Ids ids) { others_.insert(ids.begin(), ids.end()); }
  void find_products();
  std::vector<std::string> signatures() const;
  void find_makers();
  bool balance(ChannelFamily& family) const;
  void find_vanishing();
  bool can_go(ClassId id) const { return id != ClassId::frozen && !frozen_.contains(id); }

  const Graph& graph_;
  const AxisClasses& classes_;
  const std::set<NodeId>& kept_;
  std::set<ClassId> frozen_, others_;
  ChannelFamilies found_;
  std::map<ClassId, std::set<size_t>> readers_of_;
  std::map<ClassId, std::vector<LinearView>> makers_of_;
};

void Finder::freeze_kept() {
  for (const NodeId id : kept_) {
    for (const ValueId input : graph_.node(id).inputs) {
      if (input == ValueId::absent || !graph_.constant(input)) continue;
      for (size_t axis = 0; axis < classes_.num_axes(input); ++axis) {
        const Ids ids = classes_.axis(input, axis);
        frozen_.insert(ids.begin(), ids.end());
      }
    }
  }
}

void Finder::add_reader(ChannelReader reader, Ids ids, int64_t taps, int64_t first) {
  for (size_t i = 0; i < ids.size(); ++i) {
    auto& columns = reader.columns[ids[i]];
    for (int64_t tap = 0; tap < taps; ++tap) columns.push_back((first + static_cast<int64_t>(i)) * taps + tap);
  }
  for (const auto& [id, columns] : reader.columns) readers_of_[id].insert(found_.readers.size());
  found_.readers.push_back(std::move(reader));
}

void Finder::add_view(const LinearView& view) {
  if (!classes_.knows(view.input) || is_depthwise(graph_, view)) return;
  const Ids ids = classes_.axis(view.input, summed_axis(classes_, view));
  if (!fixed_constant(graph_, view.weight) || !has_columns(graph_, view)) return others(ids);
  const auto& sizes = graph_.constant(view.weight)->sizes;
  int64_t taps = 1;
  for (size_t i = 2; i < sizes.size(); ++i) taps *= sizes[i];
  const size_t per_group = ids.size() / static_cast<size_t>(view.groups);
  for (int64_t group = 0; group < view.groups; ++group) {
    ChannelReader reader{.node = view.node, .weight = view.weight, .input = view.input, .view = view, .group = group};
    add_reader(std::move(reader), ids.subspan(static_cast<size_t>(group) * per_group, per_group), taps, 0);
  }
}

void Finder::add_recurrent(NodeId id) {
  const Node& node = graph_.node(id);
  if (!classes_.knows(node.inputs[0]) || !fixed_constant(graph_, node.inputs[1]) || !fixed_constant(graph_, node.inputs[2])) return;
  add_reader({.node = id, .weight = node.inputs[1], .input = node.inputs[0]}, classes_.axis(node.inputs[0], 2), 1, 0);
  const Ids hidden = classes_.axis(node.inputs[2], 2);
  if (node.outputs[0] == ValueId::absent) return others(hidden);
  add_reader({.node = id, .weight = node.inputs[2], .input = node.outputs[0]}, hidden, 1, 0);
}

/// Products of two activations read both sides, and no statistics tell how.
void Finder::find_products() {
  for (const NodeId id : graph_.main().nodes) {
    const Node& node = graph_.node(id);
    if ((node.op != "MatMul" && node.op != "Gemm") || linear_view(graph_, id) || !classes_.knows(node.inputs[0])) continue;
    const bool is_turned = node.op == "Gemm" && int_attribute(node, "transA", 0) != 0;
    const size_t rank = classes_.num_axes(node.inputs[0]);
    others(classes_.axis(node.inputs[0], is_turned ? 0 : rank - 1));
  }
}

void Finder::find_readers() {
  for (const NodeId id : graph_.main().nodes) {
    if (is_recurrent(graph_.node(id))) add_recurrent(id);
    else if (const auto view = linear_view(graph_, id)) add_view(*view);
  }
  find_products();
}

void Finder::find_makers() {
  for (const LinearView& view : linear_views(graph_)) {
    if (!classes_.knows(view.output)) continue;
    const size_t rank = classes_.num_axes(view.output);
    const bool is_conv = view.kind == LinearKind::conv || view.kind == LinearKind::conv_transpose;
    const Ids ids = classes_.axis(view.output, is_conv ? 1 : view.weight_index == 0 ? rank - 2 : rank - 1);
    for (const ClassId id : std::set<ClassId>(ids.begin(), ids.end())) makers_of_[id].push_back(view);
  }
}

/// Where a class shows, how often: classes of equal text are alike.
std::vector<std::string> Finder::signatures() const {
  std::vector<std::map<std::pair<uint32_t, uint32_t>, int>> counts(classes_.num_classes());
  for (uint32_t i = 1; i < classes_.num_values(); ++i) {
    for (uint32_t axis = 0; axis < classes_.num_axes(static_cast<ValueId>(i)); ++axis) {
      for (const ClassId id : classes_.axis(static_cast<ValueId>(i), axis)) {
        if (id != ClassId::frozen) ++counts[static_cast<uint32_t>(id)][{i, axis}];
      }
    }
  }
  std::vector<std::string> texts(counts.size());
  for (size_t id = 1; id < counts.size(); ++id) {
    for (const auto& [place, count] : counts[id]) texts[id] += cat(place.first, ".", place.second, "x", count, " ");
  }
  return texts;
}

/// Splits a family into the blocks that must lose equally many; false where no split does that.
bool Finder::balance(ChannelFamily& family) const {
  std::map<ClassId, std::vector<std::pair<size_t, size_t>>> places;      // (constraint, block), once per occurrence
  for (size_t c = 0; c < classes_.constraints().size(); ++c) {
    const auto& blocks = classes_.constraints()[c].blocks;
    for (size_t b = 0; b < blocks.size(); ++b) {
      for (const ClassId id : blocks[b]) places[id].emplace_back(c, b);
    }
  }
  std::map<std::vector<std::pair<size_t, size_t>>, std::vector<ClassId>> groups;
  for (const ClassId id : family.blocks.front()) groups[places.contains(id) ? places[id] : std::vector<std::pair<size_t, size_t>>{}].push_back(id);
  std::map<size_t, std::map<size_t, int>> losses;                        // constraint -> block -> indices that go with one unit
  family.blocks.clear();
  for (const auto& [where, ids] : groups) {
    if (ids.size() != groups.begin()->second.size()) return false;
    for (const auto& [constraint, block] : where) ++losses[constraint][block];
    family.blocks.push_back(ids);
  }
  return std::all_of(losses.begin(), losses.end(), [&](const auto& one) {
    const auto& [constraint, blocks] = one;
    if (blocks.size() != classes_.constraints()[constraint].blocks.size()) return false;
    return std::all_of(blocks.begin(), blocks.end(), [&](const auto& block) { return block.second == blocks.begin()->second; });
  });
}

/// A family may go entirely where every axis keeps a frozen index, or one of a family that cannot go.
void Finder::find_vanishing() {
  std::map<ClassId, size_t> family_of;
  for (size_t i = 0; i < found_.families.size(); ++i) {
    found_.families[i].may_vanish = true;
    for (const auto& block : found_.families[i].blocks) {
      for (const ClassId id : block) family_of[id] = i;
    }
  }
  for (bool is_changed = true; is_changed;) {
    is_changed = false;
    for (uint32_t i = 1; i < classes_.num_values(); ++i) {
      for (size_t axis = 0; axis < classes_.num_axes(static_cast<ValueId>(i)); ++axis) {
        const Ids ids = classes_.axis(static_cast<ValueId>(i), axis);
        const auto goes = [&](ClassId id) { return family_of.contains(id) && found_.families[family_of[id]].may_vanish; };
        if (ids.empty() || !std::all_of(ids.begin(), ids.end(), goes)) continue;
        found_.families[family_of[ids.front()]].may_vanish = false;
        is_changed = true;
      }
    }
  }
}

ChannelFamilies Finder::find() {
  freeze_kept();
  find_readers();
  find_makers();
  const std::vector<std::string> texts = signatures();
  std::map<std::string, size_t> places;
  for (uint32_t i = 1; i < classes_.num_classes(); ++i) {
    const auto id = static_cast<ClassId>(i);
    // a class without constants is arithmetic of the exporter: nothing would get smaller
    if (!can_go(id) || classes_.members(id).empty() || (readers_of_[id].empty() && !others_.contains(id))) continue;
    const auto [place, is_new] = places.emplace(texts[i], found_.families.size());
    if (is_new) found_.families.push_back({.blocks = {{}}, .makers = makers_of_[id]});
    ChannelFamily& family = found_.families[place->second];
    family.blocks.front().push_back(id);
    family.has_other_readers |= others_.contains(id);
    family.readers.insert(family.readers.end(), readers_of_[id].begin(), readers_of_[id].end());
  }
  for (ChannelFamily& family : found_.families) {
    std::sort(family.readers.begin(), family.readers.end());
    family.readers.erase(std::unique(family.readers.begin(), family.readers.end()), family.readers.end());
  }
  std::erase_if(found_.families, [&](ChannelFamily& family) { return !balance(family); });
  find_vanishing();
  return std::move(found_);
}

}  // namespace

Tensor ChannelReader::rows(const Graph& graph) const {
  const Tensor numbers = values(*graph.constant(weight)).to(at::kDouble);
  if (!view) return numbers.reshape({-1, numbers.size(-1)});
  const Tensor rows = weight_rows(*view, numbers);
  const int64_t per_group = rows.size(0) / view->groups;
  return rows.narrow(0, group * per_group, per_group);
}

ChannelFamilies find_channel_families(const Graph& graph, const AxisClasses& classes, const std::set<NodeId>& kept) { return Finder(graph, classes, kept).find(); }

void want_grams(const Graph& graph, const ChannelFamilies& found, Wanted& wanted) {
  std::set<NodeId> seen;
  for (const ChannelFamily& family : found.families) {
    for (const size_t index : family.readers) {
      const ChannelReader& reader = found.readers[index];
      if (!reader.view) wanted.value_grams.insert(reader.input);
      else if (seen.insert(reader.node).second) wanted.grams.push_back(*reader.view);
    }
  }
}

Tensor moments_of(const Statistics& statistics, const ChannelReader& reader, double coherence) {
  const int64_t samples = std::max<int64_t>(statistics.num_samples(), 1);
  const Gram& gram = reader.view ? statistics.gram(reader.node) : statistics.value_gram(reader.input);
  const Tensor shared = gram.of_means[reader.group] - at::outer(gram.sums[reader.group], gram.mean()[reader.group]);
  const Tensor moments = (gram.centred()[reader.group] + (coherence - 1) * shared) / static_cast<double>(gram.count);
  // With fewer samples than inputs every output can be fitted and every input seems free: correlations are drawn to zero.
  // Positions of one sample resemble each other: they count as the root of their number.
  const double independent = static_cast<double>(samples) * std::sqrt(static_cast<double>(gram.count) / static_cast<double>(samples));
  const auto inputs = static_cast<double>(moments.size(0));
  const double shrinkage = inputs / (inputs + independent);
  return (1 - shrinkage) * moments + shrinkage * moments.diagonal().diag();
}

}  // namespace niwaki
