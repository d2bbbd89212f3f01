/* mlx/shim_eval.cpp: evaluation: scheduled under the lock, waited for without it.
 *
 * MLX keeps the error of a CPU task on the stream and throws it at whoever looks next. So each run
 * ends with a task of ours, which takes the error off the stream before the next run begins. */
#include <mlx/scheduler.h>

#include <condition_variable>
#include <cstdio>
#include <mutex>

#include "mlx/shim_private.hpp"

namespace {

/* The end of a run on the CPU stream. (std::atomic's wait would do, but it yields the processor
 * before it sleeps, which costs whole time slices on a busy machine.) */
struct completion {
  std::mutex mutex;
  std::condition_variable ended;
  bool done = false;
  char error[256] = ""; /* a task must not fail, so nothing is allocated */
};

void complete(completion &c, const mc::Stream &stream) noexcept {
  try {
    mc::scheduler::check_error(stream);
  } catch (const std::exception &e) {
    (void)std::snprintf(c.error, sizeof c.error, "%s", e.what());
  }
  {
    std::lock_guard<std::mutex> hold(c.mutex);
    c.done = true;
  }
  c.ended.notify_one();
}

bool row_major(const mc::array &a) {
  int64_t stride = 1;
  for (size_t i = a.ndim(); i-- > 0;) {
    if (a.shape()[i] != 1 && a.strides()[i] != stride) return a.size() == 0;
    stride *= a.shape()[i];
  }
  return true;
}

}  // namespace

/* A CPU stream is waited for through `cpu`; a GPU's through MLX's events, each attached to an empty
 * array of its own, because waiting writes the array. */
struct mx_event {
  std::shared_ptr<completion> cpu;
  std::vector<mc::array> gpu;
};

namespace {

/* Strides are known once an array is scheduled; few results need the second round. */
void schedule(mx_ctx *m, mx *arrays, size_t n) {
  mc::async_eval(shim::arrays_of(arrays, n));
  std::vector<mc::array> strided;
  for (size_t i = 0; i < n; i++) {
    mc::array &a = arrays[i]->value;
    if (row_major(a)) continue;
    a = mc::contiguous(a, false, m->stream);
    strided.push_back(a);
  }
  mc::async_eval(std::move(strided));
}

std::unique_ptr<mx_event> event_of(const mx_ctx *m, const mx *arrays, size_t n) {
  const std::vector<mc::array> no_inputs;
  auto event = std::make_unique<mx_event>();
  if (m->device == MX_CPU) {
    event->cpu = std::make_shared<completion>();
    mc::scheduler::enqueue(m->stream, [c = event->cpu, s = m->stream] { complete(*c, s); });
    return event;
  }
  for (size_t i = 0; i < n; i++) {
    if (arrays[i]->value.is_available()) continue;
    mc::array &waiter = event->gpu.emplace_back(mc::Shape{}, mc::bool_, nullptr, no_inputs);
    waiter.attach_event(arrays[i]->value.event());
    waiter.set_status(mc::array::Status::evaluated);
  }
  return event;
}

/* After a failure: lets what was scheduled end and takes the error that it may leave behind. */
void settle(const mc::Stream &stream) noexcept {
  try {
    mc::synchronize(stream);
  } catch (const std::exception &) { /* the first failure is the one reported */
  }
}

bool all_available(const mx *arrays, size_t n) {
  for (size_t i = 0; i < n; i++) {
    if (!shim::at(arrays[i]).is_available()) return false;
  }
  return true;
}

}  // namespace

extern "C" {

rlx_status mx_schedule(mx_ctx *m, mx *arrays, size_t n, mx_event **out_event) noexcept {
  *out_event = nullptr;
  if (m->status != RLX_OK) return m->status;
  m->status = shim::guard([&] {
    try {
      schedule(m, arrays, n);
      if (!all_available(arrays, n)) *out_event = event_of(m, arrays, n).release();
    } catch (...) {
      settle(m->stream);
      throw;
    }
  });
  return m->status;
}

rlx_status mx_event_wait(mx_event *event) noexcept {
  if (event == nullptr) return RLX_OK;
  std::unique_ptr<mx_event> owned(event);
  try {
    if (event->cpu) {
      std::unique_lock<std::mutex> hold(event->cpu->mutex);
      event->cpu->ended.wait(hold, [&] { return event->cpu->done; });
      if (event->cpu->error[0] != '\0') throw std::runtime_error(event->cpu->error);
    }
    for (mc::array &a : event->gpu) a.wait();
    return RLX_OK;
  } catch (...) {
    return shim::status_of_exception();
  }
}

void mx_settle(void) noexcept {
  (void)shim::guard([] { settle(shim::stream_of(MX_CPU)); });
}

rlx_status mx_host_data(mx_ctx *m, mx a, const void **out_data) noexcept {
  *out_data = nullptr;
  if (m->status != RLX_OK) return m->status;
  m->status = shim::guard([&] {
    if (shim::at(a).status() == mc::array::Status::unscheduled) {
      throw shim::failure{status_set(RLX_ERROR_STATE, "an array is read before it was scheduled")};
    }
    a->value.wait(); /* the run has ended; an MLX with a GPU may still have to note it */
    *out_data = a->value.data<char>();
  });
  return m->status;
}

}  // extern "C"
