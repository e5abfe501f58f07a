#pragma once

#include "compress/graph.h"

namespace niwaki {

/// Values that are compared between a student and its teacher.
struct LayerPair {
  ValueId student, teacher;
};

/// Share of the student's linear nodes that have a namesake in the teacher: a student that was made from it has many.
double share_of_namesakes(const Graph& student, const Graph& teacher);

/// Results of Adds of computed values (the ends of residual blocks) that have a namesake of the same sizes in the teacher.
std::vector<LayerPair> pair_by_name(const Graph& student, const Graph& teacher);

/// "s1=t1,s2=t2": names of values, or of nodes, which stand for their first result. E2007 where there is none of that name.
std::vector<LayerPair> named_pairs(const std::string& text, const Graph& student, const Graph& teacher);

}  // namespace niwaki
