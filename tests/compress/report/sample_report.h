#pragma once

#include "compress/json.h"

#include <nlohmann/json.hpp>

#include <cmath>
#include <string>

namespace niwaki {

/// The node `index` of the sample: a convolution stored as INT8, a head kept as float, or an
/// activation.
inline Json sample_node(int index) {
  Json node = {
      {"op", "Conv"}, {"outcome", "changed"}, {"dtype_before", "float32"}, {"dtype_after", "int8"}};
  const int channels = index < 7 ? 16 : index < 14 ? 32 : 64;
  node["name"] = index == 0 ? "conv1"
                            : "/layer" + std::to_string((index - 1) / 7 + 1) + "/block" +
                                  std::to_string((index - 1) % 7 / 2) + "/conv" +
                                  std::to_string((index - 1) % 2 + 1);
  const int weights = index == 0 ? 432 : channels * channels * 9;
  node["bytes_before"] = 4 * weights;
  node["bytes_after"] = weights + 5 * channels;
  node["sqnr_db"] = 30 + 9 * std::sin(index * 1.7);
  if (index % 3 == 0) node["drop"] = 0.02 * (index % 5) + 0.004;
  node["clipped"] = 0.0001 * index;
  Json edges = Json::array(), counts = Json::array();
  for (int bin = 0; bin <= 64; ++bin) edges.push_back(-4 + 0.125 * bin);
  for (int bin = 0; bin < 64; ++bin)
    counts.push_back(
        std::floor(20000 * std::exp(-0.5 * std::pow((bin - 30 - index % 4) / 7.0, 2))));
  node["histogram"] = {{"edges", edges},
                       {"counts", counts},
                       {"lo", -2.6 + 0.05 * (index % 5)},
                       {"hi", 2.4 + 0.06 * (index % 7)}};
  return node;
}

/// What a static INT8 run of a small residual network reports; every field of the schema is
/// present.
inline Json sample_report() {
  Json report = {{"schema_version", 1}, {"status", "ok"}, {"verdict", "pass"}};
  report["tool"] = {{"version", "0.1.0"}, {"commit", "4f1c2a9"}};
  report["command"] =
      "niwaki quantize resnet20.onnx -o r20.int8.onnx --calib train.npz --data test.npz --max-drop "
      "1pt";
  report["recipe"] =
      "version: 1\nmodel: {path: resnet20.onnx}\nsteps:\n  - quantize: {bits: 8, mode: static, "
      "keep: [\"fc\"]}\n";
  const std::string hash = "9f2c41d7a6e05b3388c1f0d2aa4be97716355f0be2c04d1f83a7c6d9e5b204e1";
  report["files"] = {{{"role", "model"},
                      {"name", "resnet20.onnx"},
                      {"bytes", 1092345},
                      {"sha256", hash},
                      {"format", "onnx"}},
                     {{"role", "calibration"},
                      {"name", "train.npz"},
                      {"bytes", 6294528},
                      {"sha256", hash},
                      {"format", "npz"}},
                     {{"role", "output"},
                      {"name", "r20.int8.onnx"},
                      {"bytes", 329020},
                      {"sha256", hash},
                      {"format", "onnx"}}};
  report["before"] = {{"file_bytes", 1092345},
                      {"weights", 272474},
                      {"opset", 13},
                      {"bytes",
                       {{"weights", 1079336},
                        {"scales", 0},
                        {"graph", 9120},
                        {"strings", 3700},
                        {"metadata", 189}}}};
  report["after"] = {{"file_bytes", 329020},
                     {"weights", 272474},
                     {"opset", 13},
                     {"bytes",
                      {{"weights", 271920},
                       {"scales", 6020},
                       {"graph", 38211},
                       {"strings", 12680},
                       {"metadata", 189}}}};
  report["quality"] = {{{"metric", "top1"},
                        {"output", "logits"},
                        {"samples", 10000},
                        {"before", 0.917},
                        {"after", 0.9152},
                        {"drop", 0.18},
                        {"ci95", {-0.02, 0.39}},
                        {"method", "tango"},
                        {"p_value", 0.093},
                        {"role", "confirm"},
                        {"unit", "pt"},
                        {"is_share", true},
                        {"higher_is_better", true},
                        {"is_fidelity", false}}};
  report["latency"] = {
      {"runtime", "onnxruntime"},
      {"version", "1.23.2"},
      {"threads", 2},
      {"batch", 1},
      {"rounds", 3},
      {"pairs", 92},
      {"before_ms", {{"min", 1.79}, {"p50", 1.86}, {"p95", 2.1}, {"mean", 1.88}, {"sd", 0.08}}},
      {"after_ms", {{"min", 0.69}, {"p50", 0.71}, {"p95", 0.8}, {"mean", 0.72}, {"sd", 0.03}}},
      {"ratio", 0.71 / 1.86},
      {"ci95", {1 / 2.69, 1 / 2.55}}};
  report["memory"] = {{"peak_before", 31000000}, {"peak_after", 28000000}};
  report["verification"] = {
      {"reload", true},
      {"checker", true},
      {"runtime", {{"name", "onnxruntime"}, {"version", "1.23.2"}, {"ran", true}}},
      {"max_abs_diff", 0.02},
      {"tolerance", 0.09},
      {"samples", 16},
      {"fusion", {{"integer_ops", 21}, {"float_between", 0}, {"unfused", Json::array()}}}};
  report["nodes"] = Json::array();
  for (int i = 0; i < 21; ++i) report["nodes"].push_back(sample_node(i));
  report["nodes"].push_back({{"name", "fc"},
                             {"op", "Gemm"},
                             {"outcome", "skipped"},
                             {"code", "N3002"},
                             {"reason", "kept by --keep fc"},
                             {"dtype_before", "float32"},
                             {"dtype_after", "float32"},
                             {"bytes_before", 2600},
                             {"bytes_after", 2600}});
  for (int i = 0; i < 9; ++i) {
    report["nodes"].push_back({{"name", "/relu" + std::to_string(i)},
                               {"op", "Relu"},
                               {"outcome", "skipped"},
                               {"reason", "no weights"},
                               {"bytes_before", 0},
                               {"bytes_after", 0}});
  }
  report["not_done"] = Json::array();
  report["changes"] = {
      {{"what", "31 inner value names were shortened"}, {"reason", "--names short"}}};
  report["passes"] = {
      {{"name", "quantize_activations"}, {"seconds", 8.2}, {"changed", true}, {"bytes", 329020}}};
  report["trials"] = Json::array();
  report["gates"] = {{{"name", "size"},
                      {"value", 329020},
                      {"limit", 400000},
                      {"ci95", {329020, 329020}},
                      {"verdict", "pass"},
                      {"informational", false},
                      {"unit", "B"},
                      {"measured", true}},
                     {{"name", "quality:top1"},
                      {"value", 0.18},
                      {"limit", 1},
                      {"ci95", {-0.02, 0.39}},
                      {"verdict", "pass"},
                      {"informational", false},
                      {"unit", "pt"},
                      {"measured", true}},
                     {{"name", "latency"},
                      {"value", 0.71 / 1.86},
                      {"limit", 0.8},
                      {"ci95", {1 / 2.69, 1 / 2.55}},
                      {"verdict", "pass"},
                      {"informational", true},
                      {"unit", "x"},
                      {"measured", true}}};
  report["messages"] = {{{"code", "W3403"},
                         {"level", "warning"},
                         {"message", "the machine was busy: load 3.1 on 2 cores"},
                         {"help", "repeat on an idle machine"}}};
  report["run"] = {{"time", "2026-01-05T10:00:00Z"},
                   {"seconds", 13.4},
                   {"cpu", "x86-64, 2 cores"},
                   {"features", "avx512-vnni"},
                   {"paths",
                    {{"report_dir", "r20.int8.report"},
                     {"report_files", {"report.html", "report.json", "report.md", "junit.xml"}}}}};
  return report;
}

/// Names that try to leave each sink: markup, formulas, commands, escapes, broken UTF-8.
inline std::vector<std::string> hostile_names() {
  const std::vector<std::string> seeds = {"<script>alert(1)</script>",
                                          "\"><img src=x onerror=alert(1)>",
                                          "' onmouseover='x",
                                          "</td></tr></table>",
                                          "</svg><b>",
                                          "&lt;script&gt;",
                                          "]]>",
                                          "<!--",
                                          "=1+1",
                                          "+cmd|'/c calc'!A0",
                                          "-2+3",
                                          "@SUM(A1)",
                                          "\tx",
                                          "::error::x",
                                          "a|b",
                                          "**bold**",
                                          "[x](javascript:alert(1))",
                                          "![x](//evil.example/x.png)",
                                          "http://evil.example",
                                          "www.evil.example",
                                          "@octocat",
                                          "#1",
                                          "`code`",
                                          "\x1b[31mred",
                                          "\x1b]0;title\x07",
                                          "line\nbreak",
                                          "cr\rlf\n",
                                          std::string("nul\0byte", 8),
                                          "\xff\xfe",
                                          "\xc0\xaf",
                                          "\xe2\x80\xae"
                                          "evil",
                                          "\xe2\x80\x8b",
                                          "\xef\xbb\xbf",
                                          "\xef\xbf\xbf",
                                          "$(rm -rf /)",
                                          "`id`",
                                          "; ls",
                                          "--- x",
                                          "{{7*7}}",
                                          "%0A::set-output"};
  std::vector<std::string> names;
  for (int round = 0; round < 5; ++round) {
    for (const std::string& seed : seeds)
      names.push_back(round == 0   ? seed
                      : round == 1 ? "n/" + seed
                      : round == 2 ? seed + seed
                      : round == 3 ? seed + "\"'"
                                   : "<" + seed + ">");
  }
  return names;
}

}  // namespace niwaki
