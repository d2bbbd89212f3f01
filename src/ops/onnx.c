/* ops/onnx.c: from ONNX operators to ours: the mappings of the blocks, the importers of onnx.def.
 *
 * The `onnx` string of a block lists operators: "Name-since attribute..; Name-since ..": the first
 * opset, then the attributes that it takes over, `ours=theirs` or one name where they are equal. Of
 * all mappings of an operator the newest that the opset allows is used. */
#include "ops/onnx.h"

#include <stdio.h>
#include <stdlib.h>

typedef rlx_status (*importer)(onnx_node *n);

static const struct importer_row {
  const char *domain, *name;
  int64_t since;
  importer import;
} importers[] = {
#define ONNX(name, since, function) {"", #name, since, import_##function},
#define MICROSOFT(name, function) {"com.microsoft", #name, 1, import_##function},
#include "ops/onnx.def"
};
enum { N_IMPORTERS = sizeof importers / sizeof importers[0] };

/* --- finding the mapping */

/* One operator of a block's string. */
typedef struct mapping {
  const char *name;
  size_t name_length;
  int64_t since;
  const char *attrs, *end;
} mapping;

/* The first operator from `text` on; false at the end. */
static bool mapping_at(const char *text, mapping *m) {
  if (!text) return false;
  m->name = text + strspn(text, " ;");
  m->name_length = strcspn(m->name, "-");
  if (!*m->name) return false;
  const char *number = m->name + m->name_length;
  char *after;
  m->since = strtoll(number + (*number == '-'), &after, 10);
  m->attrs = after;
  m->end = m->attrs + strcspn(m->attrs, ";");
  return true;
}

static bool mapping_is(const mapping *m, const char *op) {
  return strncmp(m->name, op, m->name_length) == 0 && !op[m->name_length];
}

/* What an operator of an opset becomes: an importer, or an operation with a mapping. */
typedef struct route {
  importer import;
  const ir_op *op;
  mapping m;
  int64_t since;
} route;

static bool route_find(const char *domain, const char *op, int64_t opset, route *r) {
  *r = (route){.since = -1};
  if (!domain || strcmp(domain, "ai.onnx") == 0) domain = "";
  for (size_t i = 0; i < N_IMPORTERS; i++) {
    const struct importer_row *row = &importers[i];
    if (row->since <= opset && row->since > r->since && strcmp(row->name, op) == 0 &&
        strcmp(row->domain, domain) == 0)
      *r = (route){.import = row->import, .since = row->since};
  }
  const ir_op *o;
  for (size_t i = 0; !*domain && (o = op_at(i)); i++) {
    mapping m;
    for (const char *t = o->hooks->onnx; mapping_at(t, &m); t = m.end)
      if (m.since <= opset && m.since > r->since && mapping_is(&m, op))
        *r = (route){.op = o, .m = m, .since = m.since};
  }
  return r->since >= 0;
}

bool onnx_known(const char *domain, const char *op, int64_t opset) {
  route r;
  return route_find(domain, op, opset, &r);
}

bool onnx_at(size_t index, char *out_name, size_t size, int64_t *out_since) {
  if (index < N_IMPORTERS) {
    const char *domain = importers[index].domain;
    snprintf(out_name, size, "%s%s%s", domain, *domain ? ":" : "", importers[index].name);
    *out_since = importers[index].since;
    return true;
  }
  index -= N_IMPORTERS;
  const ir_op *o;
  for (size_t i = 0; (o = op_at(i)); i++) {
    mapping m;
    for (const char *t = o->hooks->onnx; mapping_at(t, &m); t = m.end) {
      if (index--) continue;
      snprintf(out_name, size, "%.*s", (int)m.name_length, m.name);
      *out_since = m.since;
      return true;
    }
  }
  return false;
}

/* --- attributes */

const onnx_attr *onnx_find(const onnx_node *n, const char *name) {
  for (size_t i = 0; i < n->n_attrs; i++)
    if (strcmp(n->attrs[i].name, name) == 0) {
      n->attrs[i].taken = true;
      return &n->attrs[i];
    }
  return NULL;
}

static rlx_status wrong_type(const char *name) {
  return status_set(RLX_ERROR_FORMAT, "attribute '%s' has the wrong type", name);
}

static const onnx_attr *find_typed(const onnx_node *n, const char *name, onnx_attr_type type) {
  const onnx_attr *a = onnx_find(n, name);
  if (!a || a->type == type) return a;
  graph_fail(n->g, wrong_type(name));
  return NULL;
}
int64_t onnx_int(const onnx_node *n, const char *name, int64_t missing) {
  const onnx_attr *a = find_typed(n, name, ONNX_INT);
  return a ? a->i : missing;
}
double onnx_float(const onnx_node *n, const char *name, double missing) {
  const onnx_attr *a = find_typed(n, name, ONNX_FLOAT);
  return a ? a->f : missing;
}
const char *onnx_string(const onnx_node *n, const char *name, const char *missing) {
  const onnx_attr *a = find_typed(n, name, ONNX_STRING);
  return a ? a->s : missing;
}
rlx_ints onnx_ints(const onnx_node *n, const char *name) {
  const onnx_attr *a = find_typed(n, name, ONNX_INTS);
  return a ? a->ints : (rlx_ints){NULL, 0};
}
rlx_reals onnx_floats(const onnx_node *n, const char *name) {
  const onnx_attr *a = find_typed(n, name, ONNX_FLOATS);
  return a ? a->floats : (rlx_reals){NULL, 0};
}
onnx_texts onnx_strings(const onnx_node *n, const char *name) {
  const onnx_attr *a = find_typed(n, name, ONNX_STRINGS);
  return a ? a->strings : (onnx_texts){NULL, 0};
}

rlx_status onnx_dtype(int64_t code, rlx_dtype *out_dtype) {
  static const rlx_dtype dtypes[] = {/* by TensorProto.DataType */
                                     RLX_DTYPE_COUNT, RLX_F32, RLX_U8,  RLX_I8,          RLX_U16,
                                     RLX_I16,         RLX_I32, RLX_I64, RLX_DTYPE_COUNT, RLX_BOOL,
                                     RLX_F16,         RLX_F64, RLX_U32, RLX_U64,         RLX_C64,
                                     RLX_DTYPE_COUNT, RLX_BF16};
  const int64_t count = sizeof dtypes / sizeof dtypes[0];
  *out_dtype = code >= 0 && code < count ? dtypes[code] : RLX_DTYPE_COUNT;
  if (*out_dtype != RLX_DTYPE_COUNT) return RLX_OK;
  return status_set(RLX_ERROR_UNSUPPORTED, "element type %lld", (long long)code);
}

/* --- operators that are one operation */

/* Our name for the file's attribute `theirs`: its index in the operation, or -1. */
static int attr_index(const ir_op *op, const mapping *m, const char *theirs) {
  size_t length = strlen(theirs);
  for (const char *p = m->attrs; p < m->end;) {
    p += strspn(p, " ");
    size_t word = strcspn(p, " ;"), ours = strcspn(p, "= ;");
    const char *name = ours < word ? p + ours + 1 : p;
    size_t name_length = (size_t)(p + word - name);
    if (word && name_length == length && memcmp(name, theirs, length) == 0)
      for (size_t i = 0; i < op->n_attrs; i++)
        if (strlen(op->attrs[i].name) == ours && memcmp(op->attrs[i].name, p, ours) == 0)
          return (int)i;
    p += word;
  }
  return -1;
}

/* Puts an attribute of the file into the struct; false if its type is another. */
static bool attr_take(const ir_attr *to, char *attrs, const onnx_attr *from) {
  char *field = attrs + to->offset;
  switch (to->type) {
    case IR_I64:
    case IR_DIM: *(int64_t *)(void *)field = from->i; return from->type == ONNX_INT;
    case IR_FLAG: *(bool *)field = from->i != 0; return from->type == ONNX_INT;
    case IR_F64: *(double *)(void *)field = from->f; return from->type == ONNX_FLOAT;
    case IR_INTS:
    case IR_DIMS: *(rlx_ints *)(void *)field = from->ints; return from->type == ONNX_INTS;
    case IR_REALS: *(rlx_reals *)(void *)field = from->floats; return from->type == ONNX_FLOATS;
    case IR_WORD:
    case IR_TEXT: *(const char **)(void *)field = from->s; return from->type == ONNX_STRING;
    case IR_TENSOR: *(rlx_tensor **)(void *)field = from->t; return from->type == ONNX_TENSOR;
    case IR_DTYPE:
      return from->type == ONNX_INT && onnx_dtype(from->i, (rlx_dtype *)(void *)field) == RLX_OK;
    case IR_GRAPH: return false;
  }
  return false;
}

static rlx_status import_mapped(onnx_node *n, const ir_op *op, const mapping *m) {
  char *attrs = op->attrs_size ? arena_copy(&n->g->mem, op->defaults, op->attrs_size) : NULL;
  if (op->attrs_size && !attrs) return status_memory(op->attrs_size);
  for (size_t i = 0; i < n->n_attrs; i++) {
    int index = attr_index(op, m, n->attrs[i].name);
    n->attrs[i].taken = n->attrs[i].taken || index >= 0;
    if (index >= 0 && !attr_take(&op->attrs[index], attrs, &n->attrs[i]))
      return wrong_type(n->attrs[i].name);
  }
  onnx_outputs(n, graph_add(n->g, op, n->in, n->n_in, attrs, NULL, 0));
  return RLX_OK;
}

/* What an importer did not ask for would be ignored silently. These may be: they choose how exact
 * or in which order results are that are exact or ordered anyway, or they matter to 8-bit floats
 * and to training only. */
static rlx_status check_attrs(const onnx_node *n) {
  static const char *const without_effect[] = {
      "stash_type", "precision", "softmax_precision", "sorted", "saturate", "round_mode",
      "momentum",   "ratio",     "seed",              "is_test", "chunk_size",
      "mask_filter_value", "mask_index_type"};
  for (size_t i = 0; i < n->n_attrs; i++) {
    bool known = n->attrs[i].taken;
    for (size_t k = 0; k < sizeof without_effect / sizeof *without_effect && !known; k++)
      known = strcmp(n->attrs[i].name, without_effect[k]) == 0;
    if (!known)
      return status_set(RLX_ERROR_UNSUPPORTED, "attribute '%s' is not covered", n->attrs[i].name);
  }
  return RLX_OK;
}

rlx_status onnx_import(onnx_node *n) {
  route r;
  if (!route_find(n->domain, n->op, n->opset, &r))
    return status_set(RLX_ERROR_UNSUPPORTED, "no mapping for %s of opset %lld", n->op,
                      (long long)n->opset);
  for (size_t i = 0; i < n->n_out; i++) n->out[i] = RLX_NIL;
  RLX_TRY(r.import ? r.import(n) : import_mapped(n, r.op, &r.m));
  RLX_TRY(rlx_graph_status(n->g));
  RLX_TRY(check_attrs(n));
  for (size_t i = 0; i < n->n_out; i++)
    if (!n->out[i].id)
      return status_set(RLX_ERROR_UNSUPPORTED, "output %zu of %s is not covered", i, n->op);
  return RLX_OK;
}
