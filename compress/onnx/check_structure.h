#pragma once

#include "compress/graph.h"

namespace niwaki {

/// Holds every node against its operator's schema (E1107 arity, E1108 attributes); operators that the ONNX library does
/// not know are carried through, with a note (W1113).
void check_structure(const Graph& graph, Strings* notes);

/// What the ONNX library's own checker says of a finished message's graph without its weights; "" when it accepts.
std::string checker_verdict(const Graph& graph);

}  // namespace niwaki
