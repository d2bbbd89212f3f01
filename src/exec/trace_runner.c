/* exec/trace_runner.c: segments recorded and replayed, which saves lowering their steps in each
 * run, and on a GPU lets MLX fuse them. They are recorded when a variant runs them a second time:
 * fusing may take a minute, and shapes that come once shall not pay for it.
 *
 * Laws: all with the runtime lock held, which guards the recordings too. What may differ between
 * runs is an input of the trace: inputs, params, values of other segments; constants stay in it. A
 * segment that cannot be traced runs as an MLX segment, in this variant only; a run that fails
 * either way was not the trace's fault. */
#include "base/span.h"
#include "exec/exec.h"
#include "mlx/lock.h"

struct recording {
  mx_trace *trace; /* NULL: not made yet */
  bool refused;
  bool ran; /* unrecorded */
  VEC(uint32_t) in, out; /* values */
  VEC(uint32_t) checked; /* nodes whose flags follow the outputs */
};

static void forget(recording *t) {
  mx_trace_free(t->trace);
  vec_free(&t->in);
  vec_free(&t->out);
  vec_free(&t->checked);
  *t = (recording){0};
}

void recordings_free(variant *v) {
  for (size_t i = 0; v->recordings && i < v->plan.n_segments; i++) forget(&v->recordings[i]);
  mem_free(v->recordings);
}

bool run_untrace(run *r) {
  const variant *v = r->v;
  bool any = false;
  if (!v->recordings || lock_enter() != RLX_OK) return false;
  for (size_t i = 0; i < v->plan.n_segments; i++) {
    any |= v->recordings[i].trace != NULL;
    forget(&v->recordings[i]);
    v->recordings[i].refused = true;
  }
  mx_ctx_reset(r->m);
  lock_leave();
  span_end(span_begin(), "compile", "trace refused", rlx_last_error());
  return any;
}

/* --- recording */

/* What the segment reads but does not make, and what it makes and does not use up. */
static rlx_status find_ports(const run *r, const plan_segment *s, recording *t) {
  enum { SEEN = 1, MADE = 2, DEAD = 4 };
  const plan *p = &r->v->plan;
  bool room = true;
  unsigned char *marks = mem_new(r->g->values.n, sizeof *marks);
  if (!marks) return status_memory(r->g->values.n);
  for (uint32_t k = s->first; k < s->first + s->n; k++) {
    const ir_node *n = &r->g->nodes.data[p->steps[k].node];
    for (uint32_t i = 0; i < n->n_in; i++) {
      const uint32_t id = n->in[i].id;
      if (id && !marks[id] && !r->v->constants[id]) room = vec_push(&t->in, id) && room;
      marks[id] |= SEEN;
    }
    for (uint32_t i = 0; i < n->n_out; i++) marks[n->out.id + i] |= SEEN | MADE;
    for (uint32_t i = 0; i < p->steps[k].n_dead; i++)
      marks[p->dead[p->steps[k].first_dead + i].id] |= DEAD;
  }
  for (uint32_t id = 1; id < r->g->values.n; id++)
    if ((marks[id] & (MADE | DEAD)) == MADE) room = vec_push(&t->out, id) && room;
  mem_free(marks);
  return room ? RLX_OK : status_memory(r->g->values.n);
}

static mx placeholder(const run *r, uint32_t id) {
  const ir_type *t = &r->g->values.data[id].type;
  int64_t sizes[RLX_MAX_RANK];
  if (!type_sizes(t, sizes))
    return mx_fail(r->m, status_set(RLX_ERROR_INTERNAL, "value %%%u has no concrete size", id));
  return mx_keep(mx_placeholder(r->m, t->dtype, t->rank, sizes));
}

static rlx_status make_trace(const run *shadow, const mx *in, recording *t) {
  const size_t n = t->out.n + shadow->checks.n;
  mx *out = mem_new(n + 1, sizeof *out);
  bool room = out != NULL;
  for (size_t i = 0; room && i < t->out.n; i++) out[i] = shadow->arrays[t->out.data[i]];
  for (size_t i = 0; room && i < shadow->checks.n; i++) {
    out[t->out.n + i] = shadow->checks.data[i].flag;
    room = vec_push(&t->checked, shadow->checks.data[i].node);
  }
  const rlx_status status =
      room ? mx_trace_create(shadow->m, in, t->in.n, out, n, &t->trace) : status_memory(0);
  mem_free(out);
  return status;
}

/* Builds the segment in a run that holds nothing but placeholders and constants. */
static rlx_status record(const run *r, const plan_segment *s, recording *t) {
  RLX_TRY(find_ports(r, s, t));
  run shadow = *r;
  shadow.arrays = mem_new(r->g->values.n, sizeof *shadow.arrays);
  shadow.tensors = mem_new(r->g->values.n, sizeof *shadow.tensors);
  shadow.checks.data = NULL;
  shadow.checks.n = shadow.checks.cap = 0;
  mx *in = mem_new(t->in.n + 1, sizeof *in);
  rlx_status status = shadow.arrays && shadow.tensors && in ? RLX_OK : status_memory(0);
  for (size_t i = 0; i < t->in.n && status == RLX_OK; i++) {
    in[i] = placeholder(r, t->in.data[i]);
    shadow.arrays[t->in.data[i]] = mx_keep(in[i]);
  }
  if (status == RLX_OK) status = run_steps(&shadow, s);
  if (status == RLX_OK) status = make_trace(&shadow, in, t);
  mx_ctx_reset(r->m);
  for (size_t i = 0; in && i < t->in.n; i++) mx_drop(in[i]);
  run_drop_values(&shadow);
  mem_free(in);
  return status;
}

/* --- replaying */

static rlx_status replay(run *r, const plan_segment *s, const recording *t) {
  const size_t n_out = t->out.n + t->checked.n;
  mx *in = mem_new(t->in.n + n_out + 1, sizeof *in), *out = in + t->in.n;
  if (!in) return status_memory(n_out * sizeof *in);
  for (size_t i = 0; i < t->in.n; i++) in[i] = run_array(r, t->in.data[i]);
  rlx_status status = mx_trace_run(r->m, t->trace, in, t->in.n, out, n_out);
  for (size_t i = 0; i < t->out.n && status == RLX_OK; i++)
    r->arrays[t->out.data[i]] = mx_keep(out[i]);
  for (size_t i = 0; i < t->checked.n && status == RLX_OK; i++)
    status = run_add_check(r, out[t->out.n + i], t->checked.data[i]);
  mem_free(in);
  mx_ctx_reset(r->m);
  for (uint32_t i = 0; i < s->n; i++) run_drop_dead(r, &r->v->plan.steps[s->first + i]);
  return status;
}

rlx_status run_recorded(run *r, const plan_segment *s) {
  variant *v = r->v;
  if (!v->recordings) v->recordings = mem_new(v->plan.n_segments, sizeof *v->recordings);
  if (!v->recordings) return status_memory(v->plan.n_segments * sizeof *v->recordings);
  recording *t = &v->recordings[s - v->plan.segments];
  /* On a CPU only tests fuse, and they want to see it done. While spans are recorded they shall show
   * the steps of what is not fused. */
  const bool fused = s->runner == PLAN_TRACE, at_once = fused && r->e->device == RLX_DEVICE_CPU;
  if (!at_once && (!t->ran || (!fused && span_recording()))) {
    t->ran = true;
    return run_steps(r, s);
  }
  if (!t->trace && !t->refused) {
    const uint64_t begin = span_begin();
    t->refused = record(r, s, t) != RLX_OK;
    span_end(begin, "compile", t->refused ? "trace refused" : "trace",
             t->refused ? rlx_last_error() : "");
  }
  if (t->trace) return replay(r, s, t);
  const rlx_status status = run_steps(r, s);
  if (status != RLX_OK) forget(t);
  return status;
}
