/* bench/mlx_by_hand.cpp: `mlx_by_hand CASE TENSORS.safetensors OUT.safetensors`: what a C++ program
 * that calls MLX directly needs for the cases of cases.py, written as one would write it there:
 * channels last, MLX's fast functions, built and evaluated in each run. A peer as peer.h says.
 *
 * Inputs and weights come from the file, by name; the result is "y". */
#include <mlx/mlx.h>

#include <cmath>
#include <string>
#include <unordered_map>
#include <vector>

#include "peer.h"

namespace mx = mlx::core;

namespace {

using tensors = std::unordered_map<std::string, mx::array>;
constexpr int steps_of_a_chain = 64, rounds_of_rows = 4;

mx::array scalar(double value) { return mx::array(static_cast<float>(value)); }

mx::array relu(const mx::array &x) { return mx::maximum(x, scalar(0)); }

mx::array hard_sigmoid(const mx::array &x) {
  return mx::clip(mx::add(mx::multiply(x, scalar(1.0 / 6)), scalar(0.5)), scalar(0), scalar(1));
}

mx::array hard_swish(const mx::array &x) { return mx::multiply(x, hard_sigmoid(x)); }

mx::array gelu(const mx::array &x) {
  const mx::array gate = mx::add(mx::erf(mx::multiply(x, scalar(std::sqrt(0.5)))), scalar(1));
  return mx::multiply(mx::multiply(x, scalar(0.5)), gate);
}

/* x times the transposed "name.weight", plus "name.bias". */
mx::array linear(const tensors &t, const std::string &name, const mx::array &x) {
  return mx::addmm(t.at(name + ".bias"), x, mx::transpose(t.at(name + ".weight")));
}

mx::array layer_norm(const tensors &t, const std::string &name, const mx::array &x) {
  return mx::fast::layer_norm(x, t.at(name + ".weight"), t.at(name + ".bias"), 1e-12f);
}

/* --- the cases */

mx::array matmul(const tensors &t) { return mx::matmul(t.at("x"), t.at("w")); }

mx::array chain(const tensors &t) {
  mx::array y = t.at("x");
  const mx::array half = scalar(0.5), two = scalar(2);
  for (int i = 0; i < steps_of_a_chain; i++)
    y = i % 3 == 0 ? mx::tanh(y) : i % 3 == 1 ? mx::add(y, half) : mx::multiply(y, two);
  return y;
}

mx::array tiny_mlp(const tensors &t) { return relu(mx::addmm(t.at("b"), t.at("x"), t.at("w"))); }

mx::array conv(const tensors &t) { return mx::conv2d(t.at("x"), t.at("w"), {1, 1}, {1, 1}); }

mx::array rows(const tensors &t) {
  mx::array y = t.at("x");
  for (int i = 0; i < rounds_of_rows; i++) y = mx::softmax(gelu(layer_norm(t, "norm", y)), -1);
  return y;
}

/* The gates stand as in ONNX: i o f c. */
mx::array lstm(const tensors &t) {
  const mx::array x = t.at("x"), r = mx::transpose(t.at("r"));
  const mx::array all = mx::addmm(t.at("b"), x, mx::transpose(t.at("w")));
  const int length = x.shape(0), batch = x.shape(1), width = r.shape(0);
  mx::array h = mx::zeros({batch, width}), c = h;
  std::vector<mx::array> steps;
  for (int i = 0; i < length; i++) {
    const mx::array now = mx::squeeze(mx::slice(all, {i, 0, 0}, {i + 1, batch, 4 * width}), 0);
    const std::vector<mx::array> gates = mx::split(mx::addmm(now, h, r), 4, -1);
    c = mx::add(mx::multiply(mx::sigmoid(gates[2]), c),
                mx::multiply(mx::sigmoid(gates[0]), mx::tanh(gates[3])));
    h = mx::multiply(mx::sigmoid(gates[1]), mx::tanh(c));
    steps.push_back(h);
  }
  return mx::stack(steps);
}

/* PP-LCNet: convolutions "conv.N", batch norms folded into them. */
class lcnet {
 public:
  explicit lcnet(const tensors &t) : t_(t) {}

  mx::array operator()() {
    static const struct {
      int kernel, stride;
      bool squeeze;
    } blocks[] = {{3, 1, false}, {3, 2, false}, {3, 1, false}, {3, 2, false}, {3, 1, false},
                  {3, 2, false}, {5, 1, false}, {5, 1, false}, {5, 1, false}, {5, 1, false},
                  {5, 1, false}, {5, 2, true},  {5, 1, true}};
    mx::array y = hard_swish(next(t_.at("x"), 3, 2, false));
    for (const auto &b : blocks) {
      y = hard_swish(next(y, b.kernel, b.stride, true));
      if (b.squeeze) {
        const mx::array gate = next(relu(next(mean(y), 1, 1, false)), 1, 1, false);
        y = mx::multiply(y, hard_sigmoid(gate));
      }
      y = hard_swish(next(y, 1, 1, false));
    }
    y = hard_swish(next(mean(y), 1, 1, false));
    y = mx::addmm(t_.at("b"), mx::flatten(y, 1), t_.at("w"));
    return mx::softmax(y, -1);
  }

 private:
  static mx::array mean(const mx::array &y) { return mx::mean(y, std::vector<int>{1, 2}, true); }

  mx::array next(const mx::array &x, int kernel, int stride, bool depthwise) {
    const std::string name = "conv." + std::to_string(count_++);
    const mx::array y = mx::conv2d(x, t_.at(name + ".weight"), {stride, stride},
                                   {kernel / 2, kernel / 2}, {1, 1}, depthwise ? x.shape(3) : 1);
    return mx::add(y, t_.at(name + ".bias"));
  }

  const tensors &t_;
  int count_ = 0;
};

mx::array orientation(const tensors &t) { return lcnet(t)(); }

/* BERT of 12 heads, with the names of its weights in transformers; all tokens are seen. */
mx::array minilm(const tensors &t) {
  const mx::array &ids = t.at("input_ids");
  const int batch = ids.shape(0), length = ids.shape(1), heads = 12;
  const mx::array words = mx::take(t.at("embeddings.word_embeddings.weight"), ids, 0);
  const int width = words.shape(2), each = width / heads;
  const mx::array ignored =
      mx::subtract(mx::array(1.0f), mx::astype(t.at("attention_mask"), mx::float32));
  const mx::array mask =
      mx::reshape(mx::multiply(ignored, mx::array(-1e9f)), {batch, 1, 1, length});
  const mx::array places =
      mx::slice(t.at("embeddings.position_embeddings.weight"), {0, 0}, {length, width});
  const mx::array kind =
      mx::slice(t.at("embeddings.token_type_embeddings.weight"), {0, 0}, {1, width});
  mx::array h = layer_norm(t, "embeddings.LayerNorm", mx::add(mx::add(words, places), kind));
  for (int i = 0; i < 6; i++) {
    const std::string layer = "encoder.layer." + std::to_string(i) + ".";
    const auto split = [&](const char *name) {
      const mx::array y = linear(t, layer + "attention.self." + name, h);
      return mx::transpose(mx::reshape(y, {batch, length, heads, each}), {0, 2, 1, 3});
    };
    const float scale = 1 / std::sqrt(static_cast<float>(each));
    mx::array seen = mx::fast::scaled_dot_product_attention(split("query"), split("key"),
                                                            split("value"), scale, "", mask);
    seen = mx::reshape(mx::transpose(seen, {0, 2, 1, 3}), {batch, length, width});
    h = mx::add(h, linear(t, layer + "attention.output.dense", seen));
    h = layer_norm(t, layer + "attention.output.LayerNorm", h);
    const mx::array inner = gelu(linear(t, layer + "intermediate.dense", h));
    h = mx::add(h, linear(t, layer + "output.dense", inner));
    h = layer_norm(t, layer + "output.LayerNorm", h);
  }
  return h;
}

const std::unordered_map<std::string, mx::array (*)(const tensors &)> cases = {
    {"matmul", matmul}, {"chain", chain}, {"tiny_mlp", tiny_mlp},       {"conv", conv},
    {"rows", rows},     {"lstm", lstm},   {"orientation", orientation}, {"minilm", minilm}};

struct call {
  mx::array (*run)(const tensors &);
  const tensors &given;

  mx::array operator()() const {
    mx::array y = run(given);
    y.eval();
    return y;
  }
};

int serve(const std::string &name, const std::string &in, const std::string &out) {
  const auto found = cases.find(name);
  if (found == cases.end()) {
    std::fprintf(stderr, "mlx_by_hand: there is no case '%s'\n", name.c_str());
    return 2;
  }
  const double begin = peer_now_us();
  tensors t = mx::load_safetensors(in).first;
  for (auto &[each, array] : t) array.eval();
  const double loaded = peer_now_us();
  call c{found->second, t};
  const mx::array y = c();
  const double done = peer_now_us();
  mx::save_safetensors(out, {{"y", mx::contiguous(y)}});
  peer_ready(loaded - begin, done - loaded, peer_peak_mb());
  return peer_serve([](void *context) { (*static_cast<const call *>(context))(); }, &c);
}

}  // namespace

int main(int argc, char **argv) {
  if (argc != 4) {
    std::fprintf(stderr, "usage: mlx_by_hand CASE TENSORS.safetensors OUT.safetensors\n");
    return 2;
  }
  try {
    mx::set_default_device(mx::Device::cpu);
    return serve(argv[1], argv[2], argv[3]);
  } catch (const std::exception &e) {
    std::fprintf(stderr, "mlx_by_hand: %s\n", e.what());
    return 1;
  }
}
