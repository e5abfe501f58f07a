#include "compress/cli/job_report.h"

#include "tests/graph_builder.h"

#include <gtest/gtest.h>

namespace niwaki {
namespace {

Graph one_node() {
  GraphBuilder b;
  b.output(b.node("Gemm", {b.input("x", {"n", int64_t{4}}), b.random_constant("w", {4, 3})}, {}, "dense"), "y");
  return b.graph();
}

TEST(JobReport, TheLastWordOnANodeCounts) {
  PassReport first{.pass = "prune_channels"}, second{.pass = "quantize_static"};
  first.skip("dense", "its width does not pay");
  first.skip("gone", "unknown");
  second.change("dense", {{"bits", 8}});
  const Json rows = node_rows({first, second}, one_node());
  ASSERT_EQ(rows.size(), 2u);
  EXPECT_EQ(rows[0], (Json{{"name", "dense"}, {"op", "Gemm"}, {"outcome", "changed"}, {"bits", 8}, {"pass", "quantize_static"}}));
  EXPECT_EQ(rows[1], (Json{{"name", "gone"}, {"outcome", "skipped"}, {"reason", "unknown"}}));
}

TEST(JobReport, ASideSaysWhatGoesInAndOut) {
  const Json side = side_of(one_node(), 500);
  EXPECT_EQ(side["file_bytes"], 500);
  EXPECT_EQ(side["weights"], 12);
  EXPECT_EQ(side["inputs"], (Json{{{"name", "x"}, {"dtype", "float32"}, {"shape", {"n", 4}}}}));
  EXPECT_EQ(side["outputs"][0]["name"], "y");
}

TEST(JobReport, MessagesAndPassesAsTheyWere) {
  EXPECT_EQ(message_of("W1106: nodes were sorted"), (Json{{"code", "W1106"}, {"message", "nodes were sorted"}}));
  PassReport pass{.pass = "distill", .changes = {{"w", "is trained"}}, .details = {{"steps", 7}}, .changed = true, .seconds = 1, .bytes_before = 5, .bytes_after = 4};
  EXPECT_EQ(pass_rows({pass})[0], (Json{{"name", "distill"}, {"seconds", 1.0}, {"bytes_before", 5}, {"bytes_after", 4}, {"changed", true}, {"details", {{"steps", 7}}}}));
  EXPECT_EQ(change_rows({pass})[0], (Json{{"what", "w"}, {"why", "is trained"}, {"pass", "distill"}}));
  EXPECT_EQ(name_of_file("a/b.onnx"), "b.onnx");
}

}  // namespace
}  // namespace niwaki
