// What it costs to hand a core over from process to process, for a batch of one and an NF that does
// nothing:
//
//   bare    a ring of N processes: wake the next one's futex, wait on one's own. No Mayfly
//   baton   the same N processes under Mayfly's baton: scheduler/baton_seat.h in each of them, and
//           scheduler/baton_queue.h in the parent, who makes each one ready again once it has let
//           go of the baton. The queue is FIFO, so this is the same ring
//
//   handover [--nfs N,...] [--seconds S] [--repeat R] [--policy batch|other] [--json FILE]
//
// The processes share CPU 1, the parent spins on CPU 0 in both cases. Mayfly's NFs under the baton
// are SCHED_BATCH, so both are here; --policy other shows what that saves. Bare and baton take
// turns within one run, in an order shuffled with a fixed seed; every measured point is printed at
// once, then medians with the MAD. `waited` is the share of the time in which a holder found nobody
// to hand over to: the parent's fault, not the hand-over's. Checked: all processes had as many
// turns, and the vSwitch's end saw every one of them.
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "bench/handover_ring.h"

namespace mayfly {
namespace {

struct Options {
  std::vector<uint32_t> nfs{2, 256, 2000};
  double seconds = 1;
  uint32_t repeat = 5;
  int policy = SCHED_BATCH;
  std::string json;
};

using Points = std::map<std::pair<uint32_t, Mode>, std::vector<Point>>;

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const size_t n = values.size();
  return n % 2 == 1 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
}

struct Spread {
  double median, mad, waited;
};

Spread spread(const std::vector<Point>& points) {
  std::vector<double> ns, away, waited;
  for (const Point& p : points) ns.push_back(p.ns), waited.push_back(p.waited);
  const double middle = median(ns);
  for (double v : ns) away.push_back(std::abs(v - middle));
  return {middle, median(away), median(waited)};
}

Points measure_all(Bench& bench, const Options& options) {
  std::mt19937 random(1);
  std::vector<std::pair<uint32_t, Mode>> cells;
  for (uint32_t n : options.nfs)
    for (const Mode mode : {bare, baton}) cells.emplace_back(n, mode);
  Points points;
  for (uint32_t r = 0; r < options.repeat; ++r) {
    std::shuffle(cells.begin(), cells.end(), random);
    for (const auto& [n, mode] : cells) {
      const Point p = bench.measure(mode, n, options.seconds);
      points[{n, mode}].push_back(p);
      std::printf("#%u %6u NFs, %-5s: %8.1f ns a hand-over, waited %4.1f %%\n", r + 1, n,
                  kNames[mode], p.ns, 100 * p.waited);
    }
  }
  return points;
}

void print_table(const Points& points, const Options& options) {
  std::printf(
      "\n| NFs | bare, ns a hand-over | baton, ns a hand-over | baton / bare | waited |\n"
      "|---|---|---|---|---|\n");
  for (uint32_t n : options.nfs) {
    const Spread b = spread(points.at({n, bare})), m = spread(points.at({n, baton}));
    std::printf("| %u | %.0f ± %.0f | %.0f ± %.0f | %.2f | %.1f %% |\n", n, b.median, b.mad,
                m.median, m.mad, m.median / b.median, 100 * m.waited);
  }
}

void write_json(const Points& points, const Options& options) {
  FILE* file = std::fopen(options.json.c_str(), "w");
  if (file == nullptr) fail(options.json + ": " + std::strerror(errno));
  std::fprintf(file, "{\"seconds\": %g, \"policy\": \"%s\", \"points\": [", options.seconds,
               options.policy == SCHED_BATCH ? "batch" : "other");
  const char* comma = "\n";
  for (const auto& [cell, all] : points)
    for (const Point& p : all) {
      std::fprintf(file, "%s {\"nfs\": %u, \"mode\": \"%s\", \"ns\": %.1f, \"waited\": %.4f}",
                   comma, cell.first, kNames[cell.second], p.ns, p.waited);
      comma = ",\n";
    }
  std::fprintf(file, "\n]}\n");
  std::fclose(file);
}

// ---------------------------------------------------------------------------------------------

[[noreturn]] void usage(const std::string& why) {
  std::fprintf(stderr,
               "handover: %s; use [--nfs N,... (2 to 16000)] [--seconds S] [--repeat R] "
               "[--policy batch|other] [--json FILE]\n",
               why.c_str());
  std::exit(2);
}

double number(const std::string& option, const std::string& text, double low, double high) {
  char* end = nullptr;
  const double value = std::strtod(text.c_str(), &end);
  if (text.empty() || *end != '\0' || !(value >= low && value <= high)) {
    char bounds[64];
    std::snprintf(bounds, sizeof bounds, ": not a number from %g to %g", low, high);
    usage(option + " " + text + bounds);
  }
  return value;
}

std::vector<uint32_t> counts(const std::string& text) {
  std::vector<uint32_t> found;
  for (size_t at = 0; at <= text.size();) {
    const size_t comma = std::min(text.find(',', at), text.size());
    found.push_back(static_cast<uint32_t>(number("--nfs", text.substr(at, comma - at), 2, 16000)));
    at = comma + 1;
  }
  return found;
}

Options parse(int argc, char** argv) {
  Options o;
  // What ctest gives to every benchmark asks for the smoke size.
  if (argc == 2 && std::strncmp(argv[1], "--benchmark_min_time", 20) == 0)
    return {{2, 16}, 0.05, 1, SCHED_BATCH, ""};
  for (int i = 1; i < argc; i += 2) {
    const std::string name = argv[i];
    if (i + 1 == argc) usage(name + ": a value is missing");
    const std::string value = argv[i + 1];
    if (name == "--nfs")
      o.nfs = counts(value);
    else if (name == "--seconds")
      o.seconds = number(name, value, 0.01, 60);
    else if (name == "--repeat")
      o.repeat = static_cast<uint32_t>(number(name, value, 1, 1000));
    else if (name == "--json")
      o.json = value;
    else if (name == "--policy" && value == "batch")
      o.policy = SCHED_BATCH;
    else if (name == "--policy" && value == "other")
      o.policy = SCHED_OTHER;
    else
      usage(name + " " + value + ": not known here");
  }
  return o;
}

int run(const Options& options) {
  if (sysconf(_SC_NPROCESSORS_ONLN) < 2) {
    std::printf("handover: needs two CPUs\n");
    return 0;
  }
  std::printf("handover: %s, %u repeats of %g s, shuffled; processes on CPU 1, parent on CPU 0\n",
              options.policy == SCHED_BATCH ? "SCHED_BATCH" : "SCHED_OTHER", options.repeat,
              options.seconds);
  Bench bench(*std::max_element(options.nfs.begin(), options.nfs.end()), options.policy);
  const Points points = measure_all(bench, options);
  print_table(points, options);
  if (!options.json.empty()) write_json(points, options);
  return 0;
}

}  // namespace
}  // namespace mayfly

int main(int argc, char** argv) {
  setvbuf(stdout, nullptr, _IOLBF, 0);
  return mayfly::run(mayfly::parse(argc, argv));
}
