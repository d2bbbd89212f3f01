/* rlx/explain.c: `rlx explain`: what the rewrite rules did to a model, and how the rest runs. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "host.h"
#include "model.h"

/* Indexed by rlx_how. */
static const char *const how_names[] = {"MLX", "MLX fast", "expanded", "host",
                                        "sub-graphs", "kernel", "region", "view"};
enum { N_HOW = sizeof how_names / sizeof *how_names };

/* Steps of one operation that run in one way. */
typedef struct op_row {
  const char *op;
  rlx_how how;
  size_t n;
} op_row;

/* A step, or the head of a sub-graph, whose steps follow it and are one deeper. */
typedef struct entry {
  const rlx_exec *exec; /* what runs it */
  const char *graph;    /* the attribute that holds the sub-graph, "": it is none */
  size_t depth;
  bool head;
  rlx_step_info step;
} entry;

typedef struct findings {
  const rlx_exec *exec;
  entry *entries; /* each sub-graph after the step that runs it */
  size_t n_entries, entry_room;
  size_t n_steps, n_inside, n_by[N_HOW]; /* n_inside: steps of sub-graphs */
  size_t n_mlx, n_kernels;               /* steps that they run, views among them */
  size_t n_segments;                     /* of the graph itself */
  size_t n_late; /* steps whose results have sizes that data decide, shown as ?0, ?1, .. */
  op_row *ops; /* in the order of their first step */
  size_t n_ops, op_room;
} findings;

static void count_op(findings *f, const char *op, rlx_how how) {
  size_t i = 0;
  while (i < f->n_ops && (f->ops[i].how != how || strcmp(f->ops[i].op, op) != 0)) i++;
  f->ops = must_grow(f->ops, f->n_ops, &f->op_room, sizeof *f->ops);
  if (i == f->n_ops) f->ops[f->n_ops++] = (op_row){op, how, 0};
  f->ops[i].n++;
}

static void add_entry(findings *f, entry e) {
  f->entries = must_grow(f->entries, f->n_entries, &f->entry_room, sizeof *f->entries);
  f->entries[f->n_entries++] = e;
}

static const char *op_of(const entry *e, rlx_node_info *out_node) {
  rlx_graph_node(rlx_exec_graph(e->exec), e->step.node, out_node);
  return out_node->op;
}

/* Has the type a size ?0, ?1, .. that no type in `inputs` has? */
static bool is_late(const char *type, const char *inputs) {
  for (const char *at = strchr(type, '?'); at; at = strchr(at + 1, '?')) {
    const size_t n = 1 + strspn(at + 1, "0123456789");
    const char *in = strchr(inputs, '?');
    while (in && (1 + strspn(in + 1, "0123456789") != n || memcmp(in, at, n) != 0))
      in = strchr(in + 1, '?');
    if (!in) return true;
  }
  return false;
}

static void count_step(findings *f, const entry *e, const char *inputs) {
  rlx_node_info node;
  text type = {0};
  f->n_steps++;
  f->n_inside += e->depth > 0;
  f->n_by[e->step.how]++;
  f->n_kernels += strcmp(e->step.runner, "direct") == 0;
  f->n_mlx += strcmp(e->step.runner, "mlx") == 0 || strcmp(e->step.runner, "trace") == 0;
  if (e->depth == 0) f->n_segments = e->step.segment + 1;
  count_op(f, op_of(e, &node), e->step.how);
  text_add_type(&type, rlx_exec_graph(e->exec), node.first_output);
  f->n_late += is_late(type.data, inputs);
  text_free(&type);
}

/* Calls itself as deep as sub-graphs nest, which the library bounds. */
static void find(findings *f, entry e) {
  const rlx_graph *g = rlx_exec_graph(e.exec);
  text inputs = {0};
  text_add(&inputs, "");
  for (size_t i = 0; i < rlx_graph_input_count(g); i++)
    text_add_type(&inputs, g, rlx_graph_input_value(g, i));
  e.head = false;
  for (size_t i = 0; rlx_exec_step(e.exec, i, &e.step); i++) {
    entry sub = {.depth = e.depth + 1, .head = true};
    add_entry(f, e);
    count_step(f, &e, inputs.data);
    for (size_t k = 0; (sub.exec = rlx_exec_subgraph(e.exec, e.step.node, k, &sub.graph)); k++) {
      add_entry(f, sub);
      find(f, sub);
    }
  }
  text_free(&inputs);
}

/* A step that runs sub-graphs is a segment of its own, so that their entries split none. */
static size_t segment_end(const findings *f, size_t first) {
  const entry *e = f->entries;
  size_t end = first;
  while (end < f->n_entries && !e[end].head && e[end].exec == e[first].exec &&
         e[end].step.segment == e[first].step.segment)
    end++;
  return end;
}

/* --- text */

static void show_rules(const findings *f, text *out) {
  rlx_rule_info r;
  text_add(out, "rules that applied\n");
  for (size_t i = 0; rlx_exec_rule(f->exec, i, &r); i++) {
    size_t start = out->n;
    if (!r.hits) continue;
    text_addf(out, "  %8" PRIu64 "  %s", r.hits, r.name);
    text_pad(out, start, 32);
    text_addf(out, "%s\n", r.inexact ? "inexact" : "exact");
  }
  bool any = false;
  for (size_t i = 0; rlx_exec_rule(f->exec, i, &r); i++) {
    if (!r.off) continue;
    text_addf(out, "%s %s", any ? "" : "rules left out", r.name);
    any = true;
  }
  if (any) text_add(out, "\n");
}

static void show_indent(const entry *e, text *out) {
  text_addf(out, "%*s", (int)(2 + 4 * e->depth - 2 * e->head), "");
  if (e->head) text_addf(out, "%s\n", e->graph);
}

static void show_segment(const entry *e, size_t n_steps, text *out) {
  const rlx_step_info *s = &e->step;
  rlx_node_info node;
  text_addf(out, "%zu  %s, %zu steps", s->segment, s->runner, n_steps);
  if (*s->cut) {
    text_addf(out, ": begins with %s", op_of(e, &node));
    if (*node.name) text_add(out, " "), text_add_quoted(out, node.name);
    text_addf(out, ", %s", s->cut);
  }
  text_add(out, "\n");
}

static void show_segments(const findings *f, text *out) {
  text_add(out, "segments\n");
  for (size_t i = 0, end; i < f->n_entries; i = end) {
    const entry *e = &f->entries[i];
    end = e->head ? i + 1 : segment_end(f, i);
    show_indent(e, out);
    if (!e->head) show_segment(e, end - i, out);
  }
}

static void show_step(const entry *e, size_t start, text *out) {
  rlx_node_info node;
  text_addf(out, "%zu  %s", e->step.segment, op_of(e, &node));
  text_pad(out, start, 24);
  text_addf(out, "%s", how_names[e->step.how]);
  text_pad(out, start, 40);
  text_add_type(out, rlx_exec_graph(e->exec), node.first_output);
  if (*node.name) text_add(out, "  "), text_add_quoted(out, node.name);
  text_add(out, "\n");
}

static void show_steps(const findings *f, text *out) {
  text_add(out, "steps\n");
  for (size_t i = 0; i < f->n_entries; i++) {
    const entry *e = &f->entries[i];
    const size_t start = out->n + 4 * e->depth; /* columns move with the indent */
    show_indent(e, out);
    if (!e->head) show_step(e, start, out);
  }
}

static void show_text(const args *a, const findings *f, text *out) {
  text_addf(out, "device, mode  %s, %s\n", device_name(rlx_exec_device(f->exec)),
            mode_name(rlx_exec_mode(f->exec)));
  text_addf(out, "kernels run   %zu of %zu steps\n", f->n_kernels, f->n_steps);
  text_addf(out, "MLX runs      %zu of %zu steps\n", f->n_mlx, f->n_steps);
  if (f->n_by[RLX_HOW_CONTROL])
    text_addf(out, "sub-graphs    run in %zu steps; %zu of all steps are theirs\n",
              f->n_by[RLX_HOW_CONTROL], f->n_inside);
  text_addf(out, "late sizes    in %zu steps: data decide them, during a run\n", f->n_late);
  const rlx_graph *g = rlx_exec_graph(f->exec);
  for (size_t i = 0; i < rlx_graph_input_count(g); i++) {
    text_add(out, "input         ");
    text_add_safe(out, rlx_graph_input_name(g, i));
    text_add(out, "  ");
    text_add_type(out, g, rlx_graph_input_value(g, i));
    text_add(out, "\n");
  }
  show_rules(f, out);
  text_add(out, "operations\n");
  for (size_t i = 0; i < f->n_ops; i++) {
    size_t start = out->n;
    text_addf(out, "  %8zu  %s", f->ops[i].n, f->ops[i].op);
    text_pad(out, start, 32);
    text_addf(out, "%s\n", how_names[f->ops[i].how]);
  }
  show_segments(f, out);
  if (args_has(a, FLAG_NODES)) show_steps(f, out);
}

/* --- JSON */

static void json_rules(const findings *f, json *j) {
  rlx_rule_info r;
  json_open(j, "rules", '[');
  for (size_t i = 0; rlx_exec_rule(f->exec, i, &r); i++) {
    json_open(j, NULL, '{');
    json_text(j, "name", r.name);
    json_text(j, "pattern", r.pattern);
    json_flag(j, "inexact", r.inexact);
    json_flag(j, "off", r.off);
    json_int(j, "hits", (int64_t)r.hits);
    json_close(j, '}');
  }
  json_close(j, ']');
}

static void json_steps(const findings *f, json *j) {
  rlx_node_info node;
  json_open(j, "steps", '[');
  for (size_t i = 0; i < f->n_entries; i++) {
    const entry *e = &f->entries[i];
    const rlx_step_info *s = &e->step;
    text type = {0};
    if (e->head) continue;
    json_open(j, NULL, '{');
    json_text(j, "op", op_of(e, &node));
    json_text(j, "name", node.name);
    json_text(j, "graph", e->graph);
    json_int(j, "depth", (int64_t)e->depth);
    text_add_type(&type, rlx_exec_graph(e->exec), node.first_output);
    json_text(j, "type", type.data);
    json_text(j, "how", how_names[s->how]);
    json_text(j, "runner", s->runner);
    json_int(j, "segment", (int64_t)s->segment);
    json_text(j, "cut", s->cut);
    json_close(j, '}');
    text_free(&type);
  }
  json_close(j, ']');
}

static void show_json(const findings *f, text *out) {
  json j = {out, false};
  json_open(&j, NULL, '{');
  json_text(&j, "device", device_name(rlx_exec_device(f->exec)));
  json_text(&j, "mode", mode_name(rlx_exec_mode(f->exec)));
  json_int(&j, "n_steps", (int64_t)f->n_steps);
  json_int(&j, "n_kernels", (int64_t)f->n_kernels);
  json_int(&j, "n_mlx", (int64_t)f->n_mlx);
  json_int(&j, "n_segments", (int64_t)f->n_segments);
  json_int(&j, "n_late_sizes", (int64_t)f->n_late);
  json_rules(f, &j);
  json_steps(f, &j);
  json_close(&j, '}');
  text_add(out, "\n");
}

int cmd_explain(const args *a, text *out) {
  rlx_graph *graph = NULL;
  rlx_exec *exec = NULL;
  rlx_exec_options options;
  host_progress("reading and compiling the model");
  rlx_status status = rlx_model_load(a->operands[0], NULL, &graph);
  model_options(a, &options);
  if (status == RLX_OK) status = rlx_compile(graph, &options, &exec);
  if (status == RLX_OK) {
    findings f = {.exec = exec};
    find(&f, (entry){.exec = exec, .graph = ""});
    if (args_has(a, FLAG_JSON)) show_json(&f, out);
    else show_text(a, &f, out);
    free(f.entries);
    free(f.ops);
  }
  rlx_exec_free(exec);
  rlx_graph_free(graph);
  return status == RLX_OK ? EXIT_OK : fail_status(status);
}
