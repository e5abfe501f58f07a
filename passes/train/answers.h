#pragma once

#include "compress/graph.h"

namespace niwaki {

/// What the numbers of an output mean to a loss.
enum class AnswerKind { classes, shares, numbers };   // one of several; each between 0 and 1 by itself; free

/// A float output, and the value that losses read of it: what stands before a last Softmax or Sigmoid, else the output itself.
struct Answer {
  ValueId output, scores;
  AnswerKind kind = AnswerKind::numbers;
};

/// The float outputs of a graph, in order. Classes: behind Softmax or LogSoftmax; [N, C] where C is not what an input has per
/// sample; [N, T, C] where an input holds integers (tokens). Shares: behind Sigmoid.
std::vector<Answer> find_answers(const Graph& graph);

}  // namespace niwaki
