/* ir/attrs.c: attribute structs handled by their descriptors: completing, comparing, hashing.
 *
 * A canonical struct has the current size, every field set, a word spelled as its row spells it,
 * and lists and strings in the graph's arena. */
#include <string.h>

#include "ir/graph.h"

/* The lists of numbers in attributes are bounded: nothing real is longer, hostile files are. */
enum { MAX_LIST = 1 << 20 };

/* Finds `word` in "a|b|c"; NULL means the first. Returns its place and length, or NULL. */
static const char *find_word(const char *words, const char *word, size_t *out_length) {
  for (const char *w = words;;) {
    const size_t n = strcspn(w, "|");
    if (!word || (strlen(word) == n && memcmp(w, word, n) == 0)) {
      *out_length = n;
      return w;
    }
    if (!w[n]) return NULL;
    w += n + 1;
  }
}

static rlx_status copy_list(rlx_graph *g, const ir_attr *a, void *field) {
  /* rlx_ints and rlx_reals have the same layout up to the element type, both of 8 bytes. */
  rlx_ints *list = field;
  if (list->n > MAX_LIST)
    return status_set(RLX_ERROR_LIMIT, "attribute '%s' has %zu entries, at most %d are allowed",
                      a->name, list->n, MAX_LIST);
  if (list->n && !list->data)
    return status_set(RLX_ERROR_ARGUMENT, "attribute '%s' has %zu entries but no data", a->name,
                      list->n);
  if (a->type == IR_DIMS)
    for (size_t i = 0; i < list->n; i++)
      if (!dim_valid(&g->dims, list->data[i]))
        return status_set(RLX_ERROR_ARGUMENT,
                          "attribute '%s': entry %zu is a dimension of another graph", a->name, i);
  if (list->n && !(list->data = arena_copy(&g->mem, list->data, list->n * sizeof *list->data)))
    return status_memory(list->n * sizeof *list->data);
  if (!list->n) list->data = NULL;
  return RLX_OK;
}

static rlx_status complete_graph(rlx_graph *g, const ir_attr *a, rlx_graph *sub) {
  if (!sub) return status_set(RLX_ERROR_ARGUMENT, "attribute '%s' must be given", a->name);
  if (sub == g) return status_set(RLX_ERROR_ARGUMENT, "attribute '%s' is its own graph", a->name);
  if (sub->status != RLX_OK)
    return status_set(sub->status, "attribute '%s': %s", a->name, rlx_graph_error(sub));
  if (sub->params.n)
    return status_set(RLX_ERROR_ARGUMENT,
                      "attribute '%s': a sub-graph has inputs, no params ('%s')", a->name,
                      sub->params.data[0].name);
  if (sub->depth >= IR_MAX_NESTED)
    return status_set(RLX_ERROR_LIMIT, "attribute '%s': sub-graphs are nested deeper than %d",
                      a->name, IR_MAX_NESTED);
  if (!vec_push(&g->graphs, sub)) return status_memory(sizeof sub);
  if (g->depth <= sub->depth) g->depth = sub->depth + 1;
  atomic_fetch_add(&sub->refs, 1);
  return RLX_OK;
}

static rlx_status complete_field(rlx_graph *g, const ir_attr *a, void *field) {
  const char **text = field;
  size_t n = 0;
  switch (a->type) {
    case IR_INTS:
    case IR_DIMS:
    case IR_REALS: return copy_list(g, a, field);
    case IR_WORD: {
      const char *word = find_word(a->words, *text, &n);
      if (!word)
        return status_set(RLX_ERROR_ARGUMENT, "attribute '%s' is '%s', must be one of %s", a->name,
                          *text, a->words);
      char *copy = arena_new(&g->mem, n + 1, 1);
      if (!copy) return status_memory(n + 1);
      memcpy(copy, word, n);
      *text = copy;
      return RLX_OK;
    }
    case IR_TEXT:
      if (!*text) return status_set(RLX_ERROR_ARGUMENT, "attribute '%s' must be given", a->name);
      return (*text = arena_strdup(&g->mem, *text)) ? RLX_OK : status_memory(0);
    case IR_DTYPE: {
      const rlx_dtype dtype = *(const rlx_dtype *)field;
      if (dtype == RLX_DTYPE_COUNT)
        return status_set(RLX_ERROR_ARGUMENT, "attribute '%s' must be given", a->name);
      return rlx_dtype_get(dtype) ? RLX_OK
                                  : status_set(RLX_ERROR_DTYPE, "attribute '%s': %d is no dtype",
                                               a->name, (int)dtype);
    }
    case IR_TENSOR: {
      rlx_tensor *tensor = *(rlx_tensor **)field;
      if (!tensor) return status_set(RLX_ERROR_ARGUMENT, "attribute '%s' must be given", a->name);
      if (!vec_push(&g->tensors, tensor)) return status_memory(sizeof tensor);
      rlx_tensor_retain(tensor);
      return RLX_OK;
    }
    case IR_GRAPH: return complete_graph(g, a, *(rlx_graph **)field);
    case IR_DIM:
      return dim_valid(&g->dims, *(const rlx_dim *)field)
                 ? RLX_OK
                 : status_set(RLX_ERROR_ARGUMENT, "attribute '%s' is a dimension of another graph",
                              a->name);
    case IR_I64:
    case IR_F64:
    case IR_FLAG: return RLX_OK;
  }
  return status_set(RLX_ERROR_INTERNAL, "attribute '%s' has an unknown type", a->name);
}

rlx_status attrs_complete(rlx_graph *g, const ir_op *op, const void *src, void **out_attrs) {
  *out_attrs = NULL;
  if (!op->attrs_size) return RLX_OK;
  char *attrs = arena_copy(&g->mem, op->defaults, op->attrs_size);
  if (!attrs) return status_memory(op->attrs_size);
  uint32_t size = 0;
  if (src) memcpy(&size, src, sizeof size);
  if (src && size < sizeof size)
    return status_set(RLX_ERROR_ARGUMENT, "attribute struct has struct_size %u: use rlx_%s_init()",
                      size, op->name);
  for (size_t i = 0; i < op->n_attrs; i++) {
    const ir_attr *a = &op->attrs[i];
    if ((size_t)a->offset + a->size <= size)
      memcpy(attrs + a->offset, (const char *)src + a->offset, a->size);
    RLX_TRY(complete_field(g, a, attrs + a->offset));
  }
  *out_attrs = attrs;
  return RLX_OK;
}

/* --- equality and hash. Dims of two graphs are the same if they read the same. */

static bool dim_same(rlx_dim a, const rlx_graph *ga, rlx_dim b, const rlx_graph *gb) {
  if (ga == gb || (dim_known(a) && dim_known(b))) return a == b;
  if (dim_known(a) || dim_known(b)) return false;
  str ta = {0}, tb = {0};
  dim_print(&ga->dims, a, &ta);
  dim_print(&gb->dims, b, &tb);
  const bool same = !ta.failed && !tb.failed && strcmp(ta.data, tb.data) == 0;
  str_free(&ta);
  str_free(&tb);
  return same;
}

bool attr_equal(const ir_attr *a, const void *x, const rlx_graph *gx, const void *y,
                const rlx_graph *gy) {
  const rlx_ints *lx = x, *ly = y;
  const char *const *tx = x, *const *ty = y;
  switch (a->type) {
    case IR_DIM: return dim_same(*(const rlx_dim *)x, gx, *(const rlx_dim *)y, gy);
    case IR_DIMS:
      if (lx->n != ly->n) return false;
      for (size_t i = 0; i < lx->n; i++)
        if (!dim_same(lx->data[i], gx, ly->data[i], gy)) return false;
      return true;
    case IR_INTS:
    case IR_REALS:
      return lx->n == ly->n && (!lx->n || memcmp(lx->data, ly->data, lx->n * 8) == 0);
    case IR_WORD:
    case IR_TEXT: return strcmp(*tx ? *tx : "", *ty ? *ty : "") == 0;
    case IR_TENSOR: return tensor_equal(*(rlx_tensor *const *)x, *(rlx_tensor *const *)y);
    case IR_GRAPH: return rlx_graph_equal(*(rlx_graph *const *)x, *(rlx_graph *const *)y);
    default: return memcmp(x, y, a->size) == 0;
  }
}

bool attrs_equal(const ir_op *op, const void *a, const rlx_graph *ga, const void *b,
                 const rlx_graph *gb) {
  for (size_t i = 0; i < op->n_attrs; i++)
    if (!attr_equal(&op->attrs[i], attr_at(&op->attrs[i], a), ga, attr_at(&op->attrs[i], b), gb))
      return false;
  return true;
}

bool attr_is_default(const ir_op *op, const ir_attr *a, const void *attrs, const rlx_graph *g) {
  const void *field = attr_at(a, attrs), *preset = attr_at(a, op->defaults);
  size_t n = 0;
  if (a->type == IR_TENSOR || a->type == IR_GRAPH || a->type == IR_TEXT) return false;
  if (a->type == IR_WORD) {
    const char *first = find_word(a->words, NULL, &n), *word = *(const char *const *)field;
    return strlen(word) == n && memcmp(first, word, n) == 0;
  }
  return attr_equal(a, field, g, preset, g);
}

static uint64_t hash_dim(uint64_t h, const rlx_graph *g, rlx_dim d) {
  if (dim_known(d)) return hash_u64(h, (uint64_t)d);
  str text = {0};
  dim_print(&g->dims, d, &text);
  h = hash_bytes(h, text.data ? text.data : "", text.n);
  str_free(&text);
  return h;
}

uint64_t type_hash(const ir_type *t, const rlx_graph *g, uint64_t h) {
  h = hash_u64(hash_u64(h, (uint64_t)t->dtype), t->rank);
  for (size_t i = 0; i < t->rank; i++) h = hash_dim(h, g, t->dims[i]);
  return h;
}

static uint64_t hash_tensor(uint64_t h, const rlx_tensor *t) {
  h = hash_u64(hash_u64(h, (uint64_t)t->dtype), t->rank);
  h = hash_bytes(h, t->dims, t->rank * sizeof t->dims[0]);
  return hash_bytes(h, t->data, t->bytes);
}

uint64_t attr_hash(const ir_attr *a, const void *field, const rlx_graph *g, uint64_t h) {
  const rlx_ints *list = field;
  const char *const *text = field;
  switch (a->type) {
    case IR_DIM: h = hash_dim(h, g, *(const rlx_dim *)field); break;
    case IR_DIMS:
      h = hash_u64(h, list->n);
      for (size_t k = 0; k < list->n; k++) h = hash_dim(h, g, list->data[k]);
      break;
    case IR_INTS:
    case IR_REALS: h = hash_bytes(hash_u64(h, list->n), list->data, list->n * 8); break;
    case IR_WORD:
    case IR_TEXT: h = hash_bytes(h, *text ? *text : "", *text ? strlen(*text) + 1 : 1); break;
    case IR_TENSOR: h = hash_tensor(h, *(rlx_tensor *const *)field); break;
    case IR_GRAPH: h = hash_u64(h, rlx_graph_hash(*(rlx_graph *const *)field)); break;
    default: h = hash_bytes(h, field, a->size);
  }
  return h;
}

uint64_t attrs_hash(const ir_op *op, const void *attrs, const rlx_graph *g, uint64_t h) {
  for (size_t i = 0; i < op->n_attrs; i++)
    h = attr_hash(&op->attrs[i], attr_at(&op->attrs[i], attrs), g, h);
  return h;
}

rlx_ints attr_dims(const ir_attr *a, const void *attrs) {
  const void *field = attr_at(a, attrs);
  if (a->type == IR_DIM) return (rlx_ints){field, 1};
  return a->type == IR_DIMS ? *(const rlx_ints *)field : (rlx_ints){NULL, 0};
}

const void *attrs_map_dims(const ir_op *op, const void *attrs, arena *mem,
                           rlx_dim (*f)(void *ctx, rlx_dim d), void *ctx) {
  char *copy = arena_copy(mem, attrs, op->attrs_size);
  for (size_t i = 0; copy && i < op->n_attrs; i++) {
    void *field = copy + op->attrs[i].offset;
    if (op->attrs[i].type == IR_DIM) *(rlx_dim *)field = f(ctx, *(rlx_dim *)field);
    if (op->attrs[i].type != IR_DIMS) continue;
    rlx_ints *list = field;
    rlx_dim *data = arena_copy(mem, list->data, list->n * sizeof *data);
    if (!data) return NULL;
    for (size_t k = 0; k < list->n; k++) data[k] = f(ctx, data[k]);
    list->data = data;
  }
  return copy;
}
