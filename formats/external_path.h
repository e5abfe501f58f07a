#pragma once

#include <string>

namespace niwaki {

/// What the user allows beyond the rules for external data.
struct PathPolicy {
  bool allow_symlinks = false;
  bool allow_hardlinks = false;
};

/// Opens the external data file `location` of a model: a regular file below the model's directory,
/// reached without links, or beside the real file where the model itself is a link. The caller owns
/// the descriptor; the file must never be opened again by name. `subject` ("tensor 'fc.weight'") is
/// what messages say. Throws E1201, E1202, E1203, E1208.
int open_external(const std::string& model_path, const std::string& location,
                  const PathPolicy& policy = {}, const std::string& subject = {});

/// The location beside the model, for messages and as the name of a map.
std::string external_display_path(const std::string& model_path, const std::string& location);

}  // namespace niwaki
