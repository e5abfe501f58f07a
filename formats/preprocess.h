#pragma once

#include <string>
#include <vector>

#include "compress/graph.h"
#include "compress/json.h"
#include "formats/limits.h"

namespace niwaki {

/// What is done to numbers before a float input gets them: y = (x * scale - mean) / std in float32.
/// Each list has one number, or one per channel; empty: left out.
struct Preprocess {
  enum class Layout { automatic, nchw, nhwc };
  std::vector<double> scale, mean, std;
  Layout layout = Layout::automatic;
  bool is_empty() const {
    return scale.empty() && mean.empty() && std.empty() && layout == Layout::automatic;
  }
};

/// From `{scale: 0.0039, mean: [...], std: [...], layout: nchw}`; E2002 where a key is for images
/// (color, resize, crop), E2004, E2005 and E2008 for the rest. Messages name `place`.
Preprocess parse_preprocess(const Json& block, const std::string& place);
/// From a YAML file with these keys, alone or below `preprocess:`; also E4004, E1004, E2003, E2006.
Preprocess read_preprocess(const std::string& path, const Limits& limits = {});

/// The axis of the channels for lists of `count` numbers, of an array that has the input's shape.
int64_t axis_of_channels(const std::vector<int64_t>& sizes, int64_t count, Preprocess::Layout layout,
                        const std::string& name);
/// Does the arithmetic; integers that float32 cannot hold are E1704.
Tensor apply_preprocess(const Tensor& numbers, const Preprocess& preprocess,
                        const std::string& name);

}  // namespace niwaki
