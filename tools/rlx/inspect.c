/* rlx/inspect.c: `rlx inspect`: what a model holds, without running any of it. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "host.h"
#include "model.h"

typedef struct op_count {
  const char *op;
  size_t n;
} op_count;

/* What is counted over all nodes, those of sub-graphs too. */
typedef struct census {
  size_t n_nodes, n_constants;
  size_t n_subgraphs, n_inside; /* the latter: nodes in sub-graphs */
  uint64_t parameter_bytes; /* constants, and params of known size */
  op_count *ops;            /* most frequent first; leaves are not operations */
  size_t n_ops, room;
} census;

/* 0 if a size is open. */
static uint64_t value_bytes(const rlx_graph *g, rlx_val v) {
  const rlx_dtype_info *info = rlx_dtype_get(rlx_val_dtype(g, v));
  uint64_t count = 1;
  for (size_t i = 0; i < rlx_val_rank(g, v); i++) {
    rlx_dim dim = rlx_val_dim(g, v, i);
    if (!rlx_dim_is_known(dim)) return 0;
    count *= (uint64_t)dim;
  }
  return count / info->block_elems * info->block_bytes;
}

static int by_name(const void *a, const void *b) {
  return strcmp(((const op_count *)a)->op, ((const op_count *)b)->op);
}
static int by_count(const void *a, const void *b) {
  const op_count *x = a, *y = b;
  return x->n == y->n ? strcmp(x->op, y->op) : x->n < y->n ? 1 : -1;
}

/* Adds up neighbours of the same name. */
static size_t merge_counts(op_count *ops, size_t n) {
  qsort(ops, n, sizeof *ops, by_name);
  size_t kinds = 0;
  for (size_t i = 0; i < n; i++) {
    if (kinds && strcmp(ops[kinds - 1].op, ops[i].op) == 0) {
      ops[kinds - 1].n++;
    } else {
      ops[kinds++] = ops[i];
    }
  }
  qsort(ops, kinds, sizeof *ops, by_count);
  return kinds;
}

/* Recursion here and below is as deep as sub-graphs nest, which the library bounds. */
static void count_graph(census *c, const rlx_graph *g, bool inside) {
  rlx_node_info node;
  const rlx_graph *sub;
  c->n_subgraphs += inside;
  for (size_t i = 0; rlx_graph_node(g, i, &node); i++) {
    rlx_op_info op;
    if (rlx_op_find(node.op, &op) && op.leaf) {
      c->n_constants++;
      c->parameter_bytes += value_bytes(g, node.first_output);
    } else {
      c->ops = must_grow(c->ops, c->n_nodes, &c->room, sizeof *c->ops);
      c->ops[c->n_nodes++] = (op_count){node.op, 1};
      c->n_inside += inside;
    }
    for (size_t k = 0; (sub = rlx_node_graph(g, i, k, NULL)); k++) count_graph(c, sub, true);
  }
  /* Inputs and params are leaves too; what is left of those are the constants. */
  size_t n_inputs = rlx_graph_input_count(g);
  c->n_constants -= n_inputs + rlx_graph_param_count(g);
  for (size_t i = 0; i < n_inputs; i++) {
    c->parameter_bytes -= value_bytes(g, rlx_graph_input_value(g, i));
  }
}

static census take_census(const rlx_graph *g) {
  census c = {0};
  c.ops = must_grow(NULL, 0, &c.room, sizeof *c.ops); /* a list, even if it stays empty */
  count_graph(&c, g, false);
  c.n_ops = merge_counts(c.ops, c.n_nodes);
  return c;
}

/* The named values of a graph, three times the same. */
typedef struct port_kind {
  const char *title;
  size_t (*count)(const rlx_graph *g);
  const char *(*name)(const rlx_graph *g, size_t index);
  rlx_val (*value)(const rlx_graph *g, size_t index);
} port_kind;
static const port_kind port_kinds[] = {
    {"inputs", rlx_graph_input_count, rlx_graph_input_name, rlx_graph_input_value},
    {"params", rlx_graph_param_count, rlx_graph_param_name, rlx_graph_param_value},
    {"outputs", rlx_graph_output_count, rlx_graph_output_name, rlx_graph_output_value},
};
enum { N_PORT_KINDS = sizeof port_kinds / sizeof *port_kinds, N_LEAF_KINDS = 2 };

/* By value id: the node that makes a value, and the name of an input or param, else "". */
typedef struct source {
  uint32_t node;
  const char *name;
} source;

static source *find_sources(const rlx_graph *g) {
  rlx_node_info node;
  size_t n = 1;
  for (size_t i = 0; rlx_graph_node(g, i, &node); i++) n += node.n_outputs;
  source *sources = must_alloc(n, sizeof *sources);
  for (size_t i = 0; rlx_graph_node(g, i, &node); i++) {
    for (uint32_t k = 0; k < node.n_outputs; k++) {
      sources[rlx_nth(node.first_output, k).id] = (source){(uint32_t)i, ""};
    }
  }
  for (size_t k = 0; k < N_LEAF_KINDS; k++) {
    for (size_t i = 0; i < port_kinds[k].count(g); i++) {
      sources[port_kinds[k].value(g, i).id].name = port_kinds[k].name(g, i);
    }
  }
  return sources;
}

static const char *node_name(const rlx_node_info *node, const source *sources) {
  return *node->name ? node->name : sources[node->first_output.id].name;
}

/* --- text */

static void add_bytes(text *t, uint64_t bytes) {
  static const char *const units[] = {"bytes", "KiB", "MiB", "GiB", "TiB"};
  double n = (double)bytes;
  size_t unit = 0;
  for (; n >= 1024 && unit < 4; unit++) n /= 1024;
  text_addf(t, unit ? "%.1f %s" : "%.0f %s", n, units[unit]);
}

static void add_node(text *t, int indent, const rlx_graph *g, const rlx_node_info *node,
                     const source *sources) {
  const char *name = node_name(node, sources);
  text_addf(t, "%*s", indent, "");
  for (uint32_t i = 0; i < node->n_outputs; i++) {
    text_addf(t, "%s%%%" PRIu32, i ? ", " : "", rlx_nth(node->first_output, i).id);
  }
  text_addf(t, " = %s(", node->op);
  for (size_t i = 0; i < node->n_inputs; i++) {
    text_add(t, i ? ", " : "");
    if (node->inputs[i].id) {
      text_addf(t, "%%%" PRIu32, node->inputs[i].id);
    } else {
      text_add(t, "_");
    }
  }
  text_add(t, ")");
  for (uint32_t i = 0; i < node->n_outputs; i++) {
    text_add(t, i ? ", " : "  ");
    text_add_type(t, g, rlx_nth(node->first_output, i));
  }
  if (*name) {
    text_add(t, "  ");
    text_add_quoted(t, name);
  }
  text_add(t, "\n");
}

/* Values of a sub-graph have numbers of their own, so that it says which it returns. */
static void add_nodes(text *t, int indent, const rlx_graph *g) {
  source *sources = find_sources(g);
  rlx_node_info node;
  for (size_t i = 0; rlx_graph_node(g, i, &node); i++) {
    add_node(t, indent, g, &node, sources);
    const char *name;
    const rlx_graph *sub;
    for (size_t k = 0; (sub = rlx_node_graph(g, i, k, &name)); k++) {
      text_addf(t, "%*s%s returns", indent + 2, "", name);
      for (size_t o = 0; o < rlx_graph_output_count(sub); o++)
        text_addf(t, "%s%%%" PRIu32, o ? ", " : " ", rlx_graph_output_value(sub, o).id);
      text_add(t, "\n");
      add_nodes(t, indent + 4, sub);
    }
  }
  free(sources);
}

static void inspect_text(const args *a, const rlx_graph *g, const census *c, text *out) {
  text_add(out, "graph ");
  text_add_quoted(out, rlx_graph_name(g));
  text_add(out, "\n");
  for (size_t k = 0; k < N_PORT_KINDS; k++) {
    const port_kind *ports = &port_kinds[k];
    if (ports->count(g)) text_addf(out, "%s\n", ports->title);
    for (size_t i = 0; i < ports->count(g); i++) {
      text_add(out, "  ");
      text_add_safe(out, ports->name(g, i));
      text_add(out, "  ");
      text_add_type(out, g, ports->value(g, i));
      text_add(out, "\n");
    }
  }
  text_addf(out, "operations  %zu, of %zu kinds\n", c->n_nodes, c->n_ops);
  if (c->n_subgraphs)
    text_addf(out, "  %zu of them in %zu sub-graphs\n", c->n_inside, c->n_subgraphs);
  for (size_t i = 0; i < c->n_ops; i++) text_addf(out, "  %6zu  %s\n", c->ops[i].n, c->ops[i].op);
  text_addf(out, "constants  %zu\nparameters and constants  ", c->n_constants);
  add_bytes(out, c->parameter_bytes);
  text_add(out, "\n");
  if (!args_has(a, FLAG_NODES)) return;
  text_add(out, "nodes\n");
  add_nodes(out, 2, g);
}

/* --- JSON */

/* "f32[batch,3]" as dtype and shape; open sizes are their text. */
static void json_type(json *j, const rlx_graph *g, rlx_val v) {
  text type = {0};
  text_add_type(&type, g, v);
  json_text(j, "dtype", rlx_dtype_get(rlx_val_dtype(g, v))->name);
  json_open(j, "shape", '[');
  char *at = strchr(type.data, '[') + 1;
  for (size_t i = 0; i < rlx_val_rank(g, v); i++) {
    char *end = at;
    for (int depth = 0; depth > 0 || !strchr(",]", *end); end++) {
      depth += (*end == '(') - (*end == ')');
    }
    *end = '\0';
    rlx_dim dim = rlx_val_dim(g, v, i);
    if (rlx_dim_is_known(dim)) {
      json_int(j, NULL, dim);
    } else {
      json_text(j, NULL, at);
    }
    at = end + 1;
  }
  json_close(j, ']');
  text_free(&type);
}

static void json_nodes(json *j, const rlx_graph *g);

/* Each with the values that it returns, by number. */
static void json_subgraphs(json *j, const rlx_graph *g, size_t node) {
  const char *name;
  const rlx_graph *sub;
  if (!rlx_node_graph(g, node, 0, NULL)) return;
  json_open(j, "graphs", '{');
  for (size_t k = 0; (sub = rlx_node_graph(g, node, k, &name)); k++) {
    json_open(j, name, '{');
    json_nodes(j, sub);
    json_open(j, "returns", '[');
    for (size_t i = 0; i < rlx_graph_output_count(sub); i++)
      json_int(j, NULL, rlx_graph_output_value(sub, i).id);
    json_close(j, ']');
    json_close(j, '}');
  }
  json_close(j, '}');
}

static void json_node(json *j, const rlx_graph *g, size_t index, const rlx_node_info *node,
                      const source *sources) {
  json_open(j, NULL, '{');
  json_text(j, "op", node->op);
  json_text(j, "name", node_name(node, sources));
  json_open(j, "inputs", '[');
  for (size_t i = 0; i < node->n_inputs; i++) json_int(j, NULL, node->inputs[i].id);
  json_close(j, ']');
  json_open(j, "outputs", '[');
  for (uint32_t i = 0; i < node->n_outputs; i++) {
    rlx_val v = rlx_nth(node->first_output, i);
    json_open(j, NULL, '{');
    json_int(j, "id", v.id);
    json_type(j, g, v);
    json_close(j, '}');
  }
  json_close(j, ']');
  json_subgraphs(j, g, index);
  json_close(j, '}');
}

static void json_nodes(json *j, const rlx_graph *g) {
  source *sources = find_sources(g);
  rlx_node_info node;
  json_open(j, "nodes", '[');
  for (size_t i = 0; rlx_graph_node(g, i, &node); i++) json_node(j, g, i, &node, sources);
  json_close(j, ']');
  free(sources);
}

static void inspect_json(const args *a, const rlx_graph *g, const census *c, text *out) {
  json j = {out, false};
  json_open(&j, NULL, '{');
  json_text(&j, "name", rlx_graph_name(g));
  for (size_t k = 0; k < N_PORT_KINDS; k++) {
    json_open(&j, port_kinds[k].title, '[');
    for (size_t i = 0; i < port_kinds[k].count(g); i++) {
      json_open(&j, NULL, '{');
      json_text(&j, "name", port_kinds[k].name(g, i));
      json_type(&j, g, port_kinds[k].value(g, i));
      json_close(&j, '}');
    }
    json_close(&j, ']');
  }
  json_open(&j, "operations", '{');
  for (size_t i = 0; i < c->n_ops; i++) json_int(&j, c->ops[i].op, (int64_t)c->ops[i].n);
  json_close(&j, '}');
  json_int(&j, "n_operations", (int64_t)c->n_nodes);
  json_int(&j, "n_subgraphs", (int64_t)c->n_subgraphs);
  json_int(&j, "n_constants", (int64_t)c->n_constants);
  json_int(&j, "parameter_bytes", (int64_t)c->parameter_bytes);
  if (args_has(a, FLAG_NODES)) json_nodes(&j, g);
  json_close(&j, '}');
  text_add(out, "\n");
}

/* --- Graphviz */

static void dot_edge(text *t, const rlx_graph *g, uint32_t from, const char *to, size_t to_index,
                     rlx_val v) {
  text type = {0};
  text_add_type(&type, g, v);
  text_addf(t, "  n%" PRIu32 " -> %s%zu [label=", from, to, to_index);
  text_add_quoted(t, type.data);
  text_add(t, "];\n");
  text_free(&type);
}

static void dot_node(text *t, const char *id, size_t index, const char *label, const char *shape) {
  text_addf(t, "  %s%zu [shape=%s, label=", id, index, shape);
  text_add_quoted(t, label);
  text_add(t, "];\n");
}

static void add_dot(text *t, const rlx_graph *g) {
  source *sources = find_sources(g);
  text_add(t, "digraph ");
  text_add_quoted(t, rlx_graph_name(g));
  text_add(t, " {\n");
  rlx_node_info node;
  for (size_t i = 0; rlx_graph_node(g, i, &node); i++) {
    text label = {0};
    const char *name = node_name(&node, sources);
    text_addf(&label, "%s%s%s", node.op, *name ? " " : "", name);
    dot_node(t, "n", i, label.data, "ellipse");
    text_free(&label);
    for (size_t k = 0; k < node.n_inputs; k++) {
      rlx_val v = node.inputs[k];
      if (v.id) dot_edge(t, g, sources[v.id].node, "n", i, v);
    }
  }
  for (size_t i = 0; i < rlx_graph_output_count(g); i++) {
    rlx_val v = rlx_graph_output_value(g, i);
    dot_node(t, "output", i, rlx_graph_output_name(g, i), "box");
    dot_edge(t, g, sources[v.id].node, "output", i, v);
  }
  text_add(t, "}\n");
  free(sources);
}

static int write_dot(const rlx_graph *g, const char *path) {
  text dot = {0};
  add_dot(&dot, g);
  int code = EXIT_OK;
  if (!host_write_file(path, dot.data, dot.n)) {
    code = fail("%s: cannot write: %s", path, strerror(errno));
  }
  text_free(&dot);
  return code;
}

/* --- a file of tensors without a graph */

static void tensors_text(const rlx_tensors *tensors, text *out) {
  uint64_t bytes = 0;
  text_add(out, "tensors\n");
  for (size_t i = 0; i < rlx_tensors_count(tensors); i++) {
    const rlx_tensor *t = rlx_tensors_at(tensors, i);
    bytes += rlx_tensor_bytes(t);
    text_add(out, "  ");
    text_add_safe(out, rlx_tensors_name(tensors, i));
    text_add(out, "  ");
    text_add_shape(out, rlx_tensor_dtype(t), rlx_tensor_rank(t), rlx_tensor_dims(t));
    text_add(out, "\n");
  }
  text_addf(out, "%zu tensors  ", rlx_tensors_count(tensors));
  add_bytes(out, bytes);
  text_add(out, "\n");
}

static void tensors_json(const rlx_tensors *tensors, text *out) {
  json j = {out, false};
  json_open(&j, NULL, '{');
  json_open(&j, "tensors", '[');
  for (size_t i = 0; i < rlx_tensors_count(tensors); i++) {
    json_open(&j, NULL, '{');
    json_text(&j, "name", rlx_tensors_name(tensors, i));
    json_tensor_type(&j, rlx_tensors_at(tensors, i));
    json_close(&j, '}');
  }
  json_close(&j, ']');
  json_close(&j, '}');
  text_add(out, "\n");
}

static int inspect_tensors(const args *a, text *out) {
  rlx_tensors *tensors = NULL;
  rlx_status status = rlx_tensors_load(a->operands[0], &tensors);
  if (status != RLX_OK) return fail_status(status);
  (args_has(a, FLAG_JSON) ? tensors_json : tensors_text)(tensors, out);
  rlx_tensors_free(tensors);
  return EXIT_OK;
}

int cmd_inspect(const args *a, text *out) {
  host_progress("reading the model");
  rlx_graph *g = NULL;
  rlx_status status = rlx_model_load(a->operands[0], NULL, &g);
  if (status != RLX_OK && names_tensors(a->operands[0])) return inspect_tensors(a, out);
  if (status != RLX_OK) return fail_status(status);
  census c = take_census(g);
  (args_has(a, FLAG_JSON) ? inspect_json : inspect_text)(a, g, &c, out);
  free(c.ops);
  const char *dot = args_value(a, FLAG_DOT);
  int code = dot ? write_dot(g, dot) : EXIT_OK;
  rlx_graph_free(g);
  return code;
}
