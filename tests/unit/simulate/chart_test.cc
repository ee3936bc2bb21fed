#include "server/simulate/chart.h"

#include <limits>

#include <gmock/gmock.h>

namespace tacit::simulate {
namespace {

using ::testing::DoubleNear;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

TEST(XmlText, LeavesNothingThatXmlReads) {
  EXPECT_EQ(XmlText("a < b & \"c\" > d\x01"), "a &lt; b &amp; &quot;c&quot; &gt; d?");
}

TEST(Ticks, AreRoundNumbersWithinTheRange) {
  EXPECT_THAT(LinearTicks(0, 50), ElementsAre(0, 10, 20, 30, 40, 50));
  EXPECT_THAT(LinearTicks(88.1, 91.9), ElementsAre(89, 90, 91));
  EXPECT_THAT(LogarithmicTicks(0.9, 12), ElementsAre(1, 2, 5, DoubleNear(10, 1e-9)));
  EXPECT_THAT(LogarithmicTicks(1e-3, 1e5).size(), 9U) << "the powers of ten alone";
}

TEST(Svg, ShowsPointsWithTheirBarsAndWhatTheyAre) {
  const std::string svg = SvgOf({.title = "t",
                                 .x_title = "x<y",
                                 .y_title = "y",
                                 .axes = Axes::kLogarithmicX,
                                 .marks = Marks::kPointsAndLines,
                                 .series = {{"one",
                                             {{.x = 1, .y = 80, .deviation = 2, .label = "first"},
                                              {.x = 8, .y = 90, .deviation = 0, .label = "second"}}}},
                                 .levels = {{"without", 92, "one"}}});
  EXPECT_THAT(svg, HasSubstr("<title>first</title>"));
  EXPECT_THAT(svg, HasSubstr("class=\"bar\""));
  EXPECT_THAT(
      svg, HasSubstr("<g class=\"c0\"><line x1=\"64.00\" y1=\"30.00\" x2=\"744.00\" y2=\"30.00\" class=\"level\"/>"));
  EXPECT_THAT(svg, HasSubstr("x&lt;y"));
}

TEST(Svg, LeavesOutWhatIsNoNumber) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const std::string svg =
      SvgOf({.title = "t",
             .x_title = "x",
             .y_title = "y",
             .series = {{"one", {{.x = 1, .y = nan, .label = {}}, {.x = 2, .y = 3, .label = {}}}}, {"none", {}}},
             .levels = {}});
  EXPECT_THAT(svg, Not(HasSubstr("nan")));
  EXPECT_THAT(svg, HasSubstr("<circle")) << "one point makes no line";
}

}  // namespace
}  // namespace tacit::simulate
