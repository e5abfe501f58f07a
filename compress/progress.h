#pragma once

#include "compress/error.h"

#include <atomic>
#include <functional>
#include <string>

namespace niwaki {

/// How far long work is, and whether it should stop.
class Progress {
 public:
  struct State {
    std::string stage;                       // "calibrate"
    int64_t done = 0, total = 0;
    std::string note;                        // "loss 0.412"
  };
  using Show = std::function<void(const State&)>;
  explicit Progress(Show show = {}) : show_(std::move(show)) {}

  void start(const std::string& stage, int64_t total) { report({stage, 0, total, ""}); }
  /// Throws Interrupted when the user asked to stop.
  void advance(int64_t count = 1) { report({state_.stage, state_.done + count, state_.total, state_.note}); }
  /// What the next reports say beside the numbers.
  void note(const std::string& text) { state_.note = text; }
  void stop() { stop_requested() = true; }
  /// Set by signal handlers.
  static std::atomic<bool>& stop_requested() {
    static std::atomic<bool> requested{false};
    return requested;
  }

 private:
  void report(State state) {
    state_ = std::move(state);
    if (stop_requested()) throw Interrupted();
    if (show_) show_(state_);
  }
  State state_;
  Show show_;
};

}  // namespace niwaki
