/* rlx/bisect.c: `rlx compare --bisect`: the first node, in the order of the graph, that differs
 * from the reference device. All values become outputs of two runs: nothing is run twice. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "host.h"
#include "model.h"

/* The outputs that this file adds, after those of the model. */
typedef struct probe {
  size_t node;
  rlx_val value;
} probe;

typedef struct probes {
  probe *data;
  size_t n, first; /* first: the index of its output */
} probes;

/* An output for each value that a node computes. */
static probes probes_add(rlx_graph *g) {
  rlx_node_info node;
  rlx_op_info op;
  size_t room = 0;
  for (size_t i = 0; rlx_graph_node(g, i, &node); i++) room += node.n_outputs;
  probes p = {must_alloc(room, sizeof *p.data), 0, rlx_graph_output_count(g)};
  for (size_t i = 0; rlx_graph_node(g, i, &node); i++) {
    if (rlx_op_find(node.op, &op) && op.leaf) continue;
    for (uint32_t k = 0; k < node.n_outputs; k++) {
      char name[48];
      probe at = {i, rlx_nth(node.first_output, k)};
      snprintf(name, sizeof name, "rlx:value:%" PRIu32, at.value.id);
      rlx_graph_output(g, name, at.value);
      p.data[p.n++] = at;
    }
  }
  return p;
}

static rlx_status run_on(const args *a, const model *m, bool reference, rlx_tensors **out_outputs) {
  rlx_exec *exec = NULL;
  rlx_exec_options options;
  model_options(a, &options);
  if (reference) options.device = RLX_DEVICE_REFERENCE;
  rlx_status status = model_compile(m, &options, &exec);
  if (status == RLX_OK) status = rlx_exec_run(exec, m->inputs, out_outputs);
  rlx_exec_free(exec);
  return status;
}

static void add_node(text *t, const rlx_graph *g, const rlx_node_info *node) {
  text_addf(t, "%s %%%" PRIu32, node->op, node->first_output.id);
  if (*node->name) {
    text_add(t, " ");
    text_add_quoted(t, node->name);
  }
  text_add(t, " (");
  for (size_t i = 0; i < node->n_inputs; i++) {
    text_add(t, i ? ", " : "");
    if (!node->inputs[i].id) {
      text_add(t, "_");
      continue;
    }
    text_addf(t, "%%%" PRIu32 " ", node->inputs[i].id);
    text_add_type(t, g, node->inputs[i]);
  }
  text_add(t, ")");
}

typedef struct found {
  size_t index; /* in the probes; their number: nothing differs */
  deviation how;
} found;

/* Against the largest element, not each its own: sums that nearly cancel are not where a model goes
 * wrong. */
static bool differs(const deviation *d, tolerance t) {
  return !d->alike || (d->n_off > 0 && !(d->error <= t.atol + t.rtol * d->scale));
}

static found search(const probes *p, const rlx_tensors *got, const rlx_tensors *want, tolerance t) {
  found f = {0};
  for (; f.index < p->n; f.index++) {
    f.how = deviation_of(rlx_tensors_at(got, p->first + f.index),
                         rlx_tensors_at(want, p->first + f.index), t);
    if (differs(&f.how, t)) break;
  }
  return f;
}

static void report(const args *a, const rlx_graph *g, const probes *p, const found *f,
                   const rlx_tensors *got, const rlx_tensors *want, json *j) {
  text where = {0}, how = {0};
  rlx_node_info node;
  if (f->index < p->n) {
    rlx_graph_node(g, p->data[f->index].node, &node);
    add_node(&where, g, &node);
    text_add_deviation(&how, rlx_tensors_at(got, p->first + f->index),
                       rlx_tensors_at(want, p->first + f->index), &f->how);
  }
  if (args_has(a, FLAG_JSON)) {
    json_open(j, "bisect", '{');
    json_int(j, "values_agreeing", (int64_t)f->index);
    if (where.n) json_text(j, "node", where.data);
    if (how.n) json_text(j, "text", how.data);
    json_close(j, '}');
  } else if (where.n) {
    text_addf(j->out, "first node that differs from the reference, after %zu values that agree:\n",
              f->index);
    text_addf(j->out, "  %s\n  %s\n", where.data, how.data);
  } else {
    text_addf(j->out, "all %zu values agree with the reference\n", p->n);
  }
  text_free(&where);
  text_free(&how);
}

int bisect(const args *a, const model *m, tolerance t, json *j, bool *out_fine) {
  rlx_tensors *got = NULL, *want = NULL;
  probes p = probes_add(m->graph);
  host_progress("running with all values as outputs");
  rlx_status status = run_on(a, m, false, &got);
  host_progress("running by reference");
  if (status == RLX_OK) status = run_on(a, m, true, &want);
  int code = status == RLX_OK ? EXIT_OK : fail_status(status);
  if (code == EXIT_OK) {
    found f = search(&p, got, want, t);
    report(a, m->graph, &p, &f, got, want, j);
    *out_fine = *out_fine && f.index == p.n;
  }
  free(p.data);
  rlx_tensors_free(got);
  rlx_tensors_free(want);
  return code;
}
