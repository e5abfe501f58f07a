#pragma once

#include "compress/graph.h"
#include "compress/options.h"

namespace niwaki {

class Terminal;

/// What `prune --pattern channels` could remove from a model, and what is frozen and why: {groups: [{width, blocks, made_by,
/// read_by, share_of_macs, share_of_weights}], frozen: [{value, axis, reason}]}; shares are those of the whole model.
Json prunable_json(const Graph& original);
void print_prunable(const Json& json, Terminal& terminal);

}  // namespace niwaki
