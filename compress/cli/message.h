#pragma once

#include "compress/error.h"

#include <nlohmann/json.hpp>

#include <string>

namespace niwaki {

/// The fields of a message as `--json` prints them: code, message, where{file, offset, line, column, node}, found, needed, help.
nlohmann::json error_json(const Error& error);
/// Layout of a message for people; a help line is always there.
std::string error_text(const Error& error, bool with_color);
/// `--color`, NO_COLOR, FORCE_COLOR, TERM and whether `descriptor` is a terminal.
bool wants_color(const std::string& choice, int descriptor);
/// Prints an error where it belongs: text on stderr, and one document on stdout with `--json`.
void print_error(const Error& error, bool as_json, const std::string& color_choice);

}  // namespace niwaki
