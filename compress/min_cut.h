#pragma once

#include <vector>

namespace niwaki {

/// A binary labelling of least cost, found as a minimum cut (Dinic 1970): costs of each label, and of pairs that differ.
class MinCut {
 public:
  /// A new item; its label is true or false at these costs (>= 0; infinite: forbidden).
  int add(double cost_if_true, double cost_if_false);
  /// Costs `cost` when `a` is true and `b` is false.
  void penalize(int a, int b, double cost);
  /// The labels of least total cost, by item; where both cost the same, false.
  std::vector<bool> solve();

 private:
  struct Edge {
    int to;
    double capacity;
  };
  void connect(int from, int to, double capacity);
  bool reach();
  double push(int node, double flow);
  std::vector<Edge> edges_;
  std::vector<std::vector<int>> out_ = std::vector<std::vector<int>>(2);   // 0: source, true; 1: sink, false
  std::vector<int> level_, next_;
};

}  // namespace niwaki
