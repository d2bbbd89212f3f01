/* exec/runners.c: the runners of segments: onto MLX (lazily or eagerly), and by reference. */
#include <string.h>

#include "base/span.h"
#include "exec/exec.h"
#include "mlx/lock.h"
#include "ops/lower.h"
#include "ops/ref.h"

rlx_status run_fail_at(const rlx_graph *g, const ir_node *n, rlx_status status) {
  char what[256];
  graph_describe(g, n, what, sizeof what);
  return status_at(status, "%s", what);
}

void run_note(const rlx_graph *g, const ir_node *n, const char *category, uint64_t begin) {
  char what[256];
  if (begin == 0) return;
  graph_describe(g, n, what, sizeof what);
  span_end(begin, category, n->op->name, what);
}

static void drop_value(run *r, uint32_t id) {
  mx_drop(r->arrays[id]);
  rlx_tensor_free(r->tensors[id]);
  r->arrays[id] = NULL;
  r->tensors[id] = NULL;
}

void run_drop_dead(run *r, const plan_step *step) {
  for (uint32_t i = 0; i < step->n_dead; i++)
    drop_value(r, r->v->plan.dead[step->first_dead + i].id);
}

/* --- between host and device; all with the runtime lock held */

rlx_status run_open_mlx(run *r) {
  if (r->m) return RLX_OK;
  return mx_ctx_create(r->e->device == RLX_DEVICE_GPU ? MX_GPU : MX_CPU, &r->m);
}

static void release_tensor(void *tensor) { rlx_tensor_free(tensor); }

static mx upload(mx_ctx *m, rlx_tensor *t) {
  if (!t->own) return mx_from_data(m, t->dtype, t->rank, t->dims, t->data);
  rlx_tensor_retain(t);
  return mx_from_owned(m, t->dtype, t->rank, t->dims, t->data, release_tensor, t);
}

static mx resident_array(mx_ctx *m, resident *c) {
  if (!c->array) c->array = mx_keep(upload(m, c->tensor));
  return c->array;
}

mx run_array(run *r, uint32_t id) {
  if (id == 0 || r->arrays[id]) return r->arrays[id];
  resident *c = r->residents[id];
  r->arrays[id] = mx_keep(c ? resident_array(r->m, c) : upload(r->m, r->tensors[id]));
  return r->arrays[id];
}

static void release_array(void *array) { mx_drop(array); }

/* A host view of an evaluated array; the view keeps the array. */
static rlx_status view_array(run *r, uint32_t id) {
  const ir_type *t = &r->g->values.data[id].type;
  int64_t sizes[RLX_MAX_RANK], count;
  size_t bytes;
  const void *data;
  if (!type_sizes(t, sizes) || !tensor_size(t->dtype, t->rank, sizes, &count, &bytes))
    return status_set(RLX_ERROR_INTERNAL, "value %%%u has no concrete size", id);
  RLX_TRY(mx_host_data(r->m, r->arrays[id], &data));
  mx kept = mx_keep(r->arrays[id]);
  const rlx_status status = rlx_tensor_wrap(t->dtype, t->rank, sizes, data, bytes, release_array,
                                            kept, &r->tensors[id]);
  if (status != RLX_OK) mx_drop(kept);
  return status;
}

static bool any_true(mx flags, const bool *data) {
  size_t count = 1;
  for (size_t i = 0; i < mx_rank(flags); i++) count *= (size_t)mx_dim(flags, i);
  return count && memchr(data, true, count);
}

static rlx_status read_checks(run *r) {
  rlx_status status = RLX_OK;
  for (size_t i = 0; i < r->checks.n; i++) {
    const void *data = NULL;
    mx flags = r->checks.data[i].flag;
    if (status == RLX_OK) status = mx_host_data(r->m, flags, &data);
    if (status == RLX_OK && any_true(flags, data))
      status = run_fail_at(r->g, &r->g->nodes.data[r->checks.data[i].node],
                           status_set(RLX_ERROR_INDEX, "an index is out of range"));
    mx_drop(flags);
  }
  r->checks.n = 0;
  return status;
}

/* Schedules arrays, lets others in while they are computed. */
static rlx_status evaluate(run *r, mx *arrays, size_t n) {
  mx_event *event = NULL;
  uint64_t begin = span_begin();
  RLX_TRY(mx_schedule(r->m, arrays, n, &event));
  span_end(begin, "mlx", "schedule", "");
  lock_leave();
  begin = span_begin();
  const rlx_status status = mx_event_wait(event);
  span_end(begin, "mlx", "wait", "");
  const rlx_status again = lock_enter();
  return status != RLX_OK ? status : again;
}

/* With the lock held. */
static rlx_status fetch(run *r, const rlx_val *vals, size_t n) {
  mx *arrays = mem_new(n + r->checks.n + 1, sizeof *arrays);
  if (!arrays) return status_memory(n * sizeof *arrays);
  size_t count = 0;
  for (size_t i = 0; i < n; i++)
    if (vals[i].id && !r->tensors[vals[i].id]) arrays[count++] = r->arrays[vals[i].id];
  for (size_t i = 0; i < r->checks.n; i++) arrays[count++] = r->checks.data[i].flag;
  rlx_status status = count ? evaluate(r, arrays, count) : RLX_OK;
  mem_free(arrays);
  if (status == RLX_OK) status = run_read_jobs(r);
  if (status == RLX_OK) status = read_checks(r);
  for (size_t i = 0; i < n && status == RLX_OK; i++)
    if (vals[i].id && !r->tensors[vals[i].id]) status = view_array(r, vals[i].id);
  return status;
}

rlx_status run_fetch(run *r, const rlx_val *vals, size_t n) {
  if (!r->m) return RLX_OK; /* everything is on the host */
  RLX_TRY(lock_enter());
  const rlx_status status = fetch(r, vals, n);
  lock_leave();
  return status;
}

/* --- onto MLX */

rlx_status run_add_check(run *r, mx flag, uint32_t node) {
  const struct run_check check = {flag, node};
  if (!vec_push(&r->checks, check)) return status_memory(sizeof check);
  mx_keep(flag);
  return RLX_OK;
}

/* Arrays of one dtype as another; the others stay. */
static void cast_all(mx_ctx *m, mx *arrays, size_t n, rlx_dtype from, rlx_dtype to) {
  for (size_t i = 0; i < n; i++)
    if (arrays[i] && mx_dtype(arrays[i]) == from) arrays[i] = mx_cast(m, arrays[i], to);
}

static rlx_status lower_step(run *r, const plan_step *step, mx *in, mx *out) {
  const ir_node *n = &r->g->nodes.data[step->node];
  const bool narrow = exec_is_narrow(r->e, n) &&
                      graph_value(r->g, n->out)->type.dtype == RLX_F32;
  for (uint32_t i = 0; i < n->n_in; i++) in[i] = run_array(r, n->in[i].id);
  if (narrow) cast_all(r->m, in, n->n_in, RLX_F32, RLX_BF16);
  lower_call c = {.m = r->m,
                  .g = r->g,
                  .node = n,
                  .attrs = n->attrs,
                  .in = in,
                  .n_in = n->n_in,
                  .out = out,
                  .n_out = n->n_out};
  if (mx_ctx_status(r->m) == RLX_OK && !lower_empty(&c)) n->op->hooks->lower(&c);
  if (narrow) cast_all(r->m, out, n->n_out, RLX_BF16, RLX_F32);
  RLX_TRY(mx_ctx_status(r->m));
  for (uint32_t i = 0; i < n->n_out; i++) r->arrays[n->out.id + i] = mx_keep(out[i]);
  for (size_t i = 0; i < c.n_checks; i++) RLX_TRY(run_add_check(r, c.checks[i], step->node));
  return RLX_OK;
}

/* While spans are recorded, a compiled run on a CPU shows what each step takes. */
static bool waits_for_steps(const run *r) {
  if (r->e->mode == RLX_MODE_EAGER) return true;
  return r->e->mode == RLX_MODE_COMPILED && r->e->device == RLX_DEVICE_CPU && span_recording();
}

static rlx_status mlx_step(run *r, const plan_step *step, mx *scratch) {
  const ir_node *n = &r->g->nodes.data[step->node];
  const uint64_t begin = span_begin();
  rlx_status status = lower_step(r, step, scratch, scratch + n->n_in);
  mx_ctx_reset(r->m);
  if (status == RLX_OK && waits_for_steps(r))
    for (uint32_t i = 0; i < n->n_out && status == RLX_OK; i++)
      status = fetch(r, &(rlx_val){n->out.id + i}, 1);
  if (status != RLX_OK) return run_fail_at(r->g, n, status);
  run_note(r->g, n, "node", begin);
  run_drop_dead(r, step);
  return RLX_OK;
}

static size_t widest(const run *r, const plan_segment *s) {
  size_t most = 0;
  for (uint32_t i = 0; i < s->n; i++) {
    const ir_node *n = &r->g->nodes.data[r->v->plan.steps[s->first + i].node];
    if ((size_t)n->n_in + n->n_out > most) most = (size_t)n->n_in + n->n_out;
  }
  return most;
}

rlx_status run_steps(run *r, const plan_segment *s) {
  mx *scratch = mem_new(widest(r, s), sizeof *scratch);
  if (!scratch) return status_memory(0);
  rlx_status status = RLX_OK;
  for (uint32_t i = 0; i < s->n && status == RLX_OK; i++)
    status = mlx_step(r, &r->v->plan.steps[s->first + i], scratch);
  mem_free(scratch);
  return status;
}

rlx_status run_mlx_segment(run *r, const plan_segment *s) {
  RLX_TRY(lock_enter());
  /* Beside the kernels' pool OpenBLAS gets no threads of its own, which would spin on its cores. */
  runtime_blas_threads(r->e->kernels ? 1 : r->e->threads);
  const bool replays = r->e->mode == RLX_MODE_COMPILED;
  rlx_status status = run_open_mlx(r);
  if (status == RLX_OK) status = replays ? run_recorded(r, s) : run_steps(r, s);
  lock_leave();
  return status;
}

/* --- by reference */

static rlx_status host_step(run *r, const plan_step *step) {
  const ir_node *n = &r->g->nodes.data[step->node];
  const uint64_t begin = span_begin();
  RLX_TRY(run_fetch(r, n->in, n->n_in));
  rlx_tensor **in = mem_new(n->n_in + 1u, sizeof *in);
  if (!in) return status_memory(n->n_in * sizeof *in);
  for (uint32_t i = 0; i < n->n_in; i++) in[i] = r->tensors[n->in[i].id];
  const rlx_status status = run_on_host(r, n, in, &r->tensors[n->out.id]);
  mem_free(in);
  if (status != RLX_OK) return run_fail_at(r->g, n, status);
  run_note(r->g, n, "node", begin);
  run_drop_dead(r, step);
  return RLX_OK;
}

rlx_status run_host_segment(run *r, const plan_segment *s) {
  for (uint32_t i = 0; i < s->n; i++) RLX_TRY(host_step(r, &r->v->plan.steps[s->first + i]));
  return RLX_OK;
}
