#pragma once

#include "compress/tensor.h"

#include <vector>

namespace niwaki {

/// A linear map whose inputs may go: rows [out, n], each as heavy as it matters, and the second moments [n, n] of its inputs
/// per sample; double.
struct ObsProblem {
  Tensor rows, moments;
};

/// What goes as a whole: columns of one or more problems.
struct ObsUnit {
  struct Part {
    size_t problem;
    std::vector<int64_t> columns;
  };
  std::vector<Part> parts;
};

/// The order in which units go, cheapest first, and what it costs: losses[k] is the loss, summed over the problems, when the first
/// k of `order` are gone and what is left is repaired by least squares (ridge `damp` times the mean moment).
struct ObsOrder {
  std::vector<size_t> order;
  std::vector<double> losses;                // [order.size() + 1], losses[0] = 0
};

/// Structured Optimal Brain Surgeon (Hassibi and Stork 1993; 2208.11580): removes, again and again, the unit of least
/// sum of tr(W_S (P_SS)^-1 W_S^T), P = (H + lambda I)^-1, and repairs the rest. `count` units are ordered; `given`, if
/// not empty, is the order to take instead of the greedy one.
ObsOrder order_by_obs(std::vector<ObsProblem> problems, const std::vector<ObsUnit>& units, size_t count, double damp,
                      const std::vector<size_t>& given = {});

}  // namespace niwaki
