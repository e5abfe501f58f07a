#pragma once

#include "compress/dataset.h"
#include "passes/train/pair_layers.h"

namespace niwaki {

/// Shares of an attention, and the values that it takes them of.
struct AttentionValues {
  ValueId shares, values;
};

/// Softmax nodes over the last axis of [N, heads, queries, keys] whose result multiplies something computed, in order; a model
/// that is not the student itself reads the student's samples.
std::vector<AttentionValues> find_attention(const Graph& graph, const Graph& student, const Dataset& data);

struct AttentionPair {
  AttentionValues student, teacher;
};

/// By name where all of the student have a namesake, else layer i with layer ceil(i * teacher's / student's).
std::vector<AttentionPair> pair_attention(const Graph& student, const Graph& teacher, const Dataset& data);

}  // namespace niwaki
