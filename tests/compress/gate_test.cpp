#include "compress/gate.h"

#include "compress/error.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <random>

namespace niwaki {
namespace {

std::string code_of(const auto& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.code();
  }
  return "";
}

Json measured(double drop, double lo, double hi) {
  Json quality = {
      {"metric", "top1"}, {"unit", "pt"}, {"samples", 1000}, {"before", 0.9}, {"is_share", true}};
  quality["after"] = 0.9 - drop / 100;
  quality["drop"] = drop;
  quality["ci95"] = {lo, hi};
  return {{"status", "ok"},
          {"before", {{"file_bytes", 1000000}}},
          {"after", {{"file_bytes", 300000}}},
          {"quality", Json::array({quality})}};
}

const Json& message(const Json& report) { return report.at("messages").at(0); }

TEST(Gate, DropsHaveUnits) {
  EXPECT_EQ(parse_drop("1pt", "top1").amount, 1);
  EXPECT_FALSE(parse_drop("1 pt", "top1").is_relative);
  EXPECT_TRUE(parse_drop("1%", "top1").is_relative);
  EXPECT_EQ(parse_drop("0.05nat", "perplexity").amount, 0.05);
  EXPECT_EQ(parse_drop("0.5dB", "psnr").unit, "dB");
  EXPECT_EQ(parse_drop("0.5", "psnr").amount, 0.5);
  EXPECT_EQ(parse_drop("0.01", "mae").amount, 0.01);
  EXPECT_EQ(parse_drop("1pt", "agreement").text(), "1 pt");
}

TEST(Gate, BareNumbersAreRefusedForPoints) {
  try {
    parse_drop("1", "top1");
    FAIL();
  } catch (const UsageError& error) {
    EXPECT_EQ(error.code(), "E2012");
    EXPECT_EQ(error.message(), "'1' has no unit, and top1 is measured in points");
    EXPECT_EQ(error.details().help, "write 1pt (absolute) or 1% (of the original value)");
  }
  for (const char* text : {"", "pt", "-1pt", "1dB", "nan", "inf%", "1pt1"}) {
    EXPECT_EQ(code_of([&] { parse_drop(text, "top1"); }), "E2012") << text;
  }
  EXPECT_EQ(code_of([] { parse_drop("1pt", "top9"); }), "E2011");
}

TEST(Gate, SizesAreDecimal) {
  EXPECT_EQ(parse_size("300KB"), 300000);
  EXPECT_EQ(parse_size("2MB"), 2000000);
  EXPECT_EQ(parse_size("1.5 gb"), 1500000000);
  EXPECT_EQ(parse_size("123456"), 123456);
  for (const char* text : {"", "MB", "2 MiB", "-2MB", "2M", "9e30"}) {
    EXPECT_EQ(code_of([&] { parse_size(text); }), "E2012") << text;
  }
  EXPECT_EQ(parse_share("2%"), 0.02);
  EXPECT_EQ(parse_share("0.3"), 0.3);
}

TEST(Gate, TheWholeIntervalIsJudged) {
  EXPECT_EQ(judge(0.5, Interval{0.2, 1.0}, 1), Verdict::pass);
  EXPECT_EQ(judge(0.5, Interval{0.2, 1.01}, 1), Verdict::inconclusive);
  EXPECT_EQ(judge(1.5, Interval{1.0, 2.0}, 1), Verdict::inconclusive);
  EXPECT_EQ(judge(1.5, Interval{1.01, 2.0}, 1), Verdict::fail);
  EXPECT_EQ(judge(1, std::nullopt, 1), Verdict::pass);
  EXPECT_EQ(judge(1.01, std::nullopt, 1), Verdict::fail);
}

TEST(Gate, PassesWithinTheLimits) {
  Json report = measured(0.2, -0.1, 0.5);
  EXPECT_EQ(apply_gates(report, {.max_bytes = 300000, .max_drop = "1pt"}), 0);
  EXPECT_EQ(report["verdict"], "pass");
  EXPECT_EQ(report["status"], "ok");
  EXPECT_EQ(report["gates"].size(), 2u);
  EXPECT_TRUE(report["messages"].empty());
}

TEST(Gate, MissedQualityIsE6002) {
  Json report = measured(1.3, 1.07, 1.56);
  report["trials"] = Json::array({1, 2, 3});
  EXPECT_EQ(apply_gates(report, {.max_drop = "1pt"}), 1);
  EXPECT_EQ(message(report)["code"], "E6002");
  EXPECT_EQ(message(report)["message"],
            "quality missed: best drop 1.30 pt [1.07, 1.56] of top1, limit 1 pt");
  EXPECT_EQ(report["verdict"], "fail");
  EXPECT_EQ(report["status"], "missed");
  apply_gates(report, {.max_drop = "2pt"});  // judged again: old gates and messages go
  EXPECT_TRUE(report["messages"].empty());
  EXPECT_EQ(report["status"], "ok");
}

TEST(Gate, InconclusiveIsNoPass) {
  Json report = measured(0.6, -0.15, 1.48);
  EXPECT_EQ(apply_gates(report, {.max_drop = "1pt"}), 1);
  EXPECT_EQ(report["verdict"], "inconclusive");
  EXPECT_EQ(message(report)["code"], "E6004");
  EXPECT_EQ(
      message(report)["message"],
      "quality is inconclusive: drop 0.60 pt [-0.15, 1.48] of top1, limit 1 pt, 1,000 samples");
  // half-width 0.88 must shrink to 0.40: 1000 * (0.88 / 0.40)^2 = 4840, rounded up to two digits
  EXPECT_EQ(message(report)["help"],
            "about 4,900 samples would decide, or accept with --on-inconclusive warn");
  EXPECT_EQ(apply_gates(report, {.max_drop = "1pt", .accept_inconclusive = true}), 0);
  EXPECT_EQ(message(report)["level"], "warning");
}

TEST(Gate, SizesAreExact) {
  Json report = measured(0, 0, 0);
  EXPECT_EQ(apply_gates(report, {.max_bytes = 299999}), 1);
  EXPECT_EQ(message(report)["code"], "E6001");
  EXPECT_THAT(message(report)["message"].get<std::string>(),
              testing::HasSubstr("300,000 bytes), limit"));
  EXPECT_EQ(apply_gates(report, {.max_size_ratio = 0.3}), 0);
  EXPECT_EQ(apply_gates(report, {.max_size_ratio = 0.29}), 1);
  EXPECT_EQ(apply_gates(report, {.max_growth = 0.02, .baseline_bytes = 290000}), 1);
  EXPECT_EQ(apply_gates(report, {.max_growth = 0.04, .baseline_bytes = 290000}), 0);
}

TEST(Gate, ALargerResultIsMissed) {
  Json report = measured(0, 0, 0);
  report["after"]["file_bytes"] = 1000001;
  EXPECT_EQ(apply_gates(report, {}), 1);
  EXPECT_EQ(message(report)["code"], "E6005");
  EXPECT_EQ(apply_gates(report, {.allow_growth = true}), 0);
  EXPECT_EQ(report["verdict"], "not_gated");
}

TEST(Gate, RelativeDropsAreOfTheOriginalValue) {
  Json report = measured(0.89, 0.85, 0.895);
  EXPECT_EQ(apply_gates(report, {.max_drop = "1%"}), 0);  // 1 % of 90 % is 0.9 pt
  EXPECT_DOUBLE_EQ(report["gates"][0]["limit"].get<double>(), 0.9);
  report = measured(0.95, 0.91, 0.98);
  EXPECT_EQ(apply_gates(report, {.max_drop = "1%"}), 1);
}

TEST(Gate, MinimaAreTurnedRound) {
  Json report = measured(0, 0, 0);
  report["quality"] = {{{"metric", "sqnr_db"},
                        {"unit", "dB"},
                        {"samples", 10},
                        {"after", 22},
                        {"after_ci95", {19, 24}}}};
  EXPECT_EQ(apply_gates(report, {.min_quality = 19}), 0);
  EXPECT_EQ(apply_gates(report, {.min_quality = 20}), 1);
  EXPECT_EQ(report["verdict"], "inconclusive");
  EXPECT_EQ(apply_gates(report, {.min_quality = 25}), 1);
  EXPECT_EQ(report["verdict"], "fail");
  report["quality"][0]["after"] = nullptr;  // an exact copy: infinite dB
  EXPECT_EQ(apply_gates(report, {.min_quality = 25}), 0);
}

TEST(Gate, LatencyIsARatioAndMayBeInformational) {
  Json report = measured(0, 0, 0);
  report["latency"] = {{"ratio", 1.26}, {"ci95", {1.22, 1.31}}, {"pairs", 90}};
  EXPECT_EQ(apply_gates(report, {.max_latency_ratio = 0.8}), 1);
  EXPECT_EQ(message(report)["message"],
            "latency missed: 1.26x [1.22, 1.31] of the original's, limit 0.8x");
  EXPECT_EQ(apply_gates(report, {.max_latency_ratio = 0.8, .latency_informational = true}), 0);
  EXPECT_EQ(message(report)["level"], "warning");
}

TEST(Gate, WhatWasNotMeasuredCannotPass) {
  Json report = measured(0, 0, 0);
  report.erase("quality");
  EXPECT_EQ(apply_gates(report, {.max_drop = "1pt", .accept_inconclusive = true}), 1);
  EXPECT_EQ(report["verdict"], "inconclusive");
  EXPECT_FALSE(report["gates"][0]["measured"].get<bool>());
}

TEST(Gate, ReadsTheGatesBlock) {
  const GateLimits limits = parse_limits({{"size", {{"max", "300KB"}, {"max_growth", "2%"}}},
                                      {"quality", {{"metric", "top1"}, {"max_drop", "1pt"}}},
                                      {"latency", {{"max_ratio", 0.8}, {"informational", true}}}});
  EXPECT_EQ(*limits.max_bytes, 300000);
  EXPECT_EQ(*limits.max_growth, 0.02);
  EXPECT_EQ(*limits.max_drop, "1pt");
  EXPECT_TRUE(limits.latency_informational);
  EXPECT_EQ(code_of([] { parse_limits({{"size", {{"maks", 1}}}}); }), "E2004");
  EXPECT_EQ(code_of([] {
              parse_limits({{"quality", {{"metric", "top1"}, {"max_drop", 1}}}});
            }),
            "E2012");
}

// A true drop equal to the limit passes in at most 5 % of simulated pairs; no true drop fails in at
// most 1 %.
TEST(Gate, ErrorRatesHold) {
  std::mt19937 random(11);
  int passed = 0, failed = 0;
  for (int trial = 0; trial < 2000; ++trial) {
    int64_t b = 0, c = 0, lost = 0, won = 0;
    for (int i = 0; i < 1000; ++i) {
      const double draw = static_cast<double>(random()) / 4294967296.0;
      b += draw < 0.02;
      c += draw >= 0.02 && draw < 0.03;
      lost += draw < 0.015;
      won += draw >= 0.015 && draw < 0.03;
    }
    passed += judge(0, tango(b, c, 1000), 0.01) == Verdict::pass;
    failed += judge(0, tango(lost, won, 1000), 0.01) == Verdict::fail;
  }
  EXPECT_LE(passed, 100);
  EXPECT_LE(failed, 20);
}

}  // namespace
}  // namespace niwaki
