#include "compress/cli/progress_view.h"

#include "compress/report/numbers.h"

#include <cstdio>
#include <fstream>

#include <unistd.h>

namespace niwaki {
namespace {

constexpr double kRedrawSeconds = 0.1, kSilenceSeconds = 5;
constexpr size_t kNoteColumns = 2000;

uint64_t resident_bytes() {
  std::ifstream statm("/proc/self/statm");
  uint64_t total = 0, resident = 0;
  statm >> total >> resident;
  return resident * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
}

double seconds_between(std::chrono::steady_clock::time_point begin, std::chrono::steady_clock::time_point end) {
  return std::chrono::duration<double>(end - begin).count();
}

std::string clock_text(double seconds) {
  char text[32];
  std::snprintf(text, sizeof text, "[%02d:%02d]", static_cast<int>(seconds) / 60, static_cast<int>(seconds) % 60);
  return text;
}

}  // namespace

ProgressView::ProgressView(Style style) : style_(style) {
  if (style_.mode != Mode::none) watcher_ = std::thread([this] { watch(); });
}

ProgressView::~ProgressView() {
  {
    const std::lock_guard lock(mutex_);
    is_ending_ = true;
  }
  wake_.notify_all();
  if (watcher_.joinable()) watcher_.join();
  clear();
}

double ProgressView::elapsed() const { return seconds_between(start_, Clock::now()); }

void ProgressView::put(const std::string& text) {
  std::fputs(text.c_str(), stderr);
  std::fflush(stderr);
}

void ProgressView::begin(int index, int count, const std::string& stage) {
  const std::lock_guard lock(mutex_);
  index_ = index;
  count_ = count;
  stage_ = stage;
  state_ = {stage, 0, 0};
  told_tenth_ = -1;
  is_running_ = true;
  stage_start_ = Clock::now();
  draw(style_.mode == Mode::bar);
}

void ProgressView::advance(const Progress::State& state) {
  const std::lock_guard lock(mutex_);
  if (state.stage != state_.stage) {
    stage_start_ = Clock::now();
    told_tenth_ = -1;
  }
  if (stage_.empty()) stage_ = state.stage;
  is_running_ = true;
  state_ = state;
  if (state.total == 1 && state.done == 1 && !state.note.empty()) return tell();
  draw(false);
}

/// A stage of one step is what its note says: a line that stays.
void ProgressView::tell() {
  const std::string note = printable(state_.note, kNoteColumns), stage = printable(state_.stage, 40);
  if (style_.mode == Mode::bar) put(cat("\r\x1b[K  ", stage, ": ", note, "\n"));
  if (style_.mode == Mode::lines) put(cat(clock_text(elapsed()), " ", stage, ": ", note, "\n"));
  if (style_.mode == Mode::json) put(Json({{"t", elapsed()}, {"stage", stage}, {"note", note}}).dump() + "\n");
  has_bar_ = false;
}

void ProgressView::end(int index, int count, const std::string& stage, double seconds) {
  const std::lock_guard lock(mutex_);
  is_running_ = false;
  if (has_bar_) put("\r\x1b[K");
  has_bar_ = false;
  const std::string step = cat(index, "/", count);
  if (style_.mode == Mode::bar) {
    const int gap = std::max(1, std::min(style_.columns, 80) - 36);
    put("  " + step + " " + padded(stage, 12) + " done" + right_aligned(duration_text(seconds), static_cast<size_t>(gap) + 12) + "\n");
  } else if (style_.mode == Mode::lines) {
    put(cat(clock_text(elapsed()), " ", step, " ", stage, " done ", duration_text(seconds), "\n"));
  } else if (style_.mode == Mode::json) {
    put(Json({{"t", elapsed()}, {"stage", stage}, {"seconds", seconds}, {"ended", true}}).dump() + "\n");
  }
  drawn_ = Clock::now();
}

void ProgressView::clear() {
  const std::lock_guard lock(mutex_);
  if (has_bar_) put("\r\x1b[K");
  has_bar_ = false;
  is_running_ = false;
}

double ProgressView::remaining() const {
  if (state_.done <= 0 || state_.total <= 0) return -1;
  const double spent = seconds_between(stage_start_, Clock::now());
  return spent * static_cast<double>(state_.total - state_.done) / static_cast<double>(state_.done);
}

void ProgressView::draw(bool is_due) {
  if (style_.mode == Mode::none || !is_running_) return;
  const double quiet = seconds_between(drawn_, Clock::now());
  if (style_.mode == Mode::bar) {
    if (is_due || quiet >= kRedrawSeconds) draw_bar();
    return;
  }
  const int64_t tenth = state_.total > 0 ? 10 * state_.done / state_.total : 0;
  const bool is_news = state_.total > 0 && state_.done > 0 && tenth > told_tenth_ && quiet >= 0.5;
  if (is_due || is_news || quiet >= kSilenceSeconds) {
    told_tenth_ = tenth;
    print_line();
  }
}

void ProgressView::draw_bar() {
  std::string line = "  " + (count_ > 0 ? cat(index_, "/", count_, " ") : std::string()) + padded(printable(state_.stage, 40), 12) + " ";
  const double spent = seconds_between(stage_start_, Clock::now());
  if (state_.total > 0) {
    const double share = std::min(1.0, static_cast<double>(state_.done) / static_cast<double>(state_.total));
    const int width = std::max(4, std::min(24, style_.columns - 56)), full = static_cast<int>(share * width);
    for (int i = 0; i < width; ++i) line += style_.unicode ? (i < full ? "━" : i == full ? "╸" : "─") : (i < full ? "=" : i == full ? ">" : "-");
    line += right_aligned(cat(state_.done, "/", state_.total), 11) + right_aligned(cat(static_cast<int>(share * 100), "%"), 6);
    if (spent > 0.2 && state_.done > 0) line += cat("  ", plain(std::round(static_cast<double>(state_.done) / spent)), "/s");
    if (remaining() >= 0 && spent > 0.5) line += cat("  ETA ", duration_text(std::ceil(remaining())));
    if (!state_.note.empty()) line += "  " + printable(state_.note, 24);
  } else {
    line += cat("running ", duration_text(spent));
  }
  put("\r" + line + "\x1b[K");
  has_bar_ = true;
  drawn_ = Clock::now();
}

void ProgressView::print_line() {
  drawn_ = Clock::now();
  const double left = remaining();
  if (style_.mode == Mode::json) {
    Json entry = {{"t", elapsed()}, {"stage", printable(state_.stage)}, {"done", state_.done}, {"total", state_.total}, {"rss_bytes", resident_bytes()}};
    if (!state_.note.empty()) entry["note"] = printable(state_.note, 24);
    entry["eta_s"] = left < 0 ? Json(nullptr) : Json(left);
    return put(entry.dump() + "\n");
  }
  std::string line = clock_text(elapsed()) + " " + printable(state_.stage);
  if (state_.total > 0) line += cat(" ", state_.done, "/", state_.total, " ", 100 * state_.done / state_.total, "%");
  if (!state_.note.empty()) line += " " + printable(state_.note, 24);
  if (left >= 0) line += cat(" eta ", static_cast<int64_t>(std::ceil(left)), "s");
  put(line + cat(" rss ", resident_bytes() / 1'000'000, "MB\n"));
}

/// Speaks while nothing advances, and when the user asks to stop.
void ProgressView::watch() {
  std::unique_lock lock(mutex_);
  while (!is_ending_) {
    wake_.wait_for(lock, std::chrono::milliseconds(50));
    if (is_ending_) return;
    if (Progress::stop_requested() && !is_stop_told_) {
      is_stop_told_ = true;
      const std::string place = state_.stage.empty() ? "" : state_.total > 0 ? cat(" after ", printable(state_.stage), " ", state_.done, " of ", state_.total) : cat(" after ", printable(state_.stage));
      if (style_.mode != Mode::json) put(cat(has_bar_ ? "\r\x1b[K" : "", "stopping", place, "; Ctrl-C again quits at once\n"));
      has_bar_ = false;
    }
    if (is_running_ && seconds_between(drawn_, Clock::now()) >= (style_.mode == Mode::bar ? 1.0 : kSilenceSeconds)) draw(true);
  }
}

}  // namespace niwaki
