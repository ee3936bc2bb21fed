#include "server/simulate/report.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <map>
#include <optional>
#include <span>
#include <utility>

#include "common/base/text.h"
#include "dp/planning.h"
#include "server/simulate/chart.h"

namespace tacit::simulate {
namespace {

std::string Fixed(double value, int digits) {
  std::array<char, 64> text{};
  std::snprintf(text.data(), text.size(), "%.*f", digits, value);
  return text.data();
}

std::string Short(double value, int digits) {
  std::array<char, 64> text{};
  std::snprintf(text.data(), text.size(), "%.*g", digits, value);
  return text.data();
}

std::string Percent(double share) {
  return Fixed(100 * share, 1);
}

std::string SpreadText(const Spread& spread) {
  return Percent(spread.mean) + (spread.deviation ? " \u00b1 " + Percent(*spread.deviation) : "") + " %";
}

std::optional<double> NoiseOf(const task::TaskSpec& spec) {
  if (spec.privacy.local) return spec.privacy.local->noise_multiplier.value();
  if (spec.privacy.noise_multiplier) return spec.privacy.noise_multiplier->value();
  return std::nullopt;
}

std::string NoiseText(const Variant& variant) {
  if (!variant.spec) return "-";
  const auto noise = NoiseOf(*variant.spec);
  return noise ? Short(*noise, 6) : "none";
}

// Of one coordinate of the average, over the clip norm: the one number that says beforehand what noise will do.
std::string NoiseToSignal(const Variant& variant) {
  if (!variant.spec || !NoiseOf(*variant.spec)) return "-";
  const task::TaskSpec& spec = *variant.spec;
  const auto& local = spec.privacy.local;
  const dp::UtilityForecast forecast =
      local ? dp::ForecastLocalUtility(local->mechanism, local->noise_multiplier, spec.cohort.size)
            : dp::ForecastUtility(spec.privacy.mechanism, spec.privacy.promise().noise_multiplier, spec.cohort.size);
  return Short(forecast.noise_to_signal, 2);
}

std::string EpsilonText(const VariantResult& result) {
  const auto epsilon = result.Epsilon();
  if (epsilon) return RoundedUp(*epsilon);
  return result.Accuracy() ? "no promise" : "-";
}

std::string RoundsText(const VariantResult& result) {
  const std::string of = result.variant.spec ? std::to_string(result.variant.spec->rounds) : "-";
  return std::to_string(result.RoundsPublished()) + " of " + of;
}

std::vector<std::string> KnobNames(const Experiment& experiment) {
  std::vector<std::string> names;
  for (const Axis& axis : experiment.plan.axes) names.emplace_back(NameOf(axis.knob));
  return names;
}

// ---- CSV ----

std::string CsvText(const std::string& text) {
  if (text.find_first_of(",\"\n\r") == std::string::npos) return text;
  std::string quoted = "\"";
  for (const char c : text) quoted += c == '"' ? "\"\"" : std::string(1, c);
  return quoted + '"';
}

std::string CsvRow(std::span<const std::string> fields) {
  std::string row;
  std::string_view before;
  for (const std::string& field : fields) {
    row += std::string(before) + CsvText(field);
    before = ",";
  }
  return row + "\r\n";
}

// The columns that say which variant a row is of.
std::vector<std::string> CsvBegin(const VariantResult& result) {
  std::vector<std::string> fields;
  for (const Setting& setting : result.variant.settings) fields.push_back(TextOf(setting.value));
  fields.push_back(NoiseText(result.variant) == "-" ? "" : NoiseText(result.variant));
  return fields;
}

void AddRun(const VariantResult& result, const VariantRun& run, std::string& csv) {
  const std::vector<std::string> begin = CsvBegin(result);
  for (const RoundPoint& point : run.outcome.rounds) {
    std::vector<std::string> fields = begin;
    fields.insert(fields.end(),
                  {std::to_string(run.seed), std::to_string(point.round), std::to_string(point.counted),
                   Fixed(point.accuracy, 6), Fixed(point.loss, 6), point.epsilon ? Short(*point.epsilon, 9) : "", ""});
    csv += CsvRow(fields);
  }
  if (run.outcome.ended.empty()) return;
  std::vector<std::string> fields = begin;
  fields.insert(fields.end(), {std::to_string(run.seed), "", "", "", "", "", run.outcome.ended});
  csv += CsvRow(fields);
}

// ---- HTML ----

// The settings that are not about noise: variants that have them in common make one line of accuracy by epsilon.
std::string OtherSettings(const Variant& variant) {
  std::vector<Setting> others;
  for (const Setting& setting : variant.settings)
    if (setting.knob != Knob::kNoiseMultiplier && setting.knob != Knob::kEpsilon) others.push_back(setting);
  return TextOf(others);
}

Chart AccuracyByEpsilon(const Experiment& experiment) {
  Chart chart{.title = "Accuracy against epsilon",
              .x_title = "epsilon spent (logarithmic)",
              .y_title = "accuracy on held-out data, %",
              .axes = Axes::kLogarithmicX,
              .marks = Marks::kPointsAndLines,
              .series = {},
              .levels = {}};
  std::map<std::string, std::size_t> place;
  for (const VariantResult& result : experiment.results) {
    const auto accuracy = result.Accuracy();
    if (!accuracy) continue;
    const std::string name = OtherSettings(result.variant);
    const auto epsilon = result.Epsilon();
    if (!epsilon || !(*epsilon > 0) || !std::isfinite(*epsilon)) {
      chart.levels.push_back({"no promise: " + name, 100 * accuracy->mean, name});
      continue;
    }
    const auto [found, is_new] = place.try_emplace(name, chart.series.size());
    if (is_new) chart.series.push_back({name, {}});
    chart.series[found->second].points.push_back(
        {.x = *epsilon,
         .y = 100 * accuracy->mean,
         .deviation = 100 * accuracy->deviation.value_or(0),
         .label = TextOf(result.variant.settings) + ": epsilon " + RoundedUp(*epsilon) + ", " + SpreadText(*accuracy)});
  }
  for (Series& series : chart.series) std::ranges::sort(series.points, {}, &ChartPoint::x);
  return chart;
}

// Means over the runs that published as many rounds.
Series AccuracyOf(const VariantResult& result) {
  std::map<RoundNumber, std::vector<double>> by_place;
  for (const VariantRun& run : result.runs)
    for (std::size_t i = 0; i < run.outcome.rounds.size(); ++i)
      by_place[i + 1].push_back(run.outcome.rounds[i].accuracy);
  Series series{.name = TextOf(result.variant.settings), .points = {}};
  for (const auto& [place, values] : by_place)
    series.points.push_back({.x = static_cast<double>(place), .y = 100 * SpreadOf(values).mean, .label = series.name});
  return series;
}

Chart AccuracyByRound(const Experiment& experiment) {
  Chart chart{.title = "Accuracy by round",
              .x_title = "rounds published",
              .y_title = "accuracy on held-out data, %",
              .series = {},
              .levels = {}};
  for (const VariantResult& result : experiment.results) {
    Series series = AccuracyOf(result);
    if (!series.points.empty()) chart.series.push_back(std::move(series));
  }
  return chart;
}

constexpr std::string_view kStyle = R"(
:root { color-scheme: light dark; --ink: #1b1f24; --paper: #ffffff; --faint: #d8dde3; --soft: #59636e;
  --warn: #fff4d6; --c0: #0b63c5; --c1: #c2410c; --c2: #18794e; --c3: #8e3fb3; --c4: #a16207; --c5: #0e7490;
  --c6: #be185d; --c7: #4b5563; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e8eb; --paper: #14171a; --faint: #343a41; --soft: #9aa4af; --warn: #3a3112; --c0: #6cb0ff;
    --c1: #ff9f6b; --c2: #5fd19a; --c3: #d79cf0; --c4: #e3b341; --c5: #5ed0e6; --c6: #ff8fc0; --c7: #b3bac2; } }
body { background: var(--paper); color: var(--ink); font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto;
  max-width: 60rem; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2rem; }
p.warning { background: var(--warn); border-radius: 6px; padding: .75rem 1rem; }
div.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { border-bottom: 1px solid var(--faint); padding: .3rem .8rem .3rem 0; text-align: left; white-space: nowrap; }
th { color: var(--soft); font-weight: 600; }
pre { background: color-mix(in srgb, var(--faint) 40%, transparent); border-radius: 6px; overflow-x: auto;
  padding: .75rem 1rem; }
svg { height: auto; max-width: 100%; width: 100%; }
svg text { fill: var(--soft); font: 12px system-ui, sans-serif; }
.grid { stroke: var(--faint); stroke-width: 1; }
polyline { fill: none; stroke: currentColor; stroke-width: 2; }
.broken polyline, .broken .key { stroke-dasharray: 10 3 2 3; }
circle { fill: currentColor; }
.bar, .key { stroke: currentColor; stroke-width: 2; }
.level { stroke: currentColor; stroke-dasharray: 6 4; stroke-width: 2; }
.c0 { color: var(--c0); } .c1 { color: var(--c1); } .c2 { color: var(--c2); } .c3 { color: var(--c3); }
.c4 { color: var(--c4); } .c5 { color: var(--c5); } .c6 { color: var(--c6); } .c7 { color: var(--c7); }
)";

std::string TableHtml(const Experiment& experiment) {
  std::string html = "<div class=\"wide\"><table>\n";
  std::string_view cell = "th";
  for (const std::vector<std::string>& row : TableOf(experiment)) {
    html += "<tr>";
    for (const std::string& text : row)
      html += "<" + std::string(cell) + ">" + XmlText(text) + "</" + std::string(cell) + ">";
    html += "</tr>\n";
    cell = "td";
  }
  return html + "</table></div>\n";
}

std::string TroubleHtml(const Experiment& experiment) {
  std::string items;
  for (const VariantResult& result : experiment.results) {
    const std::string trouble = result.Trouble();
    if (!trouble.empty()) items += "<li>" + XmlText(TextOf(result.variant.settings) + ": " + trouble) + "</li>\n";
  }
  for (const std::string& note : experiment.notes) items += "<li>" + XmlText(note) + "</li>\n";
  return items.empty() ? "" : "<h2>What did not go as asked</h2>\n<ul>\n" + items + "</ul>\n";
}

std::string FleetText(const Experiment& experiment) {
  const Plan& plan = experiment.plan;
  std::string text = Counted(plan.fleet.devices, "device") + "; " + experiment.examples + "; ";
  if (plan.fleet.dropout > 0) text += Percent(plan.fleet.dropout) + " % of the leases are never answered; ";
  text += plan.repeat == 1
              ? "seed " + std::to_string(plan.seed)
              : "seeds " + std::to_string(plan.seed) + " to " + std::to_string(plan.seed + plan.repeat - 1) +
                    ", mean \u00b1 standard deviation of a run";
  return text + ".";
}

}  // namespace

std::vector<std::vector<std::string>> TableOf(const Experiment& experiment) {
  std::vector<std::string> heading;
  for (std::string name : KnobNames(experiment)) {
    // The columns of a variant that are there anyway.
    std::ranges::transform(name, name.begin(),
                           [](char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c; });
    heading.push_back(name == "EPSILON" ? "TARGET" : std::move(name));
  }
  heading.insert(heading.end(), {"NOISE", "NOISE/SIGNAL", "EPSILON", "ROUNDS", "ACCURACY"});
  std::vector<std::vector<std::string>> rows = {std::move(heading)};
  for (const VariantResult& result : experiment.results) {
    std::vector<std::string> row;
    for (const Setting& setting : result.variant.settings) row.push_back(TextOf(setting.value));
    const auto accuracy = result.Accuracy();
    row.insert(row.end(), {NoiseText(result.variant), NoiseToSignal(result.variant), EpsilonText(result),
                           RoundsText(result), accuracy ? SpreadText(*accuracy) : "-"});
    rows.push_back(std::move(row));
  }
  return rows;
}

std::string CsvOf(const Experiment& experiment) {
  std::vector<std::string> heading;
  for (const std::string& name : KnobNames(experiment)) heading.push_back("set_" + name);
  heading.insert(heading.end(), {"noise", "seed", "round", "counted", "accuracy", "loss", "epsilon", "ended"});
  std::string csv = CsvRow(heading);
  for (const VariantResult& result : experiment.results) {
    for (const VariantRun& run : result.runs) AddRun(result, run, csv);
    if (!result.runs.empty()) continue;
    std::vector<std::string> fields = CsvBegin(result);
    fields.insert(fields.end(), {"", "", "", "", "", "", result.variant.refusal});
    csv += CsvRow(fields);
  }
  return csv;
}

std::string HtmlOf(const Experiment& experiment) {
  const std::string title = "Simulation of " + experiment.task;
  std::string html =
      "<!DOCTYPE html>\n<html lang=\"en\" xmlns=\"http://www.w3.org/1999/xhtml\">\n<head>\n<meta charset=\"utf-8\"/>\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n"
      "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\"/>\n"
      "<title>" +
      XmlText(title) + "</title>\n<style>" + std::string(kStyle) + "</style>\n</head>\n<body>\n<h1>" + XmlText(title) +
      "</h1>\n<p>" + XmlText(FleetText(experiment)) + "</p>\n<p class=\"warning\">" + XmlText(kWarning) + "</p>\n";
  for (const Chart& chart : {AccuracyByEpsilon(experiment), AccuracyByRound(experiment)})
    if (!chart.series.empty() || !chart.levels.empty())
      html += "<h2>" + XmlText(chart.title) + "</h2>\n" + SvgOf(chart);
  html += "<h2>All combinations</h2>\n" + TableHtml(experiment);
  html +=
      "<p>NOISE is the noise multiplier; NOISE/SIGNAL the standard deviation of the noise on one coordinate of the "
      "average over the clip norm: up to about 0.003 it is not seen in the model, above 0.1 much of the accuracy is "
      "lost. "
      "ACCURACY is that of the last model that was published.</p>\n";
  html += TroubleHtml(experiment);
  return html + "<h2>Task file</h2>\n<pre>" + XmlText(experiment.plan.toml) + "</pre>\n</body>\n</html>\n";
}

}  // namespace tacit::simulate
