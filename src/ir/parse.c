/* ir/parse.c: the text form back to a graph. The text is hostile: every statement goes through the
 * same checks as a builder call, and messages carry the line. */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ir/graph.h"

enum { MAX_WORD = 256, MAX_LITERAL = 1 << 16 };

typedef struct parser {
  const char *p;
  int line, depth; /* depth: graphs around this one */
  rlx_graph *g;
  const rlx_tensors *blobs;
  map ids;      /* id in the text -> id in the graph */
  arena memory; /* of the statement's words and lists */
} parser;

static void skip(parser *s) {
  for (; *s->p == ' ' || *s->p == '\t' || *s->p == '\n' || *s->p == '\r'; s->p++)
    if (*s->p == '\n') s->line++;
}

static bool peek(parser *s, char c) {
  skip(s);
  return *s->p == c;
}

static bool take(parser *s, char c) {
  if (!peek(s, c)) return false;
  s->p++;
  return true;
}

static rlx_status expected(parser *s, const char *what) {
  skip(s);
  return status_set(RLX_ERROR_FORMAT, "expected %s at '%.20s'", what, s->p);
}

#define EXPECT(s, c)                                        \
  do {                                                      \
    if (!take(s, (c)[1])) return expected(s, c);            \
  } while (0)

static rlx_status parse_word(parser *s, const char **out) {
  skip(s);
  size_t n = 0;
  while (isalnum((unsigned char)s->p[n]) || s->p[n] == '_') n++;
  if (n == 0 || n > MAX_WORD) return expected(s, "a word");
  char *word = arena_new(&s->memory, n + 1, 1);
  if (!word) return status_memory(n);
  memcpy(word, s->p, n);
  s->p += n;
  *out = word;
  return RLX_OK;
}

static int hex_digit(char c) {
  return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static rlx_status parse_quoted(parser *s, const char **out) {
  EXPECT(s, "'\"'");
  size_t n = 0;
  while (s->p[n] && s->p[n] != '"') n += s->p[n] == '\\' && s->p[n + 1] ? 2 : 1;
  if (!s->p[n]) return status_set(RLX_ERROR_FORMAT, "a string does not end");
  char *text = arena_new(&s->memory, n + 1, 1), *to = text;
  if (!text) return status_memory(n);
  const char *end = s->p + n;
  while (s->p < end) {
    char c = *s->p++;
    if (c == '\\') {
      c = *s->p++;
      if (c == 'n') c = '\n';
      else if (c == 't') c = '\t';
      else if (c == 'x') {
        const int high = hex_digit(s->p[0]), low = high < 0 ? -1 : hex_digit(s->p[1]);
        if (low < 0 || (high == 0 && low == 0)) return expected(s, "two hexadecimal digits");
        c = (char)(high * 16 + low);
        s->p += 2;
      }
    }
    *to++ = c;
  }
  s->p++;
  *out = text;
  return RLX_OK;
}

static rlx_status parse_i64(parser *s, int64_t *out) {
  char *end;
  skip(s);
  errno = 0;
  if (*s->p != '-' && !isdigit((unsigned char)*s->p)) return expected(s, "an integer");
  *out = strtoll(s->p, &end, 10);
  if (end == s->p || errno) return expected(s, "a 64-bit integer");
  s->p = end;
  return RLX_OK;
}

static rlx_status parse_real(parser *s, double *out) {
  char *end;
  skip(s);
  *out = strtod(s->p, &end); /* inf and nan too */
  if (end == s->p) return expected(s, "a number");
  s->p = end;
  return RLX_OK;
}

static rlx_status parse_dtype(parser *s, rlx_dtype *out) {
  const char *word;
  RLX_TRY(parse_word(s, &word));
  *out = rlx_dtype_find(word);
  return *out == RLX_DTYPE_COUNT ? status_set(RLX_ERROR_FORMAT, "'%s' is no dtype", word) : RLX_OK;
}

static rlx_status parse_dim(parser *s, rlx_dim *out) {
  skip(s);
  return dim_parse(&s->g->dims, &s->p, out);
}

/* A list in brackets, each item of 8 bytes read by type. */
static rlx_status parse_list(parser *s, ir_attr_type type, rlx_ints *out) {
  VEC(int64_t) list = {0};
  rlx_status status = RLX_OK;
  if (!take(s, '[')) return expected(s, "'['");
  while (status == RLX_OK && !take(s, ']')) {
    union {
      int64_t i;
      double f;
    } item = {0};
    if (list.n && !take(s, ',')) status = expected(s, "','");
    else if (type == IR_REALS) status = parse_real(s, &item.f);
    else if (type == IR_INTS) status = parse_i64(s, &item.i);
    else status = parse_dim(s, &item.i);
    if (status == RLX_OK && !vec_push(&list, item.i)) status = status_memory(8);
  }
  out->n = list.n;
  if (status == RLX_OK && !(out->data = arena_copy(&s->memory, list.data, list.n * 8)))
    status = status_memory(list.n * 8);
  vec_free(&list);
  return status;
}

static rlx_status parse_element(parser *s, rlx_tensor *t, int64_t i) {
  double parts[2]; /* real, imaginary: the layout of double complex */
  double complex z;
  int64_t v;
  char *end;
  switch (dtype_kind(t->dtype)) {
    case RLX_KIND_FLOAT:
      RLX_TRY(parse_real(s, &parts[0]));
      tensor_set_real(t, i, parts[0]);
      return RLX_OK;
    case RLX_KIND_COMPLEX:
      RLX_TRY(parse_real(s, &parts[0]));
      EXPECT(s, "':'");
      RLX_TRY(parse_real(s, &parts[1]));
      memcpy(&z, parts, sizeof z); /* parts[0] + parts[1] * I would turn infinities into NaN */
      tensor_set_complex(t, i, z);
      return RLX_OK;
    default: break;
  }
  skip(s);
  if (t->dtype == RLX_U64 && isdigit((unsigned char)*s->p)) {
    errno = 0;
    v = (int64_t)strtoull(s->p, &end, 10);
    if (errno) return expected(s, "a 64-bit integer");
    s->p = end;
  } else {
    RLX_TRY(parse_i64(s, &v));
  }
  tensor_set_int(t, i, v);
  return RLX_OK;
}

/* dtype[dims]{elements}, or @name of a blob. */
static rlx_status parse_tensor(parser *s, rlx_tensor **out) {
  *out = NULL;
  if (take(s, '@')) {
    const char *name;
    RLX_TRY(parse_word(s, &name));
    if (!(*out = rlx_tensor_retain(rlx_tensors_get(s->blobs, name))))
      return status_set(RLX_ERROR_NOT_FOUND, "there is no blob '%s'", name);
    return RLX_OK;
  }
  rlx_dtype dtype;
  rlx_ints dims;
  RLX_TRY(parse_dtype(s, &dtype));
  RLX_TRY(parse_list(s, IR_INTS, &dims));
  int64_t count;
  size_t bytes;
  if (dtype_kind(dtype) == RLX_KIND_BLOCK || dims.n > RLX_MAX_RANK ||
      !tensor_size(dtype, dims.n, dims.data, &count, &bytes) || count > MAX_LITERAL)
    return expected(s, "a literal of a plain dtype and at most 65536 elements");
  RLX_TRY(rlx_tensor_create(dtype, dims.n, dims.data, out));
  rlx_status status = take(s, '{') ? RLX_OK : expected(s, "'{'");
  for (int64_t i = 0; i < count && status == RLX_OK; i++) {
    if (i && !take(s, ',')) status = expected(s, "','");
    if (status == RLX_OK) status = parse_element(s, *out, i);
  }
  if (status == RLX_OK && !take(s, '}')) status = expected(s, "'}'");
  if (status != RLX_OK) {
    rlx_tensor_free(*out);
    *out = NULL;
  }
  return status;
}

static rlx_status parse_value(parser *s, rlx_val *out) {
  *out = RLX_NIL;
  if (take(s, '_')) return RLX_OK;
  int64_t id;
  uint64_t found;
  EXPECT(s, "'%'");
  RLX_TRY(parse_i64(s, &id));
  if (id < 0 || !map_get_u64(&s->ids, (uint64_t)id, &found))
    return status_set(RLX_ERROR_FORMAT, "%%%lld is used before it is defined", (long long)id);
  out->id = (uint32_t)found;
  return RLX_OK;
}

typedef struct statement {
  const ir_op *op;
  VEC(rlx_val) in;
  VEC(ir_dynamic) dynamic;
  char *attrs;
  rlx_tensor *tensor; /* at most one attribute of an operation is a tensor */
  VEC(rlx_graph *) graphs;
} statement;

static rlx_status parse_graph(parser *s);

static rlx_status parse_subgraph(parser *s, statement *t, rlx_graph **out) {
  if (s->depth >= IR_MAX_NESTED)
    return status_set(RLX_ERROR_LIMIT, "sub-graphs are nested deeper than %d", IR_MAX_NESTED);
  parser inner = {.p = s->p, .line = s->line, .depth = s->depth + 1, .blobs = s->blobs};
  rlx_status status = parse_graph(&inner);
  s->p = inner.p;
  s->line = inner.line;
  map_free(&inner.ids);
  arena_free(&inner.memory);
  if (status == RLX_OK && !vec_push(&t->graphs, inner.g)) status = status_memory(sizeof inner.g);
  if (status != RLX_OK) rlx_graph_free(inner.g);
  else *out = inner.g;
  return status;
}

/* Reads the attribute's value into `field`; the statement keeps the references. */
static rlx_status parse_attr(parser *s, const ir_attr *a, void *field, statement *t) {
  const char *word;
  switch (a->type) {
    case IR_I64: return parse_i64(s, field);
    case IR_DIM: return parse_dim(s, field);
    case IR_F64: return parse_real(s, field);
    case IR_INTS:
    case IR_DIMS:
    case IR_REALS: return parse_list(s, a->type, field);
    case IR_WORD: return parse_word(s, field);
    case IR_TEXT: return parse_quoted(s, field);
    case IR_DTYPE: return parse_dtype(s, field);
    case IR_TENSOR:
      RLX_TRY(parse_tensor(s, &t->tensor));
      *(rlx_tensor **)field = t->tensor;
      return RLX_OK;
    case IR_GRAPH: return parse_subgraph(s, t, field);
    case IR_FLAG:
      RLX_TRY(parse_word(s, &word));
      *(bool *)field = strcmp(word, "true") == 0;
      return *(bool *)field || strcmp(word, "false") == 0 ? RLX_OK : expected(s, "true or false");
  }
  return expected(s, "an attribute");
}

static rlx_status parse_attrs(parser *s, statement *t) {
  for (;;) {
    skip(s);
    if (!isalpha((unsigned char)*s->p)) return RLX_OK;
    const char *start = s->p, *name;
    RLX_TRY(parse_word(s, &name));
    if (!take(s, '=')) { /* the next statement's word: "return" */
      s->p = start;
      return RLX_OK;
    }
    size_t i = 0;
    while (i < t->op->n_attrs && strcmp(t->op->attrs[i].name, name) != 0) i++;
    if (i == t->op->n_attrs)
      return status_set(RLX_ERROR_FORMAT, "%s has no attribute '%s'", t->op->name, name);
    const ir_attr *a = &t->op->attrs[i];
    if (peek(s, '%')) {
      ir_dynamic d = {.attr = (uint32_t)i};
      RLX_TRY(parse_value(s, &d.value));
      if (!vec_push(&t->dynamic, d)) return status_memory(sizeof d);
    } else if (a->type == IR_TENSOR && t->tensor) {
      return status_set(RLX_ERROR_FORMAT, "attribute '%s' twice", name);
    } else {
      RLX_TRY(parse_attr(s, a, t->attrs + a->offset, t));
    }
  }
}

static rlx_status parse_operation(parser *s, statement *t) {
  const char *name;
  RLX_TRY(parse_word(s, &name));
  if (!(t->op = op_find(name)))
    return status_set(RLX_ERROR_NOT_FOUND, "there is no operation '%s'", name);
  if (t->op->attrs_size &&
      !(t->attrs = arena_copy(&s->memory, t->op->defaults, t->op->attrs_size)))
    return status_memory(t->op->attrs_size);
  if (take(s, '(')) {
    while (!take(s, ')')) {
      rlx_val v;
      if (t->in.n) EXPECT(s, "','");
      RLX_TRY(parse_value(s, &v));
      if (!vec_push(&t->in, v)) return status_memory(sizeof v);
    }
  }
  return parse_attrs(s, t);
}

/* %id[:n] = op(operands) attributes [# "label"] */
static rlx_status parse_node(parser *s, statement *t) {
  int64_t id, n = 1;
  EXPECT(s, "'%'");
  RLX_TRY(parse_i64(s, &id));
  if (take(s, ':')) RLX_TRY(parse_i64(s, &n));
  EXPECT(s, "'='");
  RLX_TRY(parse_operation(s, t));
  graph_label(s->g, NULL);
  if (take(s, '#')) {
    const char *label;
    RLX_TRY(parse_quoted(s, &label));
    graph_label(s->g, label);
  }
  const rlx_val v = graph_add(s->g, t->op, t->in.data, t->in.n, t->attrs, t->dynamic.data,
                              t->dynamic.n);
  if (!v.id) return rlx_graph_status(s->g);
  if (graph_node_of(s->g, v)->n_out != n)
    return status_set(RLX_ERROR_FORMAT, "%s has %u outputs, the text says %lld", t->op->name,
                      graph_node_of(s->g, v)->n_out, (long long)n);
  for (int64_t i = 0; i < n; i++) {
    if (id < 0 || id > UINT32_MAX || map_get_u64(&s->ids, (uint64_t)(id + i), &(uint64_t){0}))
      return status_set(RLX_ERROR_FORMAT, "%%%lld is defined twice", (long long)(id + i));
    if (!map_put_u64(&s->ids, (uint64_t)(id + i), v.id + (uint64_t)i)) return status_memory(0);
  }
  return RLX_OK;
}

static rlx_status parse_return(parser *s) {
  do {
    rlx_val v;
    const char *name;
    RLX_TRY(parse_value(s, &v));
    RLX_TRY(parse_quoted(s, &name));
    rlx_graph_output(s->g, name, v);
    RLX_TRY(rlx_graph_status(s->g));
  } while (take(s, ','));
  return RLX_OK;
}

static rlx_status parse_body(parser *s) {
  while (peek(s, '%')) {
    statement t = {0};
    const rlx_status status = parse_node(s, &t);
    vec_free(&t.in);
    vec_free(&t.dynamic);
    rlx_tensor_free(t.tensor);
    for (size_t i = 0; i < t.graphs.n; i++) rlx_graph_free(t.graphs.data[i]);
    vec_free(&t.graphs);
    arena_free(&s->memory);
    RLX_TRY(status);
  }
  if (!peek(s, '}')) {
    const char *word;
    RLX_TRY(parse_word(s, &word));
    if (strcmp(word, "return") != 0) return expected(s, "'%', return or '}'");
    RLX_TRY(parse_return(s));
  }
  EXPECT(s, "'}'");
  return RLX_OK;
}

static rlx_status parse_graph(parser *s) {
  const char *word, *name;
  RLX_TRY(parse_word(s, &word));
  if (strcmp(word, "graph") != 0)
    return status_set(RLX_ERROR_FORMAT, "expected 'graph', got '%s'", word);
  RLX_TRY(parse_quoted(s, &name));
  RLX_TRY(rlx_graph_create(name, &s->g));
  EXPECT(s, "'{'");
  return parse_body(s);
}

rlx_status rlx_graph_parse(const char *text, const rlx_tensors *blobs, rlx_graph **out_graph) {
  if (!text || !out_graph)
    return status_set(RLX_ERROR_ARGUMENT, "rlx_graph_parse: an argument is NULL");
  *out_graph = NULL;
  parser s = {.p = text, .line = 1, .blobs = blobs};
  rlx_status status = parse_graph(&s);
  skip(&s);
  if (status == RLX_OK && *s.p) status = expected(&s, "the end");
  if (status != RLX_OK) {
    status_at(status, "line %d", s.line);
    rlx_graph_free(s.g);
    s.g = NULL;
  }
  map_free(&s.ids);
  arena_free(&s.memory);
  *out_graph = s.g;
  return status;
}
