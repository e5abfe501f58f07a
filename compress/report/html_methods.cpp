#include "compress/report/html_methods.h"

#include "compress/report/escape.h"
#include "compress/report/html_parts.h"
#include "compress/report/numbers.h"
#include "compress/report/summary.h"
#include "compress/report/svg.h"

#include <nlohmann/json.hpp>

#include <algorithm>

namespace niwaki {
namespace {

/// What pruning took from each node, and what the repair left of the error.
std::string pruned_table(const Json& report) {
  std::vector<Cells> rows;
  size_t count = 0;
  for (const Json& node : item(report, "nodes")) {
    const auto zeros = number(node, "sparsity");
    const Json &was = item(node, "weight_before"), &is = item(node, "weight_after");
    if (!zeros && !was.is_array()) continue;
    if (++count > kTabled) continue;
    const auto before = number(node, "error_before_refit"), after = number(node, "relative_error");
    rows.push_back({cell(node, "name"), html_text(sizes_text(was)), html_text(sizes_text(is)),
                    zeros ? fixed(100 * *zeros, 1) + " %" : "", optional_text(before, 4), optional_text(after, 4)});
  }
  if (rows.empty()) return "";
  const std::vector<Column> columns = {{"node"}, {"weight before"}, {"weight after"}, {"zeros", true}, {"error before repair", true}, {"error", true}};
  return section("Pruned", table(columns, rows) + more_than(count, kTabled) +
                               element("p", "Errors are those of the node's outputs, squared, relative to the original's, on samples that the fit did not see "
                                            "where channels went, else on those it saw.", "class=\"muted-text\""));
}

/// Which products took the place of weights. MACs are those of all nodes that share a first factor.
std::string factorized_table(const Json& report) {
  std::vector<Cells> rows;
  const Json& nodes = item(report, "nodes");
  const bool are_timed = std::any_of(nodes.begin(), nodes.end(), [](const Json& node) { return number(node, "measured_ms_before").has_value(); });
  for (const Json& node : nodes) {
    if (!item(node, "factors").is_array()) continue;
    Cells cells{cell(node, "name"), cell(node, "form"), optional_text(number(node, "rank"), 0), optional_text(number(node, "energy"), 4)};
    for (const char* key : {"macs_before", "macs_after"}) cells.push_back(optional_text(number(node, key), 0));
    for (const char* key : {"error_before_refit", "relative_error"}) cells.push_back(optional_text(number(node, key), 4));
    for (const char* key : {"measured_ms_before", "measured_ms_after"}) {
      if (are_timed) cells.push_back(optional_text(number(node, key), 4));
    }
    rows.push_back(std::move(cells));
  }
  const size_t count = rows.size();
  rows.resize(std::min(count, kTabled));
  std::vector<Column> columns = {{"node"}, {"form"}, {"rank", true}, {"energy kept", true}, {"MACs before", true}, {"MACs after", true}, {"error before refit", true}, {"error", true}};
  if (are_timed) columns.insert(columns.end(), {{"ms before", true}, {"ms after", true}});
  return count == 0 ? "" : section("Factorized", table(columns, rows) + more_than(count, kTabled));
}

/// Losses of the epochs of one pass that trained.
std::string training_section(const Json& pass) {
  const Json& details = item(pass, "details");
  std::vector<Cells> rows;
  Curve trained{"training", {}}, held_out{"held out", {}};
  if (const auto before = number(details, "validation_before")) held_out.points.push_back({0, *before});
  for (const Json& epoch : item(details, "epochs")) {
    const auto place = static_cast<double>(rows.size() + 1);
    const auto loss = number(epoch, "train_loss"), validation = number(epoch, "validation_loss");
    if (loss) trained.points.push_back({place, *loss});
    if (validation) held_out.points.push_back({place, *validation});
    rows.push_back({fixed(place, 0), optional_text(loss, 5), optional_text(validation, 5)});
  }
  if (rows.empty()) return "";
  const auto count = [&](const char* key) { return grouped(number(details, key).value_or(0)); };
  const std::string facts = count("steps") + " updates of " + count("batch") + " samples · " + count("training_samples") + " samples, " + count("held_out_samples") +
                            " more held out · kept that after epoch " + count("best_epoch");
  std::vector<Curve> curves{trained};
  if (!held_out.points.empty()) curves.push_back(held_out);
  const size_t all = rows.size();
  rows.resize(std::min(all, kTabled));
  return section("Trained: " + text(pass, "name"),
                 element("p", html_text(facts), "class=\"muted-text\"") + line_chart(curves, "Loss by epoch") +
                     folded("Table", table({{"epoch", true}, {"loss", true}, {"loss of held-out samples", true}}, rows) + more_than(all, kTabled)));
}

/// What became of the blocks of one pass that trained them one by one.
std::string blocks_section(const Json& pass) {
  std::vector<Cells> rows;
  for (const Json& block : item(item(pass, "details"), "blocks")) {
    const Json& kept = item(block, "kept");
    const bool is_kept = kept.is_boolean() && kept.get<bool>();
    rows.push_back({cell(block, "output"), fixed(static_cast<double>(item(block, "nodes").size()), 0),
                    optional_text(number(block, "error_before"), 4), optional_text(number(block, "error_after"), 4),
                    is_kept ? "kept" : cell(block, "reason")});
  }
  if (rows.empty()) return "";
  const std::vector<Column> columns = {{"block that ends in"}, {"nodes", true}, {"error before", true}, {"error after", true}, {"update"}};
  return section("Tuned: " + text(pass, "name"), table(columns, rows) + element("p", "Errors are squared, over the variance of what the teacher's block gives, "
                                                                                "on samples that taught nothing.", "class=\"muted-text\""));
}

}  // namespace

std::string method_sections(const Json& report) {
  std::string sections = pruned_table(report) + factorized_table(report);
  for (const Json& pass : item(report, "passes")) sections += training_section(pass) + blocks_section(pass);
  return sections;
}

}  // namespace niwaki
