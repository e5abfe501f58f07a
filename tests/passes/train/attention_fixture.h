#pragma once

#include "compress/error.h"
#include "tests/graph_builder.h"

namespace niwaki {

/// x [n, 5, 8] through layers of attention, each added to what it reads, then three scores; names begin with `prefix`.
inline Graph attention_net(int64_t layers, int64_t heads, uint64_t seed, const std::string& prefix) {
  GraphBuilder b;
  const auto reshape = [&](ValueId x, std::vector<int64_t> sizes) { return b.node("Reshape", {x, b.constant("sizes", at::tensor(sizes))}); };
  ValueId h = b.input("x", {"n", int64_t{5}, int64_t{8}});
  for (int64_t i = 0; i < layers; ++i) {
    const auto split = [&](const std::string& name, std::vector<int64_t> order) {
      const ValueId y = b.node("MatMul", {h, b.constant(cat(prefix, "w", name, i), random_tensor({8, 8}, seed++) * 0.5)});
      return b.node("Transpose", {reshape(y, {0, 5, heads, 8 / heads})}, {{"perm", std::move(order)}}, cat(prefix, name, i));
    };
    const ValueId q = split("q", {0, 2, 1, 3}), k = split("k", {0, 2, 3, 1}), v = split("v", {0, 2, 1, 3});
    const ValueId shares = b.node("Softmax", {b.node("MatMul", {q, k})}, {{"axis", int64_t{-1}}}, cat(prefix, "shares", i));
    const ValueId y = reshape(b.node("Transpose", {b.node("MatMul", {shares, v})}, {{"perm", std::vector<int64_t>{0, 2, 1, 3}}}), {0, 5, 8});
    h = b.node("Add", {h, y}, {}, cat(prefix, "sum", i));
  }
  const ValueId mean = b.node("ReduceMean", {h}, {{"axes", std::vector<int64_t>{1}}, {"keepdims", int64_t{0}}});
  b.output(b.node("Gemm", {mean, b.constant(prefix + "last", random_tensor({8, 3}, seed))}), "y");
  Graph graph = b.graph();
  for (const NodeId id : graph.main().nodes) {
    const ValueId made = graph.node(id).outputs[0];
    if (!graph.is_output(made)) graph.rename_value(made, prefix + graph.value(made).name);
  }
  return graph;
}

}  // namespace niwaki
