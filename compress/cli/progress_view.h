#pragma once

#include "compress/cli/job.h"

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <string>
#include <thread>

namespace niwaki {

/// Shows on stderr how far a run is: a bar that is redrawn, plain lines, JSON lines, or nothing. Never silent for more
/// than 5 seconds, also while nothing advances; answers a stop request at once.
class ProgressView {
 public:
  enum class Mode { bar, lines, json, none };
  struct Style {
    Mode mode = Mode::lines;
    int columns = 80;
    bool unicode = true;
  };
  explicit ProgressView(Style style);
  ~ProgressView();
  ProgressView(const ProgressView&) = delete;
  ProgressView& operator=(const ProgressView&) = delete;

  void begin(int index, int count, const std::string& stage);
  void advance(const Progress::State& state);
  void end(int index, int count, const std::string& stage, double seconds);
  /// Takes the bar away, so that other text can follow.
  void clear();
  /// Seconds since the view was made.
  double elapsed() const;

 private:
  using Clock = std::chrono::steady_clock;
  void watch();
  void draw(bool is_due);
  void tell();
  void draw_bar();
  void print_line();
  double remaining() const;                  // seconds, below 0: unknown
  void put(const std::string& text);

  Style style_;
  Clock::time_point start_ = Clock::now(), stage_start_ = start_, drawn_ = start_;
  std::mutex mutex_;
  std::condition_variable wake_;
  bool is_ending_ = false, is_stop_told_ = false, has_bar_ = false, is_running_ = false;
  int index_ = 0, count_ = 0;
  std::string stage_;
  Progress::State state_;
  int64_t told_tenth_ = -1;
  std::thread watcher_;
};

}  // namespace niwaki
