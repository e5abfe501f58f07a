#pragma once

#include "compress/json.h"
#include "compress/report/terminal_table.h"

#include <string>
#include <vector>

namespace niwaki {

/// SHA-256 over the report without `run`, measured times and memory: two equal runs have equal
/// hashes.
std::string content_hash(const Json& report);

/// Name of a format's file in the report directory, "report.html" for "html"; UsageError E2011 for
/// an unknown format.
std::string report_file_name(const std::string& format);
/// The text of one format: csv, card, html, json, junit, md or pr.
std::string render(const Json& report, const std::string& format);
/// Writes each format into `directory`, which exists, each file atomically; json comes first.
void write_reports(const Json& report, const std::string& directory,
                   const std::vector<std::string>& formats);

}  // namespace niwaki
