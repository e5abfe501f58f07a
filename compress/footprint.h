#pragma once

#include "compress/graph.h"
#include "compress/options.h"

namespace niwaki {

/// Where the bytes of a model go, as exported.
struct Footprint {
  int64_t total_bytes = 0;
  int64_t weight_bytes = 0;                  // payloads of constants, scales left out
  int64_t scale_bytes = 0;                   // scales and zero points of Q/DQ and of stored forms
  int64_t metadata_bytes = 0;                // metadata, doc strings
  int64_t string_bytes = 0;                  // names of values and nodes
  int64_t graph_bytes = 0;                   // what is left: operators, attributes, shapes
  int64_t num_weights = 0;                   // numbers in float and integer constants of more than one element
};
Footprint measure_footprint(const Graph& graph);
/// Bytes of the model as exported; payloads are counted, not copied.
int64_t serialized_bytes(const Graph& graph);
/// The model as one message, which must be below protobuf's 2 GiB.
std::string serialized(const Graph& graph);
Json to_json(const Footprint& footprint);

}  // namespace niwaki
