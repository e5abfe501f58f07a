#include "compress/report/summary.h"

#include "compress/report/numbers.h"
#include "tests/compress/report/sample_report.h"

#include <gtest/gtest.h>

namespace niwaki {
namespace {

// Every percentage and ratio is recomputed from the raw fields of the report.
TEST(Summary, NumbersFollowFromTheRawFields) {
  const Json report = sample_report();
  const std::vector<Row> rows = headline(report);
  ASSERT_EQ(rows.size(), 4u);
  const double before = report["before"]["file_bytes"], after = report["after"]["file_bytes"];
  EXPECT_EQ(rows[0].change, fixed(before / after, 2) + "x smaller");
  const Json& quality = report["quality"][0];
  const double was = quality["before"], is = quality["after"];
  EXPECT_EQ(rows[1].before, fixed(100 * was, 2) + " %");
  EXPECT_EQ(rows[1].after, fixed(100 * is, 2) + " %");
  EXPECT_EQ(rows[1].change, with_sign(100 * (is - was), 2) + " pt [-0.39, +0.02]");
  const double old_ms = report["latency"]["before_ms"]["p50"],
               new_ms = report["latency"]["after_ms"]["p50"];
  EXPECT_EQ(rows[2].change, fixed(old_ms / new_ms, 2) + "x faster [2.55, 2.69]");
  EXPECT_EQ(rows[3].change, fixed(31.0 / 28.0, 2) + "x less");
}

TEST(Summary, ShowsMacsWhereTheyChanged) {
  Json report = sample_report();
  report["before"]["macs"] = 40551040;
  report["after"]["macs"] = 20202112;
  const Row row = headline(report)[1];
  EXPECT_EQ(row.label + " " + row.before + " " + row.after + " " + row.change, "MACs 40.55 M 20.20 M " + fixed(40551040.0 / 20202112, 2) + "x fewer");
  report["after"]["macs"] = 40551040;
  EXPECT_NE(headline(report)[1].label, "MACs");
}

TEST(Summary, PartsAddUpToTheFile) {
  const Json report = sample_report();
  double sum = 0;
  for (const auto& [part, bytes] : report["after"]["bytes"].items()) sum += bytes.get<double>();
  EXPECT_EQ(sum, report["after"]["file_bytes"].get<double>());
  EXPECT_EQ(joined(bytes_by_part(report), " · "),
            "weights 272 kB · scales 6 kB · graph and names 51 kB");
}

TEST(Summary, CountsNodes) {
  EXPECT_EQ(joined(node_counts(sample_report()), " · "),
            "21 INT8 · 9 without weights · kept as float: 1");
  ASSERT_EQ(kept_nodes(sample_report()).size(), 1u);
  EXPECT_EQ(text(*kept_nodes(sample_report())[0], "name"), "fc");
}

TEST(Summary, WhatNobodyCanTellIsNotCalledSlower) {
  Json report = sample_report();
  report["latency"]["ratio"] = 1.004;
  report["latency"]["ci95"] = {0.98, 1.03};
  const Row row = headline(report)[2];
  EXPECT_EQ(row.change, "as fast [0.97, 1.02]");
  EXPECT_FALSE(row.is_worse);
}

TEST(Summary, WorseIsSaidSo) {
  Json report = sample_report();
  report["after"]["file_bytes"] = 1100000;
  report["latency"]["before_ms"]["p50"] = 9.81;
  report["latency"]["after_ms"]["p50"] = 12.40;
  report["latency"]["ratio"] = 12.40 / 9.81;
  report["latency"]["ci95"] = {1.22, 1.31};
  report["latency"]["suggestion"] = "--mode weight_only";
  report["verification"]["fusion"]["unfused"] = {"conv1", "fc"};
  const std::vector<Row> rows = headline(report);
  EXPECT_EQ(rows[0].change, "1.01x LARGER");
  EXPECT_EQ(rows[2].change, "1.26x SLOWER [1.22, 1.31]");
  EXPECT_TRUE(rows[2].is_worse);
  EXPECT_EQ(slowdown_causes(report).back(), "try --mode weight_only");
  EXPECT_EQ(slowdown_causes(report).size(), 2u);
  EXPECT_TRUE(slowdown_causes(sample_report()).empty());
}

TEST(Summary, LowerIsBetterKeepsItsSign) {
  Json report = sample_report();
  report["quality"] = {{{"metric", "nats"},
                        {"unit", "nat"},
                        {"samples", 50},
                        {"before", 3.2},
                        {"after", 3.25},
                        {"drop", 0.05},
                        {"ci95", {0.03, 0.07}},
                        {"higher_is_better", false},
                        {"is_share", false}}};
  EXPECT_EQ(headline(report)[1].change, "+0.0500 nat [+0.0300, +0.0700]");
}

TEST(Summary, ThinMarginsShowTheLimit) {
  Json report = sample_report();
  EXPECT_EQ(headline(report)[1].limit, "");
  report["gates"][1]["ci95"] = {-0.02, 0.6};
  EXPECT_EQ(headline(report)[1].limit, "limit -1.00 pt");
}

TEST(Summary, MissingPartsAreNotMeasured) {
  const std::vector<Row> rows = headline(Json::object());
  ASSERT_EQ(rows.size(), 4u);
  for (const Row& row : rows) EXPECT_EQ(row.change, "not measured") << row.label;
  EXPECT_EQ(verification(Json::object()), std::vector<std::string>{"not verified on ONNX Runtime"});
  EXPECT_TRUE(node_counts(Json(nullptr)).empty());
}

}  // namespace
}  // namespace niwaki
