#pragma once

#include "formats/samples.h"
#include "tests/apply_pass.h"
#include "tests/graph_builder.h"

namespace niwaki {

/// x [n, 6] -> hidden -> 3 scores; names of the weights begin with `prefix`.
inline Graph small_net(int64_t hidden, uint64_t seed, bool with_softmax = false, const std::string& prefix = "") {
  GraphBuilder b;
  const auto weight = [&](const std::string& name, std::vector<int64_t> sizes, uint64_t offset) { return b.constant(prefix + name, random_tensor(std::move(sizes), seed + offset) * 0.4); };
  const ValueId h = b.node("Relu", {b.node("Gemm", {b.input("x", {"n", int64_t{6}}), weight("w1", {6, hidden}, 1), b.constant(prefix + "b1", at::zeros({hidden}))}, {}, prefix + "first")});
  ValueId y = b.node("Gemm", {h, weight("w2", {hidden, 3}, 2), b.constant(prefix + "b2", at::zeros({3}))}, {}, prefix + "second");
  if (with_softmax) y = b.node("Softmax", {y}, {{"axis", int64_t{1}}});
  b.output(y, "y");
  return b.graph();
}

/// Labels are what `teacher` would say.
inline Dataset samples_for(const Graph& graph, const Graph& teacher, int64_t count, bool with_labels, uint64_t seed = 7) {
  const Tensor x = random_tensor({count, 6}, seed);
  std::map<std::string, Tensor> arrays{{"x", x}};
  if (with_labels) arrays["labels"] = run_graph(teacher, {x})[0].argmax(1);
  return Dataset(graph, samples_of(arrays), {.batch = 16, .want_labels = true}, "data");
}

inline double agreement(const Graph& a, const Graph& b, uint64_t seed = 99) {
  const Tensor x = random_tensor({500, 6}, seed);
  return run_graph(a, {x})[0].argmax(1).eq(run_graph(b, {x})[0].argmax(1)).to(at::kDouble).mean().item<double>();
}

inline Tensor weight_of(const Graph& graph, const std::string& name) { return values(*graph.constant(*graph.find_value(name))); }

}  // namespace niwaki
