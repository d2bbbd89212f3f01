/* tests/mlx_error_test.cpp: an operation that fails inside MLX, when it is scheduled or later on
 * the CPU stream's thread: the failure belongs to its own run and to no other. In C++, because only
 * a primitive of MLX can fail like that. */
#include <mlx/backend/cpu/encoder.h>
#include <mlx/primitives.h>
#include <setjmp.h>
#include <stdarg.h>

#include <chrono>
#include <cstring>
#include <thread>

#include "mlx/shim_private.hpp"
extern "C" {
#include <cmocka.h> /* its macros come last */
}

namespace {

constexpr int rounds = 50;

enum class when { scheduled, later };

class failing : public mc::Primitive {
 public:
  failing(mc::Stream s, when w) : mc::Primitive(s), when_(w) {}
  void eval_cpu(const std::vector<mc::array> &, std::vector<mc::array> &out) override {
    if (when_ == when::scheduled) throw std::runtime_error("failed when scheduled");
    out[0].set_data(mc::allocator::malloc(out[0].nbytes()));
    mc::cpu::CommandEncoder &encoder = mc::cpu::get_command_encoder(stream());
    encoder.dispatch(pause);
    encoder.dispatch([] { throw std::runtime_error("failed later"); });
    encoder.dispatch(pause); /* meanwhile the error lies open on the stream */
  }
  void eval_gpu(const std::vector<mc::array> &, std::vector<mc::array> &) override {}
  const char *name() const override { return "failing"; }

 private:
  static void pause() { std::this_thread::sleep_for(std::chrono::milliseconds(2)); }
  when when_;
};

/* All below with the lock held; arrays are kept by a reference, the context is left empty. */

mx failing_array(mx_ctx *m, when w) {
  mx a = mx_keep(shim::op(m, [&] {
    return mc::array(mc::Shape{2}, mc::float32, std::make_shared<failing>(m->stream, w), {});
  }));
  mx_ctx_reset(m);
  return a;
}

mx three(mx_ctx *m) {
  mx a = mx_keep(mx_add(m, mx_scalar(m, RLX_F32, 1), mx_scalar(m, RLX_F32, 2)));
  mx_ctx_reset(m);
  return a;
}

mx_event *scheduled(mx_ctx *m, mx a) {
  mx_event *event = nullptr;
  assert_int_equal(mx_schedule(m, &a, 1, &event), RLX_OK);
  return event;
}

void wait_for_three(mx_ctx *m, mx a, mx_event *event) {
  const void *data = nullptr;
  assert_int_equal(mx_event_wait(event), RLX_OK);
  assert_int_equal(mx_host_data(m, a, &data), RLX_OK);
  assert_true(*static_cast<const float *>(data) == 3);
  mx_drop(a);
}

void wait_for_failure(mx a, mx_event *event) {
  assert_int_equal(mx_event_wait(event), RLX_ERROR_BACKEND);
  assert_non_null(strstr(rlx_last_error(), "failed later"));
  mx_drop(a);
}

mx_ctx *open_context() {
  mx_ctx *m = nullptr;
  assert_int_equal(lock_enter(), RLX_OK);
  assert_int_equal(mx_ctx_create(MX_CPU, &m), RLX_OK);
  return m;
}

void close_context(mx_ctx *m) {
  mx_ctx_free(m);
  assert_int_equal(lock_leave(), RLX_OK);
}

void test_one_after_another(void **) {
  mx_ctx *m = open_context();
  for (int i = 0; i < rounds; i++) {
    mx_event *event = nullptr;
    mx bad = failing_array(m, when::scheduled);
    assert_int_equal(mx_schedule(m, &bad, 1, &event), RLX_ERROR_BACKEND);
    assert_non_null(strstr(rlx_last_error(), "failed when scheduled"));
    assert_null(event);
    mx_drop(bad);
    mx_ctx_reset(m);
    bad = failing_array(m, when::later);
    wait_for_failure(bad, scheduled(m, bad));
    mx good = three(m);
    wait_for_three(m, good, scheduled(m, good));
  }
  close_context(m);
}

/* Runs that are scheduled before and after the failure happens, and waited for in another order. */
void test_overlapping(void **) {
  mx_ctx *m = open_context();
  for (int i = 0; i < rounds; i++) {
    mx before = three(m), bad = failing_array(m, when::later), after = three(m), last = three(m);
    mx_event *e_before = scheduled(m, before), *e_bad = scheduled(m, bad);
    mx_event *e_after = scheduled(m, after);
    std::this_thread::sleep_for(std::chrono::milliseconds(i % 5));
    mx_event *e_last = scheduled(m, last);
    wait_for_three(m, last, e_last);
    wait_for_three(m, after, e_after);
    wait_for_failure(bad, e_bad);
    wait_for_three(m, before, e_before);
  }
  close_context(m);
}

/* A thread whose runs all fail beside one whose runs are all well. */
void test_two_threads(void **) {
  std::atomic<bool> done{false}, as_expected{true};
  mx_ctx *m = open_context();
  assert_int_equal(lock_leave(), RLX_OK);
  std::thread other([&] {
    mx_ctx *own = nullptr;
    if (lock_enter() != RLX_OK || mx_ctx_create(MX_CPU, &own) != RLX_OK) as_expected = false;
    while (!done && as_expected) {
      mx bad = failing_array(own, when::later);
      mx_event *event = nullptr;
      if (mx_schedule(own, &bad, 1, &event) != RLX_OK) as_expected = false;
      (void)lock_leave();
      if (mx_event_wait(event) != RLX_ERROR_BACKEND) as_expected = false;
      (void)lock_enter();
      mx_drop(bad);
    }
    mx_ctx_free(own);
    (void)lock_leave();
  });
  for (int i = 0; i < 4 * rounds; i++) {
    assert_int_equal(lock_enter(), RLX_OK);
    mx good = three(m);
    mx_event *event = scheduled(m, good);
    assert_int_equal(lock_leave(), RLX_OK);
    assert_int_equal(mx_event_wait(event), RLX_OK);
    mx_drop(good);
  }
  done = true;
  other.join();
  assert_true(as_expected);
  assert_int_equal(lock_enter(), RLX_OK);
  close_context(m);
}

}  // namespace

int main() {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_one_after_another),
      cmocka_unit_test(test_overlapping),
      cmocka_unit_test(test_two_threads),
  };
  return cmocka_run_group_tests(tests, nullptr, nullptr);
}
