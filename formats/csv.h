#pragma once

#include <string>

#include "compress/json.h"
#include "formats/limits.h"
#include "formats/reshapable_array.h"

namespace niwaki {

/// How the rows of a CSV or TSV file are laid out.
struct CsvOptions {
  enum class Header { automatic, yes, no };
  std::string label = "first";         // first, last, none, or a name of the header
  Header header = Header::automatic;   // automatic: the first row is one where it holds words
  char delimiter = 0;                  // 0: a tab where the first line has one, else a comma
};

/// From `{label: last, header: false, delimiter: ";"}`; E2004 and E2005 name `place`.
CsvOptions parse_csv_options(const Json& block, const std::string& place);
/// The same from the flag's "label=last,header=false,delimiter=;".
Json csv_block_of(const std::string& flag);

/// One row per sample: "arr_0" [rows, columns] and, unless there is no label, "labels". Every number
/// is checked first, then read again on use. E1707 with line and column, E1004, E1706.
SampleArrays open_csv(const std::string& path, const CsvOptions& options = {},
                      const Limits& limits = {});

}  // namespace niwaki
