/* ir/print.c: the text form of a graph; parse.c reads it back. Attributes at their default are left
 * out; constants too big to read are named blobs. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "ir/graph.h"

enum { MAX_LITERAL = 16 };

typedef struct printer {
  const rlx_graph *g;
  str out;
  rlx_tensors *blobs;
  map numbers; /* tensor -> its blob: sub-graphs may share one */
  int indent;
  rlx_status status;
} printer;

static void print_graph(printer *p, const rlx_graph *g);

/* The shortest text that reads back as the same double. */
static void print_real(str *out, double v) {
  char text[40];
  if (isnan(v)) {
    str_add(out, "nan");
    return;
  }
  for (int digits = 1; digits <= 17; digits++) {
    snprintf(text, sizeof text, "%.*g", digits, v);
    if (strtod(text, NULL) == v) break;
  }
  str_add(out, text);
}

static void print_element(str *out, const rlx_tensor *t, int64_t i) {
  const rlx_dtype_kind kind = dtype_kind(t->dtype);
  if (kind == RLX_KIND_COMPLEX) {
    const double complex z = tensor_complex(t, i);
    print_real(out, creal(z));
    str_add(out, ":");
    print_real(out, cimag(z));
  } else if (kind == RLX_KIND_FLOAT) {
    print_real(out, tensor_real(t, i));
  } else if (t->dtype == RLX_U64) {
    str_addf(out, "%" PRIu64, (uint64_t)tensor_int(t, i));
  } else {
    str_addf(out, "%" PRId64, tensor_int(t, i));
  }
}

/* NaNs of other bit patterns than the usual one would not survive as text. */
static bool literal(const rlx_tensor *t) {
  if (dtype_kind(t->dtype) == RLX_KIND_BLOCK || t->count > MAX_LITERAL) return false;
  if (dtype_kind(t->dtype) != RLX_KIND_FLOAT && t->dtype != RLX_C64) return true;
  for (int64_t i = 0; i < t->count; i++)
    if (isnan(creal(tensor_complex(t, i))) || isnan(cimag(tensor_complex(t, i)))) return false;
  return true;
}

static void print_blob(printer *p, rlx_tensor *t) {
  const uint64_t self = (uint64_t)(uintptr_t)t;
  uint64_t number = p->numbers.n;
  const bool known = map_get_u64(&p->numbers, self, &number);
  char key[24];
  snprintf(key, sizeof key, "%" PRIu64, number);
  str_addf(&p->out, "@%s", key);
  if (known) return;
  if (!map_put_u64(&p->numbers, self, number)) p->status = status_memory(0);
  if (p->blobs && p->status == RLX_OK) p->status = rlx_tensors_set(p->blobs, key, t);
}

static void print_tensor(printer *p, rlx_tensor *t) {
  if (!literal(t)) {
    print_blob(p, t);
    return;
  }
  str_addf(&p->out, "%s[", dtype_name(t->dtype));
  for (uint32_t i = 0; i < t->rank; i++)
    str_addf(&p->out, "%s%" PRId64, i ? "," : "", t->dims[i]);
  str_add(&p->out, "]{");
  for (int64_t i = 0; i < t->count; i++) {
    if (i) str_add(&p->out, ",");
    print_element(&p->out, t, i);
  }
  str_add(&p->out, "}");
}

static void print_list(printer *p, const ir_attr *a, const rlx_ints *list) {
  const rlx_reals *reals = (const void *)list;
  str_add(&p->out, "[");
  for (size_t i = 0; i < list->n; i++) {
    if (i) str_add(&p->out, ",");
    if (a->type == IR_REALS) print_real(&p->out, reals->data[i]);
    else if (a->type == IR_INTS) str_addf(&p->out, "%" PRId64, list->data[i]);
    else dim_print(&p->g->dims, list->data[i], &p->out);
  }
  str_add(&p->out, "]");
}

static void print_attr(printer *p, const ir_attr *a, const void *field) {
  str_addf(&p->out, " %s=", a->name);
  switch (a->type) {
    case IR_I64: str_addf(&p->out, "%" PRId64, *(const int64_t *)field); break;
    case IR_DIM: dim_print(&p->g->dims, *(const rlx_dim *)field, &p->out); break;
    case IR_F64: print_real(&p->out, *(const double *)field); break;
    case IR_FLAG: str_add(&p->out, *(const bool *)field ? "true" : "false"); break;
    case IR_INTS:
    case IR_DIMS:
    case IR_REALS: print_list(p, a, field); break;
    case IR_WORD: str_add(&p->out, *(const char *const *)field); break;
    case IR_TEXT: str_add_quoted(&p->out, *(const char *const *)field); break;
    case IR_DTYPE: str_add(&p->out, dtype_name(*(const rlx_dtype *)field)); break;
    case IR_TENSOR: print_tensor(p, *(rlx_tensor *const *)field); break;
    case IR_GRAPH: print_graph(p, *(rlx_graph *const *)field); break;
  }
}

static const ir_dynamic *dynamic_of(const ir_node *n, size_t attr) {
  for (uint32_t i = 0; i < n->n_dynamic; i++)
    if (n->dynamic[i].attr == attr) return &n->dynamic[i];
  return NULL;
}

static void print_value(str *out, rlx_val v) {
  if (v.id) str_addf(out, "%%%u", v.id);
  else str_add(out, "_");
}

static void print_node(printer *p, const ir_node *n) {
  str_addf(&p->out, "%*s%%%u", p->indent, "", n->out.id);
  if (n->n_out != 1) str_addf(&p->out, ":%u", n->n_out);
  str_addf(&p->out, " = %s", n->op->name);
  if (n->n_in) str_add(&p->out, "(");
  for (uint32_t i = 0; i < n->n_in; i++) {
    if (i) str_add(&p->out, ", ");
    print_value(&p->out, n->in[i]);
  }
  if (n->n_in) str_add(&p->out, ")");
  for (size_t i = 0; i < n->op->n_attrs; i++) {
    const ir_attr *a = &n->op->attrs[i];
    const ir_dynamic *d = dynamic_of(n, i);
    if (d) {
      str_addf(&p->out, " %s=", a->name);
      print_value(&p->out, d->value);
    } else if (!attr_is_default(n->op, a, n->attrs, p->g)) {
      print_attr(p, a, attr_at(a, n->attrs));
    }
  }
  if (*n->name) {
    str_add(&p->out, " # ");
    str_add_quoted(&p->out, n->name);
  }
  str_add(&p->out, "\n");
}

/* graph "name" { nodes, return values }, each line indented by two more than the braces. */
static void print_graph(printer *p, const rlx_graph *g) {
  const printer outer = *p;
  p->g = g;
  p->indent += 2;
  str_add(&p->out, "graph ");
  str_add_quoted(&p->out, g->name);
  str_add(&p->out, " {\n");
  for (size_t i = 0; i < g->nodes.n; i++) print_node(p, &g->nodes.data[i]);
  if (g->outputs.n) str_addf(&p->out, "%*sreturn ", p->indent, "");
  for (size_t i = 0; i < g->outputs.n; i++) {
    if (i) str_add(&p->out, ", ");
    print_value(&p->out, g->outputs.data[i].value);
    str_add(&p->out, " ");
    str_add_quoted(&p->out, g->outputs.data[i].name);
  }
  if (g->outputs.n) str_add(&p->out, "\n");
  p->g = outer.g;
  p->indent = outer.indent;
  str_addf(&p->out, "%*s}", p->indent, "");
}

rlx_status rlx_graph_print(const rlx_graph *g, char **out_text, rlx_tensors *blobs) {
  if (!g || !out_text)
    return status_set(RLX_ERROR_ARGUMENT, "rlx_graph_print: an argument is NULL");
  *out_text = NULL;
  printer p = {.blobs = blobs};
  print_graph(&p, g);
  str_add(&p.out, "\n");
  map_free(&p.numbers);
  if (p.status == RLX_OK && p.out.failed) p.status = status_memory(p.out.n);
  if (p.status != RLX_OK) str_free(&p.out);
  *out_text = p.out.data;
  return p.status;
}
