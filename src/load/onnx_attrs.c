/* load/onnx_attrs.c: AttributeProto to onnx_attr. */
#include "load/onnx_attrs.h"

#include <string.h>

/* An operator has a handful; the lists are searched one by one. */
#define MAX_ATTRS 1024

static const onnx_attr *find(const onnx_attrs *a, const char *name) {
  for (size_t i = 0; a && i < a->list.n; i++) {
    if (strcmp(a->list.data[i].name, name) == 0) return &a->list.data[i];
  }
  return NULL;
}

static rlx_status read_ints(const pb_numbers *numbers, arena *mem, rlx_ints *out) {
  int64_t *v = arena_new(mem, numbers->n, sizeof *v);
  if (!v) return status_memory(numbers->n * sizeof *v);
  uint64_t bits;
  pb_reader r = pb_read(numbers);
  for (size_t i = 0; pb_next(&r, &bits); i++) v[i] = (int64_t)bits;
  *out = (rlx_ints){v, numbers->n};
  return RLX_OK;
}

static rlx_status read_reals(const pb_numbers *numbers, arena *mem, rlx_reals *out) {
  double *v = arena_new(mem, numbers->n, sizeof *v);
  if (!v) return status_memory(numbers->n * sizeof *v);
  uint64_t bits;
  pb_reader r = pb_read(numbers);
  for (size_t i = 0; pb_next(&r, &bits); i++) {
    uint32_t low = (uint32_t)bits;
    float f;
    memcpy(&f, &low, sizeof f);
    v[i] = (double)f;
  }
  *out = (rlx_reals){v, numbers->n};
  return RLX_OK;
}

static rlx_status read_texts(const pb_spans *spans, arena *mem, onnx_texts *out) {
  const char **v = arena_new(mem, spans->n, sizeof *v);
  if (!v) return status_memory(spans->n * sizeof *v);
  for (size_t i = 0; i < spans->n; i++) RLX_TRY(pb_text(spans->data[i], mem, &v[i]));
  *out = (onnx_texts){v, spans->n};
  return RLX_OK;
}

static rlx_status read_body(onnx_attrs *a, pb_span graph, const onnx_body **out) {
  onnx_body *body = arena_new(&a->mem, 1, sizeof *body);
  if (!body) return status_memory(sizeof *body);
  *out = body;
  return pb_decode(&proto_graph_table, graph, &a->mem, &body->graph);
}

static rlx_status read_tensor(onnx_attrs *a, onnx_model *m, pb_span in, rlx_tensor **out) {
  RLX_TRY(tensor_pb_read(in, m->file, &m->external, &a->mem, out));
  if (vec_push(&a->tensors, *out)) return RLX_OK;
  rlx_tensor_free(*out);
  return status_memory(sizeof *out);
}

/* Fills what belongs to the type; `out->name` is set already. */
static rlx_status read_value(onnx_attrs *a, onnx_model *m, const proto_attr *p, onnx_attr *out) {
  switch (p->type) {
    case PROTO_FLOAT:
      out->type = ONNX_FLOAT;
      out->f = (double)p->f;
      return RLX_OK;
    case PROTO_INT:
      out->type = ONNX_INT;
      out->i = p->i;
      return RLX_OK;
    case PROTO_STRING:
      out->type = ONNX_STRING;
      return pb_text(p->s, &a->mem, &out->s);
    case PROTO_TENSOR:
      out->type = ONNX_TENSOR;
      return read_tensor(a, m, p->tensor, &out->t);
    case PROTO_FLOATS:
      out->type = ONNX_FLOATS;
      return read_reals(&p->floats, &a->mem, &out->floats);
    case PROTO_INTS:
      out->type = ONNX_INTS;
      return read_ints(&p->ints, &a->mem, &out->ints);
    case PROTO_GRAPH:
      out->type = ONNX_GRAPH;
      return read_body(a, p->graph, &out->body);
    case PROTO_STRINGS:
      out->type = ONNX_STRINGS;
      return read_texts(&p->strings, &a->mem, &out->strings);
    default:
      out->type = ONNX_OTHER;
      return RLX_OK;
  }
}

static rlx_status read_attr(onnx_attrs *a, onnx_model *m, pb_span in, const onnx_attrs *outer,
                            bool defaults) {
  proto_attr p = {0};
  onnx_attr attr = {0};
  RLX_TRY(pb_decode(&proto_attr_table, in, &a->mem, &p));
  RLX_TRY(pb_text(p.name, &a->mem, &attr.name));
  if (find(a, attr.name)) {
    if (defaults) return RLX_OK;
    return status_set(RLX_ERROR_FORMAT, "the attribute '%s' stands twice", attr.name);
  }
  if (p.ref.n) {
    const char *name = attr.name, *ref;
    RLX_TRY(pb_text(p.ref, &a->mem, &ref));
    const onnx_attr *given = find(outer, ref);
    if (!given) return RLX_OK;
    attr = *given;
    attr.name = name;
  } else {
    rlx_status status = read_value(a, m, &p, &attr);
    if (status != RLX_OK) return status_at(status, "attribute '%s'", attr.name);
  }
  return vec_push(&a->list, attr) ? RLX_OK : status_memory(sizeof attr);
}

rlx_status onnx_attrs_read(onnx_attrs *a, onnx_model *m, const pb_spans *protos,
                           const onnx_attrs *outer, bool defaults) {
  if (protos->n > MAX_ATTRS) {
    return status_set(RLX_ERROR_LIMIT, "%zu attributes, the limit is %d", protos->n, MAX_ATTRS);
  }
  for (size_t i = 0; i < protos->n; i++) {
    RLX_TRY(read_attr(a, m, protos->data[i], outer, defaults));
  }
  return RLX_OK;
}

void onnx_attrs_free(onnx_attrs *a) {
  for (size_t i = 0; i < a->tensors.n; i++) rlx_tensor_free(a->tensors.data[i]);
  vec_free(&a->tensors);
  vec_free(&a->list);
  arena_free(&a->mem);
}
