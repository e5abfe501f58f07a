#include "compress/report/html_methods.h"

#include "tests/compress/report/sample_report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace niwaki {
namespace {

using testing::HasSubstr;

TEST(HtmlMethods, ShowsFactors) {
  Json report = sample_report();
  EXPECT_EQ(method_sections(report).find("<h2>Factorized</h2>"), std::string::npos);
  report["nodes"].push_back({{"name", "fc<1>"}, {"outcome", "changed"}, {"form", "columns"}, {"rank", 48}, {"energy", 0.9912}, {"factors", {{48, 784}, {256, 48}}},
                             {"macs_before", 200704}, {"macs_after", 49920}, {"error_before_refit", 0.0088}, {"relative_error", 0.0071}});
  const std::string page = method_sections(report);
  for (const char* words : {"<h2>Factorized</h2>", "fc&lt;1&gt;", "columns", "0.9912", "200704", "49920", "0.0088", "0.0071"}) EXPECT_THAT(page, HasSubstr(words));
  EXPECT_EQ(page.find("ms before"), std::string::npos);
  report["nodes"].back().update({{"measured_ms_before", 0.0512}, {"measured_ms_after", 0.0376}});
  const std::string timed = method_sections(report);
  for (const char* words : {"ms before", "ms after", "0.0512", "0.0376"}) EXPECT_THAT(timed, HasSubstr(words));
}

TEST(HtmlMethods, ShowsWhatPruningTook) {
  Json report = sample_report();
  EXPECT_EQ(method_sections(report).find("<h2>Pruned</h2>"), std::string::npos);
  report["nodes"].push_back({{"name", "conv<9>"}, {"outcome", "changed"}, {"weight_before", {64, 32, 3, 3}}, {"weight_after", {48, 24, 3, 3}}, {"relative_error", 0.0625}});
  report["nodes"].push_back({{"name", "fc"}, {"outcome", "changed"}, {"sparsity", 0.9}});
  const std::string page = method_sections(report);
  EXPECT_NE(page.find("64 × 32 × 3 × 3"), std::string::npos);
  EXPECT_NE(page.find("48 × 24 × 3 × 3"), std::string::npos);
  EXPECT_NE(page.find("90.0 %"), std::string::npos);
  EXPECT_EQ(page.find("conv<9>"), std::string::npos);
}

TEST(HtmlMethods, ShowsWhatBecameOfBlocks) {
  Json report = sample_report();
  EXPECT_EQ(method_sections(report).find("Tuned"), std::string::npos);
  const Json kept = {{"output", "relu<1>"}, {"nodes", {"a", "b", "c"}}, {"error_before", 0.5}, {"error_after", 0.125}, {"kept", true}};
  const Json left = {{"output", "relu2"}, {"nodes", {"d"}}, {"error_before", 0.25}, {"error_after", 0.25}, {"kept", false}, {"reason", "no update helped"}};
  report["passes"] = {{{"name", "tune_blocks"}, {"details", {{"samples", 500}, {"blocks", {kept, left}}}}}};
  const std::string page = method_sections(report);
  for (const char* words : {"<h2>Tuned: tune_blocks</h2>", "relu&lt;1&gt;", "0.5000", "0.1250", "kept", "no update helped"}) EXPECT_THAT(page, HasSubstr(words));
}

TEST(HtmlMethods, ShowsHowTrainingWent) {
  Json report = sample_report();
  EXPECT_EQ(method_sections(report).find("Trained"), std::string::npos);
  report["passes"] = {{{"name", "distill"}, {"details", {{"steps", 1525}, {"batch", 128}, {"training_samples", 39000}, {"held_out_samples", 1000}, {"validation_before", 0.5}, {"best_epoch", 2},
                                                         {"epochs", {{{"train_loss", 0.25}, {"validation_loss", 0.3125}}, {{"train_loss", 0.125}, {"validation_loss", nullptr}}}}}}}};
  const std::string page = method_sections(report);
  for (const char* words : {"<h2>Trained: distill</h2>", "1,525 updates of 128 samples", "39,000 samples, 1,000 more held out", "kept that after epoch 2", "0.12500", "0.31250", "held out</text>"}) {
    EXPECT_THAT(page, HasSubstr(words));
  }
}

}  // namespace
}  // namespace niwaki
