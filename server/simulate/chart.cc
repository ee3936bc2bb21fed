#include "server/simulate/chart.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <initializer_list>
#include <limits>

namespace tacit::simulate {
namespace {

// The drawing's own units, which a browser scales.
constexpr double kWidth = 760;
constexpr double kHeight = 400;
constexpr double kLeft = 64;
constexpr double kRight = 16;
constexpr double kTop = 12;
constexpr double kBottom = 52;
constexpr double kLegendLine = 20;
constexpr std::size_t kTicks = 6;

std::string Number(double value) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.2f", value);
  return text.data();
}

std::string TickText(double value) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.6g", value);
  return text.data();
}

/// The values of one direction, and where they are drawn.
struct Scale {
  double low = 0;
  double high = 1;
  double from = 0;
  double to = 1;
  bool logarithmic = false;

  [[nodiscard]] double At(double value) const {
    const double share = logarithmic ? std::log(value / low) / std::log(high / low) : (value - low) / (high - low);
    return from + share * (to - from);
  }
};

struct Range {
  double low = std::numeric_limits<double>::infinity();
  double high = -std::numeric_limits<double>::infinity();
  void Take(double value) {
    low = std::min(low, value);
    high = std::max(high, value);
  }
  [[nodiscard]] bool empty() const { return low > high; }
};

bool IsDrawn(const ChartPoint& point) {
  return std::isfinite(point.x) && std::isfinite(point.y);
}

Scale ScaleOfX(const Chart& chart) {
  Range range;
  for (const Series& series : chart.series)
    for (const ChartPoint& point : series.points)
      if (IsDrawn(point)) range.Take(point.x);
  Scale scale{.from = kLeft, .to = kWidth - kRight, .logarithmic = chart.axes == Axes::kLogarithmicX};
  if (range.empty()) return scale.logarithmic ? Scale{0.1, 10, scale.from, scale.to, true} : scale;
  if (scale.logarithmic) {
    scale.low = range.low / 1.25;
    scale.high = range.high * 1.25;
  } else {
    scale.low = range.low;
    scale.high = std::max(range.high, range.low + 1);
  }
  return scale;
}

Scale ScaleOfY(const Chart& chart) {
  Range range;
  for (const Series& series : chart.series) {
    for (const ChartPoint& point : series.points) {
      if (!IsDrawn(point)) continue;
      range.Take(point.y - point.deviation);
      range.Take(point.y + point.deviation);
    }
  }
  for (const Level& level : chart.levels) range.Take(level.y);
  Scale scale{.from = kHeight - kBottom, .to = kTop};
  if (range.empty()) return scale;
  const double room = std::max((range.high - range.low) * 0.06, 0.5);
  scale.low = range.low - room;
  scale.high = range.high + room;
  return scale;
}

std::string Text(double x, double y, std::string_view anchor, std::string_view text) {
  return "<text x=\"" + Number(x) + "\" y=\"" + Number(y) + "\" text-anchor=\"" + std::string(anchor) + "\">" +
         XmlText(text) + "</text>\n";
}

struct Stroke {
  double x1 = 0;
  double y1 = 0;
  double x2 = 0;
  double y2 = 0;
};

std::string Line(const Stroke& stroke, std::string_view css_class) {
  return "<line x1=\"" + Number(stroke.x1) + "\" y1=\"" + Number(stroke.y1) + "\" x2=\"" + Number(stroke.x2) +
         "\" y2=\"" + Number(stroke.y2) + "\" class=\"" + std::string(css_class) + "\"/>\n";
}

std::string Grid(const Chart& chart, const Scale& x, const Scale& y) {
  std::string svg;
  for (const double tick : LinearTicks(y.low, y.high)) {
    const double at = y.At(tick);
    svg += Line({kLeft, at, kWidth - kRight, at}, "grid") + Text(kLeft - 8, at + 4, "end", TickText(tick));
  }
  for (const double tick : x.logarithmic ? LogarithmicTicks(x.low, x.high) : LinearTicks(x.low, x.high)) {
    const double at = x.At(tick);
    svg += Line({at, kTop, at, kHeight - kBottom}, "grid") + Text(at, kHeight - kBottom + 18, "middle", TickText(tick));
  }
  svg += Text((kLeft + kWidth - kRight) / 2, kHeight - 12, "middle", chart.x_title);
  const std::string middle = Number((kTop + kHeight - kBottom) / 2);
  svg += "<text x=\"14\" y=\"" + middle + "\" text-anchor=\"middle\" transform=\"rotate(-90 14 " + middle + ")\">" +
         XmlText(chart.y_title) + "</text>\n";
  return svg;
}

// Where the colours begin again the lines are broken.
std::string ColourOf(std::size_t number) {
  return "c" + std::to_string(number % kColours) + (number / kColours % 2 == 1 ? " broken" : "");
}

std::string Mark(const ChartPoint& point, const Scale& x, const Scale& y) {
  const double at_x = x.At(point.x);
  std::string svg;
  if (point.deviation > 0)
    svg += Line({at_x, y.At(point.y - point.deviation), at_x, y.At(point.y + point.deviation)}, "bar");
  return svg + "<circle cx=\"" + Number(at_x) + "\" cy=\"" + Number(y.At(point.y)) + "\" r=\"4\"><title>" +
         XmlText(point.label) + "</title></circle>\n";
}

std::string Draw(const Series& series, Marks marks, const Scale& x, const Scale& y) {
  const auto drawn = std::ranges::count_if(series.points, IsDrawn);
  const bool with_marks = marks == Marks::kPointsAndLines || drawn == 1;  // one point makes no line
  std::string line;
  std::string points;
  for (const ChartPoint& point : series.points) {
    if (!IsDrawn(point)) continue;
    line += (line.empty() ? "" : " ") + Number(x.At(point.x)) + "," + Number(y.At(point.y));
    if (with_marks) points += Mark(point, x, y);
  }
  return "<polyline points=\"" + line + "\"><title>" + XmlText(series.name) + "</title></polyline>\n" + points;
}

struct LegendEntry {
  std::size_t place = 0;
  std::size_t colour = 0;
  std::string_view line;  ///< Its class.
  std::string_view name;
};

std::string LegendOf(const LegendEntry& entry) {
  const double y = kHeight + kLegendLine * (static_cast<double>(entry.place) + 0.5);
  return "<g class=\"" + ColourOf(entry.colour) + "\">" + Line({kLeft, y, kLeft + 24, y}, entry.line) + "</g>" +
         Text(kLeft + 32, y + 4, "start", entry.name);
}

}  // namespace

std::string XmlText(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '&') {
      out += "&amp;";
    } else if (c == '<') {
      out += "&lt;";
    } else if (c == '>') {
      out += "&gt;";
    } else if (c == '"') {
      out += "&quot;";
    } else if (static_cast<unsigned char>(c) < 0x20 && c != '\n' && c != '\t') {
      out += '?';  // XML has no way to write it
    } else {
      out += c;
    }
  }
  return out;
}

std::vector<double> LinearTicks(double low, double high) {
  const double rough = (high - low) / static_cast<double>(kTicks);
  const double power = std::pow(10.0, std::floor(std::log10(rough)));
  double step = power * 10;
  for (const double factor : {5.0, 2.0, 1.0})
    if (power * factor >= rough) step = power * factor;
  std::vector<double> ticks;
  const auto first = static_cast<std::int64_t>(std::ceil(low / step - 1e-9));
  const auto last = static_cast<std::int64_t>(std::floor(high / step + 1e-9));
  for (std::int64_t k = first; k <= last; ++k) ticks.push_back(static_cast<double>(k) * step);
  return ticks;
}

std::vector<double> LogarithmicTicks(double low, double high) {
  const int first = static_cast<int>(std::floor(std::log10(low)));
  const int last = static_cast<int>(std::ceil(std::log10(high)));
  const auto ticks_of = [&](std::initializer_list<double> factors) {
    std::vector<double> ticks;
    for (int power = first; power <= last; ++power) {
      for (const double factor : factors) {
        const double tick = factor * std::pow(10.0, power);
        if (tick >= low && tick <= high) ticks.push_back(tick);
      }
    }
    return ticks;
  };
  std::vector<double> ticks = ticks_of({1, 2, 5});
  return ticks.size() > 2 * kTicks ? ticks_of({1}) : ticks;
}

std::string SvgOf(const Chart& chart) {
  const Scale x = ScaleOfX(chart);
  const Scale y = ScaleOfY(chart);
  const double lines = static_cast<double>(chart.series.size() + chart.levels.size());
  std::string svg = "<svg viewBox=\"0 0 " + Number(kWidth) + " " + Number(kHeight + kLegendLine * (lines + 0.5)) +
                    "\" role=\"img\" xmlns=\"http://www.w3.org/2000/svg\">\n<title>" + XmlText(chart.title) +
                    "</title>\n" + Grid(chart, x, y);
  std::size_t place = 0;
  for (const Series& series : chart.series) {
    svg += "<g class=\"" + ColourOf(place) + "\">\n" + Draw(series, chart.marks, x, y) + "</g>\n";
    svg += LegendOf({.place = place, .colour = place, .line = "key", .name = series.name});
    ++place;
  }
  for (const Level& level : chart.levels) {
    const double at = y.At(level.y);
    const auto beside = std::ranges::find(chart.series, level.beside, &Series::name);
    const std::size_t colour =
        beside == chart.series.end() ? place : static_cast<std::size_t>(beside - chart.series.begin());
    svg += "<g class=\"" + ColourOf(colour) + "\">" + Line({kLeft, at, kWidth - kRight, at}, "level") + "</g>\n";
    svg += LegendOf({.place = place++, .colour = colour, .line = "level", .name = level.name});
  }
  return svg + "</svg>\n";
}

}  // namespace tacit::simulate
