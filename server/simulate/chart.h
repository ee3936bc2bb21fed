#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace tacit::simulate {

/// `text` as it stands in XML, between tags or in an attribute.
std::string XmlText(std::string_view text);

struct ChartPoint {
  double x = 0;
  double y = 0;
  double deviation = 0;  ///< Of y; 0 draws no bar.
  std::string label;     ///< What is shown of it when somebody points at it.
};

struct Series {
  std::string name;
  std::vector<ChartPoint> points;  ///< In the order in which a line goes through them.
};

/// A value of y that has no x: a line over the whole width.
struct Level {
  std::string name;
  double y = 0;
  std::string beside;  ///< The series whose colour it has; a colour of its own where there is none of that name.
};

enum class Axes : std::uint8_t { kLinear, kLogarithmicX };
enum class Marks : std::uint8_t { kLines, kPointsAndLines };

struct Chart {
  std::string title;
  std::string x_title;
  std::string y_title;
  Axes axes = Axes::kLinear;
  Marks marks = Marks::kLines;
  std::vector<Series> series;
  std::vector<Level> levels;
};

/// The drawing as an element `svg`, with its legend. Its colours are the classes `c0` to `c7` of the page around it, in
/// turn, with the class `broken` where they begin again; series first, then levels. Shape: x is above 0 on a
/// logarithmic axis; what is not finite is left out.
std::string SvgOf(const Chart& chart);
inline constexpr std::size_t kColours = 8;

/// Round numbers that divide a range of a linear axis. Shape: low < high.
std::vector<double> LinearTicks(double low, double high);
/// 1, 2 and 5 times the powers of ten within the range; the powers alone where that would be many. Shape: 0 < low <
/// high.
std::vector<double> LogarithmicTicks(double low, double high);

}  // namespace tacit::simulate
