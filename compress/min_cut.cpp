#include "compress/min_cut.h"

#include <algorithm>
#include <limits>
#include <queue>

namespace niwaki {
namespace {

constexpr double kForbidden = 1e12;
constexpr double kNothing = 1e-9;            // what is left of a capacity after rounding

}  // namespace

void MinCut::connect(int from, int to, double capacity) {
  out_[static_cast<size_t>(from)].push_back(static_cast<int>(edges_.size()));
  edges_.push_back({to, std::min(capacity, kForbidden)});
  out_[static_cast<size_t>(to)].push_back(static_cast<int>(edges_.size()));
  edges_.push_back({from, 0});
}

int MinCut::add(double cost_if_true, double cost_if_false) {
  out_.emplace_back();
  const int item = static_cast<int>(out_.size()) - 1;
  connect(item, 1, cost_if_true);            // cut when the item stays with the source
  connect(0, item, cost_if_false);
  return item - 2;
}

void MinCut::penalize(int a, int b, double cost) { connect(a + 2, b + 2, cost); }

bool MinCut::reach() {
  level_.assign(out_.size(), -1);
  level_[0] = 0;
  std::queue<int> open({0});
  while (!open.empty()) {
    const int node = open.front();
    open.pop();
    for (const int edge : out_[static_cast<size_t>(node)]) {
      const Edge& one = edges_[static_cast<size_t>(edge)];
      if (one.capacity <= kNothing || level_[static_cast<size_t>(one.to)] >= 0) continue;
      level_[static_cast<size_t>(one.to)] = level_[static_cast<size_t>(node)] + 1;
      open.push(one.to);
    }
  }
  return level_[1] >= 0;
}

double MinCut::push(int node, double flow) {
  if (node == 1) return flow;
  for (int& i = next_[static_cast<size_t>(node)]; i < static_cast<int>(out_[static_cast<size_t>(node)].size()); ++i) {
    const int edge = out_[static_cast<size_t>(node)][static_cast<size_t>(i)];
    const int to = edges_[static_cast<size_t>(edge)].to;
    if (edges_[static_cast<size_t>(edge)].capacity <= kNothing || level_[static_cast<size_t>(to)] != level_[static_cast<size_t>(node)] + 1) continue;
    const double sent = push(to, std::min(flow, edges_[static_cast<size_t>(edge)].capacity));
    if (sent <= kNothing) continue;
    edges_[static_cast<size_t>(edge)].capacity -= sent;
    edges_[static_cast<size_t>(edge ^ 1)].capacity += sent;
    return sent;
  }
  return 0;
}

std::vector<bool> MinCut::solve() {
  while (reach()) {
    next_.assign(out_.size(), 0);
    while (push(0, std::numeric_limits<double>::infinity()) > kNothing) {}
  }
  std::vector<bool> labels;
  for (size_t item = 2; item < out_.size(); ++item) labels.push_back(level_[item] >= 0);
  return labels;
}

}  // namespace niwaki
