#pragma once

#include "compress/graph.h"

namespace niwaki {

/// Throws InternalError when the graph breaks a rule that every pass must keep: a value has one producer that stands
/// before its readers, an initializer has a constant, the interface values exist.
void require_valid(const Graph& graph);

}  // namespace niwaki
