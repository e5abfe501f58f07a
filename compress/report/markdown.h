#pragma once

#include "compress/json.h"

#include <string>

namespace niwaki {

/// report.md: headline table, gates, kept nodes and the ten largest changes.
std::string markdown(const Json& report);
/// A model card (README.md): YAML header, metrics, recipe and hashes.
std::string model_card(const Json& report);
/// The text of a pull request's comment, below 60,000 characters; everything is escaped again.
std::string pull_request(const Json& report);

}  // namespace niwaki
