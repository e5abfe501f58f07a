#pragma once

#include "compress/macs.h"
#include "compress/target.h"

#include <set>

namespace niwaki {

/// A node that integer kernels can compute, with the activation that they take in.
struct IntegerUnit {
  enum class Kind { linear, add, concat, pool, average_pool, move } kind = Kind::move;
  NodeId node;
  std::optional<NodeId> activation;          // Relu or Clip from 0, absorbed by the kernel
  ValueId output;                            // of the activation, where there is one
  std::vector<ValueId> inputs;               // that are computed
  Work work;
  /// A Gemm or MatMul kernel whose codes nobody reads gives float by itself; with an activation behind it, the runtime
  /// would fuse both in float first.
  bool gives_float() const { return kind == Kind::linear && work.kind == Work::Kind::gemm && !activation; }
};

struct PrecisionPlan {
  std::vector<IntegerUnit> units;            // chosen ones, in execution order
  std::map<NodeId, std::string> kept;        // candidates that stay float, with the reason
  std::set<NodeId> integer;                  // nodes of the chosen units
  double float_us = 0, planned_us = 0;       // of all candidates, by the cost table
};

enum class Placement { automatic, all };

/// Which nodes get integer kernels. `automatic`: the labelling of least cost by the target's table, borders between
/// integer and float included, found as a minimum cut; `all`: every node that can. `allowed` says which may.
PrecisionPlan assign_precision(const Graph& graph, const KnownSizes& sizes, Placement placement, const std::set<NodeId>& refused);

}  // namespace niwaki
