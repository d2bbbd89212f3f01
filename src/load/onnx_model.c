/* load/onnx_model.c: opening an ONNX file: opsets, functions, what a node is. */
#include "load/onnx_model.h"

#include <string.h>

#include "base/str.h"

#define MAX_OPSETS 256  /* domains; they are searched one by one */
#define NEWEST_OPSET 28 /* of ai.onnx; what later ones change of an operator is not known */

static rlx_status read_domain(pb_span in, arena *mem, const char **out_domain) {
  RLX_TRY(pb_text(in, mem, out_domain));
  if (strcmp(*out_domain, "ai.onnx") == 0) *out_domain = "";
  return RLX_OK;
}

/* A domain may be imported again, as "" beside "ai.onnx", if the version is the same. */
static rlx_status read_opsets(const pb_spans *imports, arena *mem, onnx_opsets *out) {
  if (imports->n > MAX_OPSETS) {
    return status_set(RLX_ERROR_LIMIT, "%zu operator sets are imported, the limit is %d",
                      imports->n, MAX_OPSETS);
  }
  out->data = arena_new(mem, imports->n, sizeof *out->data);
  if (!out->data) return status_memory(imports->n * sizeof *out->data);
  for (size_t i = 0; i < imports->n; i++) {
    proto_opset p = {0};
    onnx_opset *o = &out->data[i];
    RLX_TRY(pb_decode(&proto_opset_table, imports->data[i], mem, &p));
    RLX_TRY(read_domain(p.domain, mem, &o->domain));
    o->version = p.version;
    if (!o->domain[0] && o->version > NEWEST_OPSET) {
      return status_set(RLX_ERROR_UNSUPPORTED, "opset %lld of ai.onnx, the newest known is %d",
                        (long long)o->version, NEWEST_OPSET);
    }
    for (size_t j = 0; j < i; j++) {
      if (strcmp(out->data[j].domain, o->domain) != 0) continue;
      if (out->data[j].version == o->version) continue;
      return status_set(RLX_ERROR_FORMAT, "two versions of the operator set '%s'", o->domain);
    }
  }
  out->n = imports->n;
  return RLX_OK;
}

/* A domain that is not imported has its first version. */
static int64_t opset_of(const onnx_opsets *opsets, const char *domain) {
  for (size_t i = 0; i < opsets->n; i++) {
    if (strcmp(opsets->data[i].domain, domain) == 0) return opsets->data[i].version;
  }
  return 1;
}

static rlx_status function_key(const char *domain, pb_span name, pb_span overload, arena *mem,
                               const char **out_key) {
  const char *n, *o;
  RLX_TRY(pb_text(name, mem, &n));
  RLX_TRY(pb_text(overload, mem, &o));
  str key = {NULL, 0, 0, false};
  str_addf(&key, "%s:%s:%s", domain, n, o);
  *out_key = key.failed ? NULL : arena_strdup(mem, key.data);
  str_free(&key);
  return *out_key ? RLX_OK : status_memory(key.cap);
}

static rlx_status read_functions(onnx_model *m, const pb_spans *functions) {
  m->functions = arena_new(&m->mem, functions->n, sizeof *m->functions);
  if (!m->functions) return status_memory(functions->n * sizeof *m->functions);
  for (size_t i = 0; i < functions->n; i++) {
    onnx_function *f = &m->functions[i];
    const char *domain = NULL, *key = NULL;
    uint64_t at;
    RLX_TRY(pb_decode(&proto_function_table, functions->data[i], &m->mem, &f->p));
    RLX_TRY(read_opsets(&f->p.opset_imports, &m->mem, &f->opsets));
    RLX_TRY(read_domain(f->p.domain, &m->mem, &domain));
    RLX_TRY(function_key(domain, f->p.name, f->p.overload, &m->mem, &key));
    if (map_get(&m->function_index, key, &at)) {
      return status_set(RLX_ERROR_FORMAT, "the function '%s' is defined twice", key);
    }
    if (!map_put(&m->function_index, key, i)) return status_memory(sizeof *f);
  }
  return RLX_OK;
}

/* Decodes the model's own messages into *m, which close_model frees in any case. */
static rlx_status open_model(onnx_model *m, io_map *file, const char *path,
                             const rlx_load_options *limits) {
  *m = (onnx_model){.file = file, .limits = *limits, .external = {.model_path = path}};
  m->external.max_bytes = limits->max_file_bytes;
  proto_model p = {0};
  rlx_status status =
      pb_decode(&proto_model_table, (pb_span){file->data, file->bytes}, &m->mem, &p);
  if (status == RLX_ERROR_FORMAT) {
    return status_at(status, "neither a .rlx file nor a whole ONNX model");
  }
  RLX_TRY(status);
  if (!p.graph.data) return status_set(RLX_ERROR_FORMAT, "ModelProto: there is no graph");
  RLX_TRY(pb_decode(&proto_graph_table, p.graph, &m->mem, &m->graph));
  if (m->graph.nodes.n > limits->max_nodes) {
    return status_set(RLX_ERROR_LIMIT, "%zu nodes, the limit is %llu", m->graph.nodes.n,
                      (unsigned long long)limits->max_nodes);
  }
  if (m->graph.sparse_initializers.n) {
    return status_set(RLX_ERROR_UNSUPPORTED, "%zu sparse initialisers",
                      m->graph.sparse_initializers.n);
  }
  RLX_TRY(read_opsets(&p.opset_imports, &m->mem, &m->opsets));
  return read_functions(m, &p.functions);
}

static void close_model(onnx_model *m) {
  external_free(&m->external);
  map_free(&m->function_index);
  arena_free(&m->mem);
}

rlx_status onnx_read_head(onnx_model *m, const onnx_opsets *opsets, const proto_node *p, arena *mem,
                          onnx_head *out) {
  *out = (onnx_head){0};
  RLX_TRY(pb_text(p->name, mem, &out->name));
  RLX_TRY(pb_text(p->op, mem, &out->op));
  RLX_TRY(read_domain(p->domain, mem, &out->domain));
  out->label = out->name;
  if (!out->label[0] && p->outputs.n) RLX_TRY(pb_text(p->outputs.data[0], mem, &out->label));
  out->opset = opset_of(opsets, out->domain);
  if (!m->function_index.n) return RLX_OK;
  const char *key = NULL;
  uint64_t at;
  RLX_TRY(function_key(out->domain, p->op, p->overload, mem, &key));
  if (map_get(&m->function_index, key, &at)) out->function = &m->functions[at];
  return RLX_OK;
}

rlx_status onnx_file_read(io_map *file, const char *path, const rlx_load_options *limits,
                          rlx_graph **out_graph) {
  onnx_model m;
  rlx_status status = open_model(&m, file, path, limits);
  if (status == RLX_OK) status = onnx_preflight(&m);
  if (status == RLX_OK) status = onnx_build(&m, out_graph);
  close_model(&m);
  return status;
}
