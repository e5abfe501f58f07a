#pragma once

#include "compress/options.h"

#include <map>
#include <string>

namespace niwaki {

/// YAML as values; where each key and each value stands, by dotted path ("steps.0.quantize.bits"), as "line:column".
struct YamlDocument {
  Json value;
  std::map<std::string, std::string> key_places, value_places;
};

/// One document without anchors, aliases, tags and repeated keys; E2003 and E2006 with the place, named `path`.
YamlDocument parse_yaml(const std::string& text, const std::string& path);
/// What a plain scalar means: true, false, null, a number, or text.
Json yaml_scalar(const std::string& text);

}  // namespace niwaki
