/* ops/onnx_einsum.c: Einsum: diagonals, sums and pairwise products, from left to right.
 *
 * Laws: a label that neither the result nor a later operand has is summed away at once; of two
 * operands that share a label, one whose axis is 1 is broadcast; axes of "..." are aligned at their
 * ends. Labels are numbers: the letters in ASCII order, then the axes of "...". */
#include "ops/onnx.h"

enum { LETTERS = 52, DOTS_END = LETTERS + RLX_MAX_RANK };

/* A value with a label for each axis. */
typedef struct term {
  rlx_val v;
  size_t n;
  uint8_t label[RLX_MAX_RANK];
} term;

typedef struct einsum {
  onnx_node *node;
  term *terms, result; /* the result has only labels until the end */
  size_t n;
} einsum;

/* The axis of a label; t->n: there is none. */
static size_t find(const term *t, uint8_t label) {
  size_t i = 0;
  while (i < t->n && t->label[i] != label) i++;
  return i;
}

static bool has(const term *t, uint8_t label) { return find(t, label) < t->n; }

static rlx_dim size_at(const einsum *e, const term *t, size_t axis) {
  return rlx_val_dim(e->node->g, t->v, axis);
}

/* --- the equation */

static rlx_status push(term *t, size_t label) {
  if (t->n == RLX_MAX_RANK)
    return status_set(RLX_ERROR_LIMIT, "more than %d labels in a row", RLX_MAX_RANK);
  t->label[t->n++] = (uint8_t)label;
  return RLX_OK;
}

static int letter_of(char c) {
  if (c >= 'A' && c <= 'Z') return c - 'A';
  return c >= 'a' && c <= 'z' ? c - 'a' + 26 : -1;
}

/* The labels before ',', "->" or the end, of which "..." stands for the last `dots`. */
static rlx_status read_labels(const char **text, size_t dots, term *t) {
  for (; **text && **text != ',' && **text != '-'; ++*text) {
    const int letter = letter_of(**text);
    if (letter >= 0) {
      RLX_TRY(push(t, (size_t)letter));
    } else if (strncmp(*text, "...", 3) == 0) {
      for (size_t i = dots; i > 0; i--) RLX_TRY(push(t, DOTS_END - i));
      *text += 2;
    } else if (**text != ' ') {
      return status_set(RLX_ERROR_FORMAT, "the equation has the character '%c'", **text);
    }
  }
  return RLX_OK;
}

/* How many axes "..." stands for: those of the value that no letter names. */
static rlx_status count_dots(const char *text, size_t rank, size_t *out_dots) {
  const size_t length = strcspn(text, ",-");
  size_t letters = 0, points = 0;
  for (size_t i = 0; i < length; i++) {
    letters += letter_of(text[i]) >= 0;
    points += text[i] == '.';
  }
  if (letters > rank || (points == 0 && letters < rank) || (points != 0 && points != 3))
    return status_set(RLX_ERROR_SHAPE, "'%.*s' does not name %zu axes", (int)length, text, rank);
  *out_dots = rank - letters;
  return RLX_OK;
}

/* Without "->": the axes of "...", then the letters that stand once. */
static rlx_status implied_result(einsum *e, size_t dots) {
  size_t count[LETTERS] = {0};
  for (size_t i = dots; i > 0; i--) RLX_TRY(push(&e->result, DOTS_END - i));
  for (size_t i = 0; i < e->n; i++)
    for (size_t k = 0; k < e->terms[i].n; k++)
      if (e->terms[i].label[k] < LETTERS) count[e->terms[i].label[k]]++;
  for (size_t i = 0; i < LETTERS; i++)
    if (count[i] == 1) RLX_TRY(push(&e->result, i));
  return RLX_OK;
}

static rlx_status check_result(const einsum *e) {
  for (size_t i = 0; i < e->result.n; i++) {
    bool known = false;
    for (size_t k = 0; k < e->n; k++) known = known || has(&e->terms[k], e->result.label[i]);
    if (!known || find(&e->result, e->result.label[i]) < i)
      return status_set(RLX_ERROR_FORMAT, "label %zu of the result is of no operand, or twice", i);
  }
  return RLX_OK;
}

static rlx_status read_equation(einsum *e, const char *text) {
  size_t most = 0;
  for (size_t i = 0; i < e->n; i++) {
    size_t dots = 0;
    RLX_TRY(count_dots(text, onnx_rank(e->node, e->terms[i].v), &dots));
    RLX_TRY(read_labels(&text, dots, &e->terms[i]));
    most = dots > most ? dots : most;
    if (i + 1 < e->n && *text++ != ',')
      return status_set(RLX_ERROR_FORMAT, "the equation is for fewer operands than %zu", e->n);
  }
  if (*text == 0) return implied_result(e, most);
  if (strncmp(text, "->", 2) != 0)
    return status_set(RLX_ERROR_FORMAT, "the equation is for more operands than %zu", e->n);
  text += 2;
  RLX_TRY(read_labels(&text, most, &e->result));
  if (*text) return status_set(RLX_ERROR_FORMAT, "the equation goes on after its result");
  return check_result(e);
}

/* --- one operand */

/* The axes of a label that stands several times become one, the first: their diagonal. */
static rlx_status take_diagonal(const einsum *e, term *t, uint8_t label) {
  int64_t perm[RLX_MAX_RANK];
  const int64_t column = 1;
  size_t times = 0, n = 0;
  rlx_dim size = 1;
  term kept = {.n = 1, .label = {label}};
  for (size_t i = 0; i < t->n; i++) {
    if (t->label[i] != label) continue;
    const rlx_dim own = size_at(e, t, i);
    if (times && own != size && dim_known(own) && dim_known(size))
      return status_set(RLX_ERROR_SHAPE, "a diagonal of %lld x %lld", (long long)size,
                        (long long)own);
    size = times && dim_known(size) ? size : own;
    perm[times++] = (int64_t)i;
  }
  if (times < 2) return RLX_OK;
  for (size_t i = 0; i < t->n; i++) {
    if (t->label[i] == label) continue;
    perm[times + n++] = (int64_t)i;
    kept.label[kept.n++] = t->label[i];
  }
  rlx_unsqueeze_attrs u = rlx_unsqueeze_init();
  u.axes = (rlx_ints){&column, 1};
  rlx_expand_attrs x = rlx_expand_init();
  x.dims = (rlx_ints){(const rlx_dim[]){size, (rlx_dim)times}, 2};
  rlx_graph *g = e->node->g;
  const rlx_val at = rlx_expand(g, rlx_unsqueeze(g, onnx_iota(e->node, size, 0), &u), &x);
  kept.v = rlx_gather_nd(g, onnx_transpose(e->node, t->v, perm, t->n), at, NULL);
  *t = kept;
  return RLX_OK;
}

/* Does the result or a term from `next` on have the label? */
static bool needed(const einsum *e, size_t next, uint8_t label) {
  bool found = has(&e->result, label);
  for (size_t i = next; i < e->n && !found; i++) found = has(&e->terms[i], label);
  return found;
}

/* Sums over the labels that neither `other` (or NULL) nor what follows has. */
static void sum_away(const einsum *e, term *t, const term *other, size_t next) {
  int64_t axes[RLX_MAX_RANK];
  term kept = {.n = 0};
  rlx_reduce_sum_attrs a = rlx_reduce_sum_init();
  a.axes.data = axes;
  for (size_t i = 0; i < t->n; i++) {
    const uint8_t label = t->label[i];
    if ((other && has(other, label)) || needed(e, next, label)) kept.label[kept.n++] = label;
    else axes[a.axes.n++] = (int64_t)i;
  }
  if (!a.axes.n) return;
  kept.v = rlx_reduce_sum(e->node->g, t->v, &a);
  *t = kept;
}

/* --- two operands */

/* Drops the axes of size 1 whose label `other` has with another size. */
static void drop_ones(const einsum *e, term *t, const term *other) {
  int64_t axes[RLX_MAX_RANK];
  term kept = {.n = 0};
  rlx_squeeze_attrs a = rlx_squeeze_init();
  a.axes.data = axes;
  for (size_t i = 0; i < t->n; i++) {
    const size_t theirs = find(other, t->label[i]);
    const bool one = theirs < other->n && size_at(e, t, i) == 1 && size_at(e, other, theirs) != 1;
    if (one) axes[a.axes.n++] = (int64_t)i;
    else kept.label[kept.n++] = t->label[i];
  }
  if (!a.axes.n) return;
  kept.v = rlx_squeeze(e->node->g, t->v, &a);
  *t = kept;
}

/* The value with its axes in the order of `labels`, of size 1 for those that it lacks. */
static rlx_val arranged(const einsum *e, const term *t, const uint8_t *labels, size_t n) {
  int64_t perm[RLX_MAX_RANK], missing[RLX_MAX_RANK];
  size_t found = 0;
  rlx_unsqueeze_attrs u = rlx_unsqueeze_init();
  u.axes.data = missing;
  for (size_t i = 0; i < n; i++) {
    if (has(t, labels[i])) perm[found++] = (int64_t)find(t, labels[i]);
    else missing[u.axes.n++] = (int64_t)i;
  }
  const rlx_val v = found ? onnx_transpose(e->node, t->v, perm, found) : t->v;
  return u.axes.n ? rlx_unsqueeze(e->node->g, v, &u) : v;
}

/* a becomes the product of a and b; terms from `next` on follow. */
static rlx_status multiply(const einsum *e, term *a, const term *b, size_t next) {
  int64_t axes[4][RLX_MAX_RANK];
  rlx_dot_general_attrs d = rlx_dot_general_init();
  rlx_ints *const lists[4] = {&d.x_batch, &d.y_batch, &d.x_contract, &d.y_contract};
  term product = {.n = 0};
  for (size_t i = 0; i < 4; i++) lists[i]->data = axes[i];
  for (size_t i = 0; i < a->n; i++) {
    const size_t theirs = find(b, a->label[i]);
    if (theirs == b->n) continue;
    const size_t k = needed(e, next, a->label[i]) ? 0 : 2;
    axes[k][lists[k]->n++] = (int64_t)i;
    axes[k + 1][lists[k + 1]->n++] = (int64_t)theirs;
    if (k == 0) RLX_TRY(push(&product, a->label[i]));
  }
  for (size_t i = 0; i < a->n; i++)
    if (!has(b, a->label[i])) RLX_TRY(push(&product, a->label[i]));
  for (size_t i = 0; i < b->n; i++)
    if (!has(a, b->label[i])) RLX_TRY(push(&product, b->label[i]));
  rlx_graph *g = e->node->g;
  if (d.x_contract.n) product.v = rlx_dot_general(g, a->v, b->v, &d);
  else
    product.v = rlx_mul(g, arranged(e, a, product.label, product.n),
                        arranged(e, b, product.label, product.n));
  *a = product;
  return RLX_OK;
}

/* --- all */

static rlx_status evaluate(einsum *e) {
  term *sum = &e->terms[0];
  for (size_t i = 0; i < e->n; i++)
    for (uint8_t label = 0; label < DOTS_END; label++)
      RLX_TRY(take_diagonal(e, &e->terms[i], label));
  sum_away(e, sum, NULL, 1);
  for (size_t i = 1; i < e->n; i++) {
    term *t = &e->terms[i];
    drop_ones(e, sum, t);
    drop_ones(e, t, sum);
    sum_away(e, sum, t, i + 1);
    sum_away(e, t, sum, i + 1);
    RLX_TRY(multiply(e, sum, t, i + 1));
    RLX_TRY(rlx_graph_status(e->node->g));
  }
  e->node->out[0] = arranged(e, sum, e->result.label, e->result.n);
  return RLX_OK;
}

rlx_status import_einsum(onnx_node *n) {
  const char *equation = onnx_string(n, "equation", NULL);
  if (!equation || n->n_in == 0) return status_set(RLX_ERROR_FORMAT, "no equation or no operands");
  einsum e = {.node = n, .n = n->n_in};
  e.terms = arena_new(&n->g->mem, n->n_in, sizeof *e.terms);
  if (!e.terms) return status_memory(n->n_in * sizeof *e.terms);
  for (size_t i = 0; i < n->n_in; i++) {
    if (!n->in[i].id) return status_set(RLX_ERROR_FORMAT, "operand %zu is absent", i);
    e.terms[i].v = n->in[i];
  }
  RLX_TRY(read_equation(&e, equation));
  return evaluate(&e);
}
