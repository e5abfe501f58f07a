#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

namespace niwaki {

/// One bar, labels as plain text: escaped here.
struct Bar {
  std::string label;
  double value = 0;              // length; a negative or infinite one is drawn as empty or full
  std::string text;              // printed at its end
  std::optional<double> before;  // drawn as an outline behind it
};

/// A measured value with its interval.
struct Dot {
  std::string label;
  double value = 0;
  std::optional<double> lo, hi;
  std::string text;
};

/// Points of one line, by ascending x.
struct Curve {
  std::string label;
  std::vector<std::pair<double, double>> points;
};

/// Lines on common axes, each named at its end; points that are not finite are left out.
std::string line_chart(std::span<const Curve> curves, const std::string& title);
/// Horizontal bars, one line each.
std::string bar_chart(std::span<const Bar> bars, const std::string& title);
/// Dots with whiskers on one scale; `reference` is a dashed line, such as 1 for a ratio.
std::string dot_plot(std::span<const Dot> dots, std::optional<double> reference,
                     const std::string& title);
/// Counts by bin, num_counts + 1 edges; the chosen range [lo, hi] is marked.
std::string histogram(std::span<const double> edges, std::span<const double> counts, double lo,
                      double hi, const std::string& title);

}  // namespace niwaki
