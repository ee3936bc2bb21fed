#include "benchmarks/detect/report.h"

#include <cstdio>
#include <cstdlib>

#include <nlohmann/json.hpp>

namespace tacit::benchmark {

void Print(const Row& row) {
  nlohmann::ordered_json json = {{"name", row.name}, {"value", row.value}, {"unit", row.unit}, {"baseline", nullptr},
                                 {"ratio", nullptr}, {"goal", nullptr},    {"holds", nullptr}};
  if (row.goal) {
    json["goal"] = *row.goal;
    json["holds"] = row.holds.value_or(row.value >= *row.goal);
  }
  std::printf("%s\n", json.dump().c_str());
  std::fflush(stdout);
}

void Give(const std::string& up) {
  std::fprintf(stderr, "edge_detect: %s\n", up.c_str());
  std::exit(1);
}

}  // namespace tacit::benchmark
