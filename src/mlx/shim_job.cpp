/* mlx/shim_job.cpp: work of ours as one operation of MLX's graph, on a CPU. */
#include <mlx/allocator.h>
#include <mlx/backend/cpu/encoder.h>
#include <mlx/primitives.h>

#include "mlx/shim_private.hpp"

namespace {

/* Gives the owner back when the last who could run it is gone. */
struct kept_job {
  explicit kept_job(const mx_job &j) : job(j) {}
  kept_job(const kept_job &) = delete;
  kept_job &operator=(const kept_job &) = delete;
  ~kept_job() { job.release(job.owner); }
  mx_job job;
};

class job_primitive : public mc::Primitive {
 public:
  job_primitive(mc::Stream stream, std::shared_ptr<kept_job> job)
      : mc::Primitive(stream), job_(std::move(job)) {}

  void eval_cpu(const std::vector<mc::array> &inputs, std::vector<mc::array> &outputs) override {
    std::vector<const void *> in;
    std::vector<void *> out;
    for (const mc::array &a : inputs) in.push_back(a.data<char>());
    for (mc::array &a : outputs) {
      a.set_data(mc::allocator::malloc(a.nbytes()));
      out.push_back(a.data<char>());
    }
    mc::cpu::get_command_encoder(stream()).dispatch(
        [job = job_, in = std::move(in), out = std::move(out)]() mutable {
          job->job.run(job->job.owner, in.data(), out.data());
        });
  }
  void eval_gpu(const std::vector<mc::array> &, std::vector<mc::array> &) override {
    throw std::runtime_error("CPU kernels do not run on a GPU");
  }
  const char *name() const override { return "rlx"; }

 private:
  std::shared_ptr<kept_job> job_;
};

std::vector<mc::array> build(mx_ctx *m, const mx_job &job, const mx *in, size_t n_in,
                             const mx_type *types, size_t n_out) {
  auto kept = std::make_shared<kept_job>(job);
  std::vector<mc::array> inputs;
  std::vector<mc::Shape> shapes;
  std::vector<mc::Dtype> dtypes;
  for (size_t i = 0; i < n_in; i++)
    inputs.push_back(mc::contiguous(shim::at(in[i]), false, m->stream));
  for (size_t i = 0; i < n_out; i++) {
    shapes.push_back(shim::shape_of(types[i].rank, types[i].dims));
    dtypes.push_back(shim::dtype_of(types[i].dtype));
  }
  return mc::array::make_arrays(std::move(shapes), dtypes,
                                std::make_shared<job_primitive>(m->stream, std::move(kept)),
                                inputs);
}

}  // namespace

extern "C" void mx_run_job(mx_ctx *m, mx_job job, const mx *in, size_t n_in, const mx_type *types,
                           size_t n_out, mx *out) noexcept {
  for (size_t i = 0; i < n_out; i++) out[i] = nullptr;
  if (m->status != RLX_OK) {
    job.release(job.owner);
    return;
  }
  m->status = shim::guard([&] {
    std::vector<mc::array> made = build(m, job, in, n_in, types, n_out);
    for (size_t i = 0; i < n_out; i++) out[i] = shim::wrap(m, made[i]);
  });
}
