/* bench/mlx_by_hand.cpp: `mlx_by_hand matmul|chain [SECONDS]`: what a C++ program that calls MLX
 * directly needs for the graphs of overhead.py: built and evaluated in each run, as MLX does it.
 * Prints one JSON object with the keys of `rlx bench --json`. */
#include <mlx/mlx.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

namespace mx = mlx::core;

namespace {

mx::array random_array(mx::Shape shape) {
  mx::array a = mx::random::uniform(-1.0, 1.0, std::move(shape), mx::float32);
  a.eval();
  return a;
}

struct matmul {
  mx::array x = random_array({1024, 1024}), w = random_array({1024, 1024});
  mx::array operator()() const { return mx::matmul(x, w); }
};

struct chain {
  mx::array x = random_array({256}), half = mx::array(0.5f), two = mx::array(2.0f);
  mx::array operator()() const {
    mx::array y = x;
    for (int i = 0; i < 64; i++) {
      y = i % 3 == 0 ? mx::tanh(y) : i % 3 == 1 ? mx::add(y, half) : mx::multiply(y, two);
    }
    return y;
  }
};

/* Times of single runs, in microseconds. */
template <class Graph>
std::vector<double> measure(const Graph &graph, double seconds) {
  using clock = std::chrono::steady_clock;
  std::vector<double> times;
  const auto begin = clock::now();
  for (auto now = begin; std::chrono::duration<double>(now - begin).count() < seconds;) {
    const auto start = clock::now();
    mx::array y = graph();
    y.eval();
    const volatile float first = *y.data<float>();
    (void)first;
    now = clock::now();
    times.push_back(std::chrono::duration<double, std::micro>(now - start).count());
  }
  std::sort(times.begin(), times.end());
  return times;
}

template <class Graph>
int report(double seconds) {
  const Graph graph;
  measure(graph, seconds / 10);
  const std::vector<double> times = measure(graph, seconds);
  if (times.empty()) return 1;
  std::printf("{\"median_us\": %.3f, \"min_us\": %.3f, \"n\": %zu}\n", times[times.size() / 2],
              times[0], times.size());
  return 0;
}

}  // namespace

int main(int argc, char **argv) {
  const double seconds = argc > 2 ? std::atof(argv[2]) : 1;
  if (argc > 1 && std::strcmp(argv[1], "matmul") == 0) return report<matmul>(seconds);
  if (argc > 1 && std::strcmp(argv[1], "chain") == 0) return report<chain>(seconds);
  std::fprintf(stderr, "usage: mlx_by_hand matmul|chain [SECONDS]\n");
  return 2;
}
