/* exec/direct_runner.c: the runner of direct segments: at once on the calling thread, or, lazily,
 * as one operation of MLX's graph. */
#include "exec/exec.h"
#include "mlx/lock.h"

/* Tensors for what leaves the segment. */
static rlx_status make_outputs(run *r, const rlx_val *vals, size_t n, void **out) {
  for (size_t i = 0; i < n; i++) {
    const ir_type *t = &graph_value(r->g, vals[i])->type;
    RLX_TRY(rlx_tensor_create(t->dtype, t->rank, t->dims, &r->tensors[vals[i].id]));
    out[i] = r->tensors[vals[i].id]->data;
  }
  return RLX_OK;
}

static rlx_status run_now(run *r, const direct *d, const rlx_val *in, size_t n_in,
                          const rlx_val *out, size_t n_out) {
  RLX_TRY(run_fetch(r, in, n_in));
  void **data = mem_new(n_in + n_out + 1, sizeof *data);
  if (!data) return status_memory(n_in * sizeof *data);
  for (size_t i = 0; i < n_in; i++) data[i] = r->tensors[in[i].id]->data;
  rlx_status status = make_outputs(r, out, n_out, data + n_in);
  if (status == RLX_OK)
    status = direct_run(d, &r->e->blocks, (const void *const *)data, data + n_in);
  mem_free(data);
  return status;
}

/* --- lazily */

/* Shared by the run, which asks how it ended, and MLX, which runs it: perhaps in a later stage. */
struct lazy_job {
  atomic_uint refs;
  variant *v; /* a reference */
  const direct *d;
  blocks *blocks;
  rlx_status status;
  char *error;
};

void lazy_job_free(void *job) {
  struct lazy_job *j = job;
  if (atomic_fetch_sub(&j->refs, 1) != 1) return;
  variant_free(j->v);
  mem_free(j->error);
  mem_free(j);
}

static void run_job(void *job, const void *const *in, void *const *out) {
  struct lazy_job *j = job;
  j->status = direct_run(j->d, j->blocks, in, out);
  if (j->status != RLX_OK) j->error = mem_strdup(rlx_last_error());
}

rlx_status run_read_jobs(const run *r) {
  for (size_t i = 0; i < r->jobs.n; i++) {
    const struct lazy_job *j = r->jobs.data[i];
    if (j->status != RLX_OK) return status_set(j->status, "%s", j->error ? j->error : "");
  }
  return RLX_OK;
}

static rlx_status add_job(run *r, const direct *d, mx_job *out) {
  struct lazy_job *j = mem_new(1, sizeof *j);
  if (!j || !vec_push(&r->jobs, j)) {
    mem_free(j);
    return status_memory(sizeof *j);
  }
  atomic_init(&j->refs, 2);
  atomic_fetch_add(&r->v->refs, 1);
  j->v = r->v;
  j->d = d;
  j->blocks = &r->e->blocks;
  *out = (mx_job){run_job, lazy_job_free, j};
  return RLX_OK;
}

/* With the runtime lock held. */
static rlx_status build_job(run *r, const direct *d, const rlx_val *in, size_t n_in,
                            const rlx_val *out, size_t n_out) {
  mx *arrays = mem_new(n_in + n_out + 1, sizeof *arrays);
  mx_type *types = mem_new(n_out + 1, sizeof *types);
  mx_job job;
  rlx_status status = arrays && types ? add_job(r, d, &job) : status_memory(0);
  for (size_t i = 0; i < n_in && status == RLX_OK; i++) arrays[i] = run_array(r, in[i].id);
  for (size_t i = 0; i < n_out && status == RLX_OK; i++) {
    const ir_type *t = &graph_value(r->g, out[i])->type;
    types[i] = (mx_type){t->dtype, t->rank, t->dims};
  }
  if (status == RLX_OK) {
    mx_run_job(r->m, job, arrays, n_in, types, n_out, arrays + n_in);
    status = mx_ctx_status(r->m);
  }
  for (size_t i = 0; i < n_out && status == RLX_OK; i++)
    r->arrays[out[i].id] = mx_keep(arrays[n_in + i]);
  mx_ctx_reset(r->m);
  mem_free(arrays);
  mem_free(types);
  return status;
}

static rlx_status run_lazily(run *r, const direct *d, const rlx_val *in, size_t n_in,
                             const rlx_val *out, size_t n_out) {
  RLX_TRY(lock_enter());
  rlx_status status = run_open_mlx(r);
  if (status == RLX_OK) status = build_job(r, d, in, n_in, out, n_out);
  lock_leave();
  return status;
}

rlx_status run_direct_segment(run *r, const plan_segment *s) {
  const direct *d = r->v->directs[s - r->v->plan.segments];
  const rlx_val *in, *out;
  const size_t n_in = direct_inputs(d, &in), n_out = direct_outputs(d, &out);
  const bool lazy = r->e->mode == RLX_MODE_LAZY;
  const rlx_status status = (lazy ? run_lazily : run_now)(r, d, in, n_in, out, n_out);
  for (uint32_t i = 0; i < s->n && status == RLX_OK; i++)
    run_drop_dead(r, &r->v->plan.steps[s->first + i]);
  return status;
}
