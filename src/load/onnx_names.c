/* load/onnx_names.c: scopes of values, names of sizes. */
#include "load/onnx_names.h"

#include <stdio.h>

#define NOT_COMPUTED UINT32_MAX

/* --- values */

rlx_status scope_bind(onnx_scope *s, pb_span name, rlx_val value) {
  const char *key;
  uint64_t taken;
  RLX_TRY(pb_text(name, &s->mem, &key));
  if (!key[0]) return status_set(RLX_ERROR_FORMAT, "a value without a name");
  if (map_get(&s->values, key, &taken)) {
    return status_set(RLX_ERROR_FORMAT, "the name '%s' is taken", key);
  }
  return map_put(&s->values, key, value.id) ? RLX_OK : status_memory(name.n);
}

rlx_status scope_bind_output(onnx_scope *s, pb_span name, rlx_val value) {
  if (!value.id) value.id = NOT_COMPUTED;
  return scope_bind(s, name, value);
}

bool scope_has(const onnx_scope *s, pb_span name, arena *scratch) {
  const char *key;
  return !name.n ||
         (pb_text(name, scratch, &key) == RLX_OK && map_get(&s->values, key, &(uint64_t){0}));
}

rlx_status scope_find(const onnx_scope *s, pb_span name, arena *scratch, rlx_val *out_value) {
  const char *key;
  uint64_t id;
  *out_value = RLX_NIL;
  if (!name.n) return RLX_OK;
  RLX_TRY(pb_text(name, scratch, &key));
  if (!map_get(&s->values, key, &id)) {
    return status_set(RLX_ERROR_FORMAT, "the value '%s' is not defined before it is used", key);
  }
  if (id == NOT_COMPUTED) {
    return status_set(RLX_ERROR_UNSUPPORTED, "the value '%s' is not computed by its node", key);
  }
  out_value->id = (uint32_t)id;
  return RLX_OK;
}

void scope_free(onnx_scope *s) {
  map_free(&s->values);
  arena_free(&s->mem);
}

/* --- sizes */

#define NAME_MAX_KEPT 100 /* of a dim_param; a graph takes 128 characters */

/* Names that start with '?' are the graph's own, so that is replaced too. */
static bool name_char(uint8_t c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.';
}

/* A new name made from a dim_param. The serial number only grows, so that the search for a free
 * name is short however the file names its sizes. */
static const char *new_name(dim_names *d, const char *param) {
  char base[NAME_MAX_KEPT + 2], name[NAME_MAX_KEPT + 16];
  size_t n = 0;
  if (param[0] >= '0' && param[0] <= '9') base[n++] = '_';
  for (size_t i = 0; param[i] && i < NAME_MAX_KEPT; i++) {
    base[n++] = name_char((uint8_t)param[i]) ? param[i] : '_';
  }
  base[n] = 0;
  uint64_t unused;
  snprintf(name, sizeof name, "%s", base);
  while (map_get(&d->taken, name, &unused)) {
    snprintf(name, sizeof name, "%s_%u", base, ++d->serial);
  }
  const char *kept = arena_strdup(&d->mem, name);
  return kept && map_put(&d->taken, kept, 1) ? kept : NULL;
}

static rlx_status dim_of_param(dim_names *d, rlx_graph *g, const char *param, rlx_dim *out_dim) {
  uint64_t known;
  if (map_get(&d->params, param, &known)) {
    *out_dim = (rlx_dim)known;
    return RLX_OK;
  }
  const char *name = new_name(d, param);
  if (!name) return status_memory(NAME_MAX_KEPT);
  *out_dim = rlx_dim_named(g, name);
  RLX_TRY(rlx_graph_status(g));
  return map_put(&d->params, param, (uint64_t)*out_dim) ? RLX_OK : status_memory(NAME_MAX_KEPT);
}

static bool stands_among(const rlx_dim *dims, size_t n, rlx_dim d) {
  for (size_t i = 0; i < n; i++) {
    if (dims[i] == d) return true;
  }
  return false;
}

rlx_status dim_names_get(dim_names *d, rlx_graph *g, pb_span dim, rlx_dim *dims, size_t axis) {
  proto_dim p = PROTO_DIM_INIT;
  const char *param;
  RLX_TRY(pb_decode(&proto_dim_table, dim, &d->mem, &p));
  RLX_TRY(pb_text(p.param, &d->mem, &param));
  if (param[0] == 0) {
    dims[axis] = p.value >= 0 ? p.value : dim_fresh(&g->dims);
    return dims[axis] == RLX_DIM_BAD ? status_memory(0) : RLX_OK;
  }
  str again = {0};
  str_add(&again, param);
  rlx_status status = dim_of_param(d, g, param, &dims[axis]);
  while (status == RLX_OK && stands_among(dims, axis, dims[axis])) {
    str_addf(&again, ".%zu", axis);
    const char *key = again.failed ? NULL : arena_strdup(&d->mem, again.data);
    status = key ? dim_of_param(d, g, key, &dims[axis]) : status_memory(again.n);
  }
  str_free(&again);
  return status;
}

void dim_names_free(dim_names *d) {
  map_free(&d->params);
  map_free(&d->taken);
  arena_free(&d->mem);
}
