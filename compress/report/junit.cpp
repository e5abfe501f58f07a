#include "compress/report/junit.h"

#include "compress/error.h"
#include "compress/report/escape.h"
#include "compress/report/numbers.h"
#include "compress/report/summary.h"

#include <nlohmann/json.hpp>

namespace niwaki {
namespace {

enum class Outcome { passed, failure, error, skipped };

Outcome outcome_of(const Json& gate) {
  if (flag(gate, "informational") || flag(gate, "accepted")) return Outcome::skipped;
  if (text(gate, "verdict") == "pass") return Outcome::passed;
  if (item(gate, "measured") == Json(false)) return Outcome::error;
  return Outcome::failure;  // inconclusive is not a pass
}

std::string message_of(const Json& gate) {
  const std::string message = text(gate, "message");
  return xml_text(message.empty() ? text(gate, "verdict") : message);
}

std::string test_case(const Json& gate) {
  std::string line =
      "  <testcase classname=\"niwaki.gate\" name=\"" + xml_text(text(gate, "name")) + "\"";
  switch (outcome_of(gate)) {
    case Outcome::passed:
      return line + "/>\n";
    case Outcome::skipped:
      return line + "><skipped message=\"" + message_of(gate) + "\"/></testcase>\n";
    case Outcome::error:
      return line + "><error type=\"not_measured\" message=\"" + message_of(gate) +
             "\"/></testcase>\n";
    case Outcome::failure:
      break;
  }
  return line + "><failure type=\"" + xml_text(text(gate, "verdict")) + "\" message=\"" +
         message_of(gate) + "\"/></testcase>\n";
}

std::string csv_value(const Json& value) {
  if (value.is_number_integer()) return value.dump();
  if (value.is_number()) return csv_number(value.get<double>());
  if (value.is_string()) return csv_cell(value.get<std::string>());
  return value.is_null() ? ""
                         : csv_cell(value.dump(-1, ' ', false, Json::error_handler_t::replace));
}

}  // namespace

std::string junit(const Json& report) {
  int tests = 0, failures = 0, errors = 0, skipped = 0;
  std::string cases;
  for (const Json& gate : item(report, "gates")) {
    const Outcome outcome = outcome_of(gate);
    ++tests;
    failures += outcome == Outcome::failure;
    errors += outcome == Outcome::error;
    skipped += outcome == Outcome::skipped;
    cases += test_case(gate);
  }
  if (text(report, "status") == "failed") {
    ++tests;
    ++errors;
    cases +=
        "  <testcase classname=\"niwaki.run\" name=\"run\"><error type=\"failed\" message=\"the "
        "run failed\"/></testcase>\n";
  }
  return cat("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuite name=\"niwaki\" tests=\"",
             tests, "\" failures=\"", failures, "\" errors=\"", errors, "\" skipped=\"", skipped,
             "\">\n", cases, "</testsuite>\n");
}

std::string csv(const Json& report) {
  const std::vector<std::string> columns = {
      "name",         "op",          "outcome", "code", "reason", "dtype_before", "dtype_after",
      "bytes_before", "bytes_after", "sqnr_db", "drop", "range",  "clipped"};
  std::string lines = joined(columns, ",") + "\r\n";
  for (const Json& node : item(report, "nodes")) {
    std::vector<std::string> cells;
    for (const std::string& column : columns) cells.push_back(csv_value(item(node, column)));
    lines += joined(cells, ",") + "\r\n";
  }
  return lines;
}

}  // namespace niwaki
