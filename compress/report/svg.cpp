#include "compress/report/svg.h"

#include "compress/error.h"
#include "compress/report/escape.h"
#include "compress/report/numbers.h"

#include <algorithm>
#include <cmath>

namespace niwaki {
namespace {

constexpr double kWidth = 720, kLabel = 210, kValue = 150, kLine = 26;
constexpr size_t kMostBins = 128;

// Presentation attributes give a plot its colours without any style sheet; classes let a page
// restyle it for dark.
std::string opened(double width, double height, const std::string& title) {
  return cat("<svg class=\"plot\" role=\"img\" viewBox=\"0 0 ", width, " ", height, "\" width=\"",
             width, "\" height=\"", height,
             "\" font-family=\"system-ui, sans-serif\" font-size=\"13\"><title>", html_text(title),
             "</title>");
}

std::string rectangle(double x, double y, double width, double height, const std::string& look) {
  return cat("<rect x=\"", fixed(x, 1), "\" y=\"", fixed(y, 1), "\" width=\"",
             fixed(std::max(width, 0.0), 1), "\" height=\"", fixed(std::max(height, 0.0), 1), "\" ",
             look, "/>");
}

std::string line(double x1, double y1, double x2, double y2, const std::string& look) {
  return cat("<line x1=\"", fixed(x1, 1), "\" y1=\"", fixed(y1, 1), "\" x2=\"", fixed(x2, 1),
             "\" y2=\"", fixed(y2, 1), "\" ", look, "/>");
}

std::string words(double x, double y, const std::string& anchor, const std::string& text,
                  bool is_muted = false) {
  return cat("<text x=\"", fixed(x, 1), "\" y=\"", fixed(y, 1), "\" text-anchor=\"", anchor,
             "\" class=\"", is_muted ? "muted" : "ink", "\" fill=\"",
             is_muted ? "#5f6b66" : "#1c2420", "\">", html_text(text), "</text>");
}

/// The end of a name tells more than its start: '/layer3/block2/conv1'.
std::string shortened(const std::string& label) {
  constexpr size_t kMost = 28;
  const std::string safe = visible(label);
  if (safe.size() <= kMost) return safe;
  size_t start = safe.size() - kMost + 1;
  while (start < safe.size() && (safe[start] & 0xc0) == 0x80) ++start;
  return "…" + safe.substr(start);
}

/// Three decimals, fewer where they are zeros.
std::string axis_text(double value) { return plain(std::stod(fixed(value, 3))); }

double clamped(double value, double largest) {
  return std::isnan(value) ? 0 : std::clamp(value, 0.0, largest);
}

}  // namespace

std::string line_chart(std::span<const Curve> curves, const std::string& title) {
  constexpr double kLeft = 64, kRight = 110, kTop = 12, kBottom = 28, kHeight = 220;
  static constexpr const char* kLooks[] = {"stroke=\"#8a9690\" class=\"axis\"", "stroke=\"#2f7d5b\" class=\"curve\""};
  double right = 1, low = 0, high = 0;
  for (const Curve& curve : curves) {
    for (const auto& [x, y] : curve.points) {
      right = std::max(right, x);
      if (!std::isfinite(y)) continue;
      low = std::min(low, y);
      high = std::max(high, y);
    }
  }
  const double span = high > low ? high - low : 1;
  const auto across = [&](double x) { return kLeft + (kWidth - kLeft - kRight) * x / right; };
  const auto up = [&](double y) { return kTop + (kHeight - kTop - kBottom) * (1 - (y - low) / span); };
  std::string svg = opened(kWidth, kHeight, title);
  svg += line(kLeft, up(low), kWidth - kRight, up(low), "stroke=\"#8a9690\" class=\"axis\"") + line(kLeft, kTop, kLeft, up(low), "stroke=\"#8a9690\" class=\"axis\"");
  svg += words(kLeft - 8, up(high) + 4, "end", axis_text(high), true) + words(kLeft - 8, up(low) + 4, "end", axis_text(low), true);
  svg += words(across(right), kHeight - 8, "end", cat("epoch ", axis_text(right)), true);
  double last = -100;
  for (size_t i = 0; i < curves.size(); ++i) {
    std::string points;
    double end_x = kLeft, end_y = up(low);
    for (const auto& [x, y] : curves[i].points) {
      if (!std::isfinite(y)) continue;
      end_x = across(x);
      end_y = up(y);
      points += cat(points.empty() ? "" : " ", fixed(end_x, 1), ",", fixed(end_y, 1));
    }
    if (points.empty()) continue;
    svg += cat("<polyline points=\"", points, "\" fill=\"none\" stroke-width=\"2\" ", kLooks[i % 2], "/>");
    const double label_y = std::abs(end_y - last) < 14 ? last - 15 : end_y;       // names do not cover each other
    svg += words(end_x + 8, label_y + 4, "start", curves[i].label, i % 2 == 0);
    last = label_y;
  }
  return svg + "</svg>";
}

std::string bar_chart(std::span<const Bar> bars, const std::string& title) {
  double largest = 0;
  for (const Bar& bar : bars) {
    if (std::isfinite(bar.value)) largest = std::max(largest, bar.value);
    if (bar.before && std::isfinite(*bar.before)) largest = std::max(largest, *bar.before);
  }
  const double height = kLine * static_cast<double>(bars.size()) + 8,
               room = kWidth - kLabel - kValue;
  std::string svg = opened(kWidth, height, title);
  for (size_t i = 0; i < bars.size(); ++i) {
    const double top = 4 + kLine * static_cast<double>(i);
    const auto length = [&](double value) {
      return largest > 0 ? room * clamped(value, largest) / largest : 0;
    };
    svg += words(kLabel - 10, top + 17, "end", shortened(bars[i].label));
    if (bars[i].before) {
      svg += rectangle(kLabel, top + 3, std::max(length(*bars[i].before), 1.0), kLine - 6,
                       "rx=\"3\" class=\"ghost\" fill=\"#dfe5e1\"");
    }
    svg += rectangle(kLabel, top + 7 - (bars[i].before ? 0 : 3),
                     std::max(length(bars[i].value), 1.0), bars[i].before ? kLine - 14 : kLine - 8,
                     "rx=\"2\" class=\"bar\" fill=\"#2f7d5b\"");
    const double end =
        kLabel + std::max(length(bars[i].value), bars[i].before ? length(*bars[i].before) : 0);
    svg += words(end + 8, top + 17, "start", bars[i].text, true);
  }
  return svg + "</svg>";
}

std::string dot_plot(std::span<const Dot> dots, std::optional<double> reference,
                     const std::string& title) {
  double low = 0,
         high =
             reference.value_or(0);  // from zero: a ratio's distance from 1 is seen true to scale
  for (const Dot& dot : dots) {
    low = std::min({low, dot.value, dot.lo.value_or(dot.value)});
    high = std::max({high, dot.value, dot.hi.value_or(dot.value)});
  }
  const double span = high > low ? high - low : 1, room = kWidth - kLabel - kValue;
  const auto place = [&](double value) { return kLabel + 8 + (room - 16) * (value - low) / span; };
  const double height = kLine * static_cast<double>(dots.size()) + 30;
  std::string svg = opened(kWidth, height, title);
  if (reference)
    svg += line(place(*reference), 4, place(*reference), height - 22,
                "stroke=\"#8a9690\" stroke-dasharray=\"3 3\" class=\"axis\"");
  for (size_t i = 0; i < dots.size(); ++i) {
    const double middle = 4 + kLine * (static_cast<double>(i) + 0.5);
    svg += words(kLabel - 10, middle + 4, "end", shortened(dots[i].label));
    if (dots[i].lo && dots[i].hi) {
      const std::string look = "stroke=\"#2f7d5b\" stroke-width=\"2\" class=\"whisker\"";
      svg += line(place(*dots[i].lo), middle, place(*dots[i].hi), middle, look);
      for (const double end : {*dots[i].lo, *dots[i].hi})
        svg += line(place(end), middle - 5, place(end), middle + 5, look);
    }
    svg += cat("<circle cx=\"", fixed(place(dots[i].value), 1), "\" cy=\"", fixed(middle, 1),
               "\" r=\"5\" class=\"bar\" fill=\"#2f7d5b\"/>");
    svg += words(kLabel + room + 8, middle + 4, "start", dots[i].text, true);
  }
  svg += line(kLabel, height - 22, kLabel + room, height - 22, "stroke=\"#8a9690\" class=\"axis\"");
  svg += words(place(low), height - 6, "start", axis_text(low), true) +
         words(place(high), height - 6, "end", axis_text(high), true);
  return svg + "</svg>";
}

std::string histogram(std::span<const double> edges, std::span<const double> counts, double lo,
                      double hi, const std::string& title) {
  constexpr double kBox = 340, kTall = 130, kBase = 96;
  if (counts.empty() || edges.size() != counts.size() + 1 || !(edges.back() > edges.front()))
    return "";
  std::string svg = opened(kBox, kTall, title);
  const double from = edges.front(), span = edges.back() - from;
  const auto place = [&](double value) {
    return 10 + (kBox - 20) * std::clamp((value - from) / span, 0.0, 1.0);
  };
  svg +=
      rectangle(place(lo), 8, place(hi) - place(lo), kBase - 8, "class=\"ghost\" fill=\"#dfe5e1\"");
  const size_t step =
      (counts.size() + kMostBins - 1) / kMostBins;  // bins are merged: a page stays small
  std::vector<double> merged;
  for (size_t i = 0; i < counts.size(); i += step) {
    double sum = 0;
    for (size_t j = i; j < std::min(i + step, counts.size()); ++j) sum += counts[j];
    merged.push_back(sum);
  }
  const double largest = std::max(*std::max_element(merged.begin(), merged.end()), 1.0);
  for (size_t i = 0; i < merged.size(); ++i) {
    if (merged[i] <= 0) continue;
    const double left = place(edges[i * step]),
                 right = place(edges[std::min((i + 1) * step, edges.size() - 1)]);
    // logarithmic: the few outliers decide the range, and would not be seen otherwise
    const double tall = (kBase - 14) * std::log1p(merged[i]) / std::log1p(largest);
    svg += rectangle(left, kBase - tall, std::max(right - left - 0.4, 0.6), tall,
                     "class=\"bar\" fill=\"#2f7d5b\"");
  }
  for (const double end : {lo, hi})
    svg += line(place(end), 6, place(end), kBase,
                "stroke=\"#b3541e\" stroke-dasharray=\"4 2\" class=\"range\"");
  svg += line(10, kBase, kBox - 10, kBase, "stroke=\"#8a9690\" class=\"axis\"");
  svg += words(10, kBase + 16, "start", axis_text(from), true) +
         words(kBox - 10, kBase + 16, "end", axis_text(edges.back()), true);
  svg += words(kBox / 2, kBase + 30, "middle", "range " + axis_text(lo) + " to " + axis_text(hi),
               true);
  return svg + "</svg>";
}

}  // namespace niwaki
