#include "compress/cli/progress_view.h"

#include <gtest/gtest.h>

namespace niwaki {
namespace {

std::string shown(ProgressView::Mode mode, const std::vector<Progress::State>& states) {
  testing::internal::CaptureStderr();
  {
    ProgressView view({.mode = mode});
    view.begin(1, 1, "compress");
    for (const Progress::State& state : states) view.advance(state);
  }
  return testing::internal::GetCapturedStderr();
}

TEST(ProgressView, AStageOfOneStepIsToldWithItsWholeNote) {
  const std::string note = "a = b (cka 0.50), a value with a long name = another one";
  for (const auto mode : {ProgressView::Mode::lines, ProgressView::Mode::bar}) {
    EXPECT_NE(shown(mode, {{"pair layers", 1, 1, note}, {"train", 1, 100, ""}}).find("pair layers: " + note + "\n"), std::string::npos);
    EXPECT_EQ(shown(mode, {{"pair layers", 1, 2, note}}).find(note), std::string::npos);
    EXPECT_EQ(shown(mode, {{"pair layers", 0, 1, note}}).find(note), std::string::npos);
  }
  EXPECT_NE(shown(ProgressView::Mode::json, {{"pair layers", 1, 1, note}}).find("\"note\":\"" + note + "\""), std::string::npos);
  EXPECT_EQ(shown(ProgressView::Mode::none, {{"pair layers", 1, 1, note}}), "");
}

}  // namespace
}  // namespace niwaki
