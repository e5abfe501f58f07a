#pragma once

#include "compress/measure.h"
#include "passes/factorize/factor_units.h"

namespace niwaki {

/// The nodes of a unit as a model of its own for one sample, each with what ONNX Runtime fuses into it: a constant that is added, an
/// activation. Ids are those of `graph`; names are by place, so that equal units give equal models. Nothing where a size is not known.
std::optional<Graph> unit_alone(const Graph& graph, const FactorUnit& unit, const KnownSizes& sizes);

/// Milliseconds per run.
struct UnitTimes {
  double before_ms = 0, after_ms = 0;
  std::array<double, 2> ci95 = {1, 1};       // of after / before
  /// A pair costs accuracy: it must be certain that it pays.
  bool is_faster() const { return ci95[1] < 1; }
};

/// Times models of single units on ONNX Runtime, in two processes that stay.
class UnitTimer {
 public:
  /// E4006 where ONNX Runtime is missing.
  explicit UnitTimer(uint64_t seed);
  ~UnitTimer();
  /// In blocks A B B A; both processes run both models in turn. Numbers of weights and inputs do not count: models of equal
  /// structure are timed once. Nothing where a model is too large for one file.
  std::optional<UnitTimes> compare(Graph before, Graph after);

 private:
  struct Files;
  UnitTimes time(const NamedTensors& inputs);
  std::vector<BlockPair> round(int index, const NamedTensors& inputs);

  uint64_t seed_;
  std::unique_ptr<Files> files_;
  std::array<std::unique_ptr<RuntimeWorker>, 2> workers_;
  std::map<std::string, UnitTimes> known_;
};

}  // namespace niwaki
