#include "compress/node_work.h"

#include <c10/util/accumulate.h>

#include <algorithm>

namespace niwaki {
std::optional<Work> linear_work(const Graph& graph, const LinearView& view, const KnownSizes& sizes) {
  const auto in = sizes.find(view.input), out = sizes.find(view.output);
  if (in == sizes.end() || out == sizes.end()) return std::nullopt;
  const auto& weight = graph.constant(view.weight)->sizes;
  Work work{.out_elements = static_cast<double>(c10::multiply_integers(out->second))};
  if (view.kind == LinearKind::conv) {
    if (out->second.size() < 3) return std::nullopt;
    work.kernel = static_cast<double>(c10::multiply_integers(weight.begin() + 2, weight.end()));
    work.outputs = static_cast<double>(weight[0]);
    work.inputs = static_cast<double>(weight[1]);
    work.groups = static_cast<double>(view.groups);
    work.positions = work.out_elements / work.outputs;
    work.kind = view.groups > 1 && weight[1] == 1 ? Work::Kind::depthwise : Work::Kind::convolution;
    return work;
  }
  const auto rank = static_cast<int64_t>(weight.size());
  const double features = static_cast<double>(view.kind == LinearKind::gemm ? weight[static_cast<size_t>(1 - view.channel_axis)] : weight[static_cast<size_t>(rank - 2)]);
  work.kind = Work::Kind::gemm;
  work.rows = static_cast<double>(c10::multiply_integers(in->second)) / std::max(features, 1.0);
  work.macs = work.out_elements * features;
  return work;
}

}  // namespace niwaki
