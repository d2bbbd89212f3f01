/* mlx/shim_trace.cpp: traces: a computation recorded once, replayed with new inputs.
 *
 * MLX's own compiled functions live in a cache of the thread that called them, are traced again on
 * every other thread, and are found by an id that may be reused. So a trace is a flat list of ours,
 * of no thread, and MLX's compiler is asked for one thing only: to fuse it, once, when it is
 * made. */
#include <mlx/compile_impl.h>
#include <stdlib.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <sstream>
#include <string>
#include <unordered_map>

#include "mlx/shim_private.hpp"

namespace {

/* MLX's compiler visits a graph recursively: this depth takes 350 KB of stack. */
constexpr size_t max_fused_depth = 3000;

/* What was recorded of one primitive. Its arrays take the next slots; the first slots of a trace
 * are its inputs. Without a primitive it is a constant. */
struct step {
  std::vector<mc::array> out;
  std::vector<size_t> in; /* slots */
};

}  // namespace

struct mx_trace : shim::droppable {
  mx_device device;
  std::vector<mc::array> in; /* the placeholders */
  std::vector<step> steps;
  std::vector<size_t> out; /* slots */
  size_t slots, depth;     /* depth: the primitives on the longest way from an input */
};

namespace {

class recorder {
 public:
  recorder(mx_device device, std::vector<mc::array> in) : trace_(std::make_unique<mx_trace>()) {
    trace_->device = device;
    trace_->in = std::move(in);
    for (const mc::array &a : trace_->in) number(a, 0);
    if (slots_.size() != trace_->in.size()) {
      throw std::invalid_argument("a placeholder is given for two inputs of a trace");
    }
  }

  std::unique_ptr<mx_trace> record(const std::vector<mc::array> &out) {
    for (const mc::array &a : out) {
      visit(a);
      trace_->out.push_back(slots_.at(a.id()));
    }
    trace_->slots = slots_.size();
    trace_->depth = 0;
    for (size_t d : depths_) trace_->depth = std::max(trace_->depth, d);
    return std::move(trace_);
  }

 private:
  void number(const mc::array &a, size_t depth) {
    if (slots_.emplace(a.id(), slots_.size()).second) depths_.push_back(depth);
  }

  /* Everything that `a` comes from, then `a`. */
  void visit(const mc::array &a) {
    std::vector<std::pair<mc::array, size_t>> open{{a, 0}}; /* and how many inputs were looked at */
    while (!open.empty()) {
      auto &[top, looked] = open.back();
      if (slots_.count(top.id()) != 0) {
        open.pop_back();
      } else if (looked < top.inputs().size()) {
        mc::array next = top.inputs()[looked++];
        open.emplace_back(std::move(next), 0);
      } else {
        add(top);
      }
    }
  }

  void add(const mc::array &a) {
    if (!a.has_primitive() && a.status() == mc::array::Status::unscheduled) {
      throw std::invalid_argument("a trace uses a placeholder that is none of its inputs");
    }
    step s{a.outputs(), {}};
    size_t depth = 0;
    for (const mc::array &in : a.inputs()) {
      s.in.push_back(slots_.at(in.id()));
      depth = std::max(depth, depths_[s.in.back()] + 1);
    }
    for (const mc::array &out : s.out) number(out, depth);
    trace_->steps.push_back(std::move(s));
  }

  std::unique_ptr<mx_trace> trace_;
  std::unordered_map<std::uintptr_t, size_t> slots_;
  std::vector<size_t> depths_; /* by slot */
};

/* The arrays of one step again, from other inputs. */
void replay_step(const step &s, std::vector<mc::array> &slots) {
  const mc::array &like = s.out[0];
  if (!like.has_primitive()) {
    slots.push_back(like);
    return;
  }
  std::vector<mc::array> in;
  in.reserve(s.in.size());
  for (size_t i : s.in) in.push_back(slots[i]);
  if (s.out.size() == 1) {
    slots.emplace_back(like.shape(), like.dtype(), like.primitive_ptr(), std::move(in));
    return;
  }
  std::vector<mc::Shape> shapes;
  std::vector<mc::Dtype> dtypes;
  for (const mc::array &a : s.out) {
    shapes.push_back(a.shape());
    dtypes.push_back(a.dtype());
  }
  for (mc::array &a : mc::array::make_arrays(std::move(shapes), dtypes, like.primitive_ptr(), in)) {
    slots.push_back(std::move(a));
  }
}

std::vector<mc::array> replay(const mx_trace &t, std::vector<mc::array> slots) {
  slots.reserve(t.slots);
  for (const step &s : t.steps) replay_step(s, slots);
  std::vector<mc::array> out;
  out.reserve(t.out.size());
  for (size_t i : t.out) out.push_back(slots[i]);
  return out;
}

/* A folder of this process alone, where MLX's compiler for CPUs looks for and keeps its files. */
class private_folder {
 public:
  private_folder() : owner_(getpid()) {
    std::string path = std::filesystem::temp_directory_path() / "rlx-trace-";
    path.append(6, 'X');
    if (mkdtemp(path.data()) == nullptr || setenv("TMPDIR", path.c_str(), 1) != 0) {
      throw shim::failure{status_set(RLX_ERROR_IO, "%s: cannot be made", path.c_str())};
    }
    path_ = path;
  }
  ~private_folder() {
    std::error_code ignored;
    if (getpid() == owner_) std::filesystem::remove_all(path_, ignored);
  }

 private:
  pid_t owner_;
  std::filesystem::path path_;
};

/* Where MLX has no compiler this gives the same trace back. */
std::unique_ptr<mx_trace> fuse(const mx_trace &t) {
  static const char id = 0; /* an address that no function has; forgotten after each use */
  const auto key = reinterpret_cast<std::uintptr_t>(&id);
  struct forget {
    std::uintptr_t key;
    ~forget() { mc::detail::compile_erase(mc::detail::compile_cache(), key); }
  } forget_after{key};
  if (t.device == MX_CPU) static const private_folder folder;
  auto fused = mc::detail::compile(
      [&t](const std::vector<mc::array> &in) { return replay(t, in); }, key);
  return recorder(t.device, t.in).record(fused(t.in));
}

std::string text_of(const mc::array &a) {
  std::ostringstream text;
  text << a.dtype() << a.shape();
  return text.str();
}

void check_input(const mx_trace &t, size_t i, const mc::array &a) {
  if (a.shape() == t.in[i].shape() && a.dtype() == t.in[i].dtype()) return;
  throw shim::failure{status_set(RLX_ERROR_SHAPE, "input %zu of a trace was recorded as %s, got %s", i,
                                 text_of(t.in[i]).c_str(), text_of(a).c_str())};
}

}  // namespace

extern "C" {

mx mx_placeholder(mx_ctx *m, rlx_dtype dtype, size_t rank, const int64_t *dims) noexcept {
  return shim::op(m, [&] {
    return mc::array(shim::shape_of(rank, dims), shim::dtype_of(dtype), nullptr, {});
  });
}

bool mx_trace_fuses(mx_device device) noexcept {
  const char *wanted = getenv("RLX_MLX_TRACE");
  return device == MX_GPU || (wanted != nullptr && std::strcmp(wanted, "cpu") == 0);
}

rlx_status mx_trace_create(mx_ctx *m, const mx *in, size_t n_in, const mx *out, size_t n_out,
                           mx_trace **out_trace) noexcept {
  *out_trace = nullptr;
  if (m->status != RLX_OK) return m->status;
  m->status = shim::guard([&] {
    std::unique_ptr<mx_trace> t =
        recorder(m->device, shim::arrays_of(in, n_in)).record(shim::arrays_of(out, n_out));
    if (mx_trace_fuses(m->device) && t->depth <= max_fused_depth) t = fuse(*t);
    *out_trace = t.release();
  });
  return m->status;
}

rlx_status mx_trace_run(mx_ctx *m, const mx_trace *t, const mx *in, size_t n_in, mx *out,
                        size_t n_out) noexcept {
  if (m->status != RLX_OK) return m->status;
  m->status = shim::guard([&] {
    if (m->device != t->device || n_in != t->in.size() || n_out != t->out.size()) {
      throw std::invalid_argument("a trace is replayed on another device, or with more or fewer "
                                  "inputs or outputs than were recorded");
    }
    std::vector<mc::array> slots = shim::arrays_of(in, n_in);
    for (size_t i = 0; i < n_in; i++) check_input(*t, i, slots[i]);
    std::vector<mc::array> results = replay(*t, std::move(slots));
    for (size_t i = 0; i < n_out; i++) out[i] = shim::wrap(m, std::move(results[i]));
  });
  return m->status;
}

void mx_trace_free(mx_trace *t) noexcept { shim::drop(t); }

}  // extern "C"
