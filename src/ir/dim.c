/* ir/dim.c: symbolic sizes in canonical form.
 *
 * Laws: an expression is a sum of terms, a term a coefficient times sorted atoms; an atom is a
 * name, a floordiv that does not come out even, or a min or max that cannot be decided. Names are
 * sizes, so they are >= 0. What would not fit the fixed bounds below, overflows or divides by zero
 * becomes a fresh name: correct, only less is known. */
#include "ir/dim.h"

#include <stdio.h>
#include <string.h>

enum { MAX_TERMS = 32, MAX_ATOMS = 8, MAX_DEPTH = 100, MAX_WEIGHT = 1000 };

typedef enum dim_kind { DIM_NAME, DIM_SUM, DIM_FLOOR, DIM_MIN, DIM_MAX } dim_kind;

typedef struct dim_term {
  int64_t coef;
  uint32_t n;
  uint32_t atoms[MAX_ATOMS]; /* expression indices, sorted */
} dim_term;

typedef struct poly {
  int64_t constant;
  size_t n;
  dim_term terms[MAX_TERMS]; /* sorted by atoms, highest first; no zero coefficient */
} poly;

typedef struct dim_expr {
  dim_kind kind;
  uint32_t depth;
  uint32_t weight; /* expressions in it, shared ones counted each time: what a walk costs */
  uint32_t next;   /* next expression of the same hash, 0: none */
  const char *name;     /* DIM_NAME */
  rlx_dim a, b;         /* DIM_FLOOR, DIM_MIN, DIM_MAX */
  int64_t constant;     /* DIM_SUM */
  size_t n;
  const dim_term *terms;
} dim_expr;

static rlx_dim handle_of(size_t index) { return INT64_MIN + 1 + (rlx_dim)index; }
static size_t index_of(rlx_dim d) { return (size_t)(d - INT64_MIN - 1); }
static const dim_expr *expr_of(const dim_table *t, rlx_dim d) {
  return t->exprs.data[index_of(d)];
}

/* --- interning */

static uint64_t expr_hash(const dim_expr *e) {
  uint64_t h = hash_u64(HASH_START, (uint64_t)e->kind);
  if (e->name) h = hash_bytes(h, e->name, strlen(e->name));
  h = hash_u64(hash_u64(hash_u64(h, (uint64_t)e->a), (uint64_t)e->b), (uint64_t)e->constant);
  for (size_t i = 0; i < e->n; i++) {
    h = hash_u64(h, (uint64_t)e->terms[i].coef);
    h = hash_bytes(h, e->terms[i].atoms, e->terms[i].n * sizeof(uint32_t));
  }
  return h;
}

static bool same_atoms(const dim_term *a, const dim_term *b) {
  return a->n == b->n && memcmp(a->atoms, b->atoms, a->n * sizeof a->atoms[0]) == 0;
}

static bool expr_same(const dim_expr *a, const dim_expr *b) {
  if (a->kind != b->kind || a->a != b->a || a->b != b->b || a->constant != b->constant ||
      a->n != b->n || (a->name && strcmp(a->name, b->name) != 0))
    return false;
  for (size_t i = 0; i < a->n; i++)
    if (a->terms[i].coef != b->terms[i].coef || !same_atoms(&a->terms[i], &b->terms[i]))
      return false;
  return true;
}

/* `e` is a draft on the stack; what it points to is copied into the arena if it is new. */
static rlx_dim intern(dim_table *t, const dim_expr *e) {
  if (e->depth > MAX_DEPTH || e->weight > MAX_WEIGHT) return dim_fresh(t);
  const uint64_t hash = expr_hash(e);
  uint64_t first = UINT64_MAX;
  if (map_get_u64(&t->index, hash, &first))
    for (uint64_t i = first;; i = t->exprs.data[i]->next) {
      if (expr_same(t->exprs.data[i], e)) return handle_of(i);
      if (t->exprs.data[i]->next == 0) break;
    }
  dim_expr *kept = arena_copy(t->mem, e, sizeof *e);
  if (!kept) return RLX_DIM_BAD;
  if (e->name && !(kept->name = arena_strdup(t->mem, e->name))) return RLX_DIM_BAD;
  if (e->n && !(kept->terms = arena_copy(t->mem, e->terms, e->n * sizeof *e->terms)))
    return RLX_DIM_BAD;
  const size_t index = t->exprs.n;
  if (!vec_push(&t->exprs, kept)) return RLX_DIM_BAD;
  if (first == UINT64_MAX)
    return map_put_u64(&t->index, hash, index) ? handle_of(index) : RLX_DIM_BAD;
  /* Index 0 ends a chain, so an expression joins one by becoming its second link. */
  kept->next = t->exprs.data[first]->next;
  t->exprs.data[first]->next = (uint32_t)index;
  return handle_of(index);
}

/* Counts a part of the draft `e`. */
static void add_part(dim_expr *e, const dim_expr *part) {
  if (part->depth > e->depth) e->depth = part->depth;
  e->weight += part->weight;
}

rlx_dim dim_named(dim_table *t, const char *name) {
  return intern(t, &(dim_expr){.kind = DIM_NAME, .weight = 1, .name = name});
}

rlx_dim dim_fresh(dim_table *t) {
  char name[24];
  const size_t before = t->exprs.n;
  for (;;) { /* a parsed graph may hold "?n" names already: take the next that is new */
    snprintf(name, sizeof name, "?%u", t->fresh++);
    const rlx_dim d = dim_named(t, name);
    if (d == RLX_DIM_BAD || t->exprs.n > before) return d;
  }
}

const char *dim_name(const dim_table *t, rlx_dim d) {
  return dim_known(d) ? NULL : expr_of(t, d)->name;
}

/* --- polynomials */

static int term_order(const dim_term *a, const dim_term *b) {
  for (uint32_t i = 0; i < a->n && i < b->n; i++)
    if (a->atoms[i] != b->atoms[i]) return a->atoms[i] < b->atoms[i] ? -1 : 1;
  return a->n == b->n ? 0 : a->n > b->n ? -1 : 1;
}

/* Adds a term in place; false where a bound or int64 does not hold it. */
static bool poly_add_term(poly *p, const dim_term *term) {
  if (term->coef == 0) return true;
  if (term->n == 0) return size_add(p->constant, term->coef, &p->constant);
  size_t i = 0;
  int order = 1;
  while (i < p->n && (order = term_order(&p->terms[i], term)) < 0) i++;
  if (i < p->n && order == 0) {
    if (!size_add(p->terms[i].coef, term->coef, &p->terms[i].coef)) return false;
    if (p->terms[i].coef == 0) {
      p->n--;
      memmove(&p->terms[i], &p->terms[i + 1], (p->n - i) * sizeof p->terms[0]);
    }
    return true;
  }
  if (p->n == MAX_TERMS) return false;
  memmove(&p->terms[i + 1], &p->terms[i], (p->n - i) * sizeof p->terms[0]);
  p->terms[i] = *term;
  p->n++;
  return true;
}

static void poly_of(const dim_table *t, rlx_dim d, poly *out) {
  out->constant = 0;
  out->n = 0;
  if (dim_known(d)) {
    out->constant = d;
    return;
  }
  const dim_expr *e = expr_of(t, d);
  if (e->kind == DIM_SUM) {
    out->constant = e->constant;
    out->n = e->n;
    memcpy(out->terms, e->terms, e->n * sizeof *e->terms);
  } else {
    out->n = 1;
    out->terms[0] = (dim_term){.coef = 1, .n = 1, .atoms = {(uint32_t)index_of(d)}};
  }
}

static rlx_dim poly_dim(dim_table *t, const poly *p) {
  bool numbers = dim_known(p->constant); /* lower ones would read as handles */
  for (size_t i = 0; i < p->n; i++) numbers = numbers && dim_known(p->terms[i].coef);
  if (!numbers) return dim_fresh(t);
  if (p->n == 0) return p->constant;
  if (p->n == 1 && p->constant == 0 && p->terms[0].coef == 1 && p->terms[0].n == 1)
    return handle_of(p->terms[0].atoms[0]);
  dim_expr e = {.kind = DIM_SUM, .constant = p->constant, .n = p->n, .terms = p->terms};
  for (size_t i = 0; i < p->n; i++)
    for (uint32_t k = 0; k < p->terms[i].n; k++) add_part(&e, t->exprs.data[p->terms[i].atoms[k]]);
  e.depth++;
  e.weight++;
  return intern(t, &e);
}

/* p += q * scale */
static bool poly_add(poly *p, const poly *q, int64_t scale) {
  int64_t constant = 0;
  if (!size_mul(q->constant, scale, &constant) || !size_add(p->constant, constant, &p->constant))
    return false;
  for (size_t i = 0; i < q->n; i++) {
    dim_term term = q->terms[i];
    if (!size_mul(term.coef, scale, &term.coef) || !poly_add_term(p, &term)) return false;
  }
  return true;
}

static bool term_mul(const dim_term *a, const dim_term *b, dim_term *out) {
  if (a->n + b->n > MAX_ATOMS || !size_mul(a->coef, b->coef, &out->coef)) return false;
  uint32_t i = 0, j = 0;
  out->n = 0;
  while (i < a->n || j < b->n)
    out->atoms[out->n++] = j == b->n || (i < a->n && a->atoms[i] <= b->atoms[j]) ? a->atoms[i++]
                                                                               : b->atoms[j++];
  return true;
}

/* p += q * term */
static bool poly_add_product(poly *p, const poly *q, const dim_term *term) {
  const dim_term constant = {.coef = q->constant};
  dim_term product;
  if (!term_mul(&constant, term, &product) || !poly_add_term(p, &product)) return false;
  for (size_t i = 0; i < q->n; i++)
    if (!term_mul(&q->terms[i], term, &product) || !poly_add_term(p, &product)) return false;
  return true;
}

static bool poly_mul(const poly *a, const poly *b, poly *out) {
  const dim_term constant = {.coef = a->constant};
  *out = (poly){0};
  if (!poly_add_product(out, b, &constant)) return false;
  for (size_t i = 0; i < a->n; i++)
    if (!poly_add_product(out, b, &a->terms[i])) return false;
  return true;
}

/* out = a / b as terms; false if b does not divide a. */
static bool term_div(const dim_term *a, const dim_term *b, dim_term *out) {
  const bool overflows = b->coef == -1 && a->coef == INT64_MIN;
  if (b->coef == 0 || overflows || a->coef % b->coef != 0) return false;
  out->coef = a->coef / b->coef;
  out->n = 0;
  uint32_t j = 0;
  for (uint32_t i = 0; i < a->n; i++)
    if (j < b->n && a->atoms[i] == b->atoms[j]) j++;
    else out->atoms[out->n++] = a->atoms[i];
  return j == b->n;
}

/* Long division that must come out even. */
static bool poly_div_exact(const poly *a, const poly *b, poly *out) {
  poly rest = *a;
  *out = (poly){0};
  const dim_term lead = b->n ? b->terms[0] : (dim_term){.coef = b->constant};
  for (int step = 0; step < MAX_TERMS; step++) {
    if (rest.n == 0 && rest.constant == 0) return true;
    const dim_term top = rest.n ? rest.terms[0] : (dim_term){.coef = rest.constant};
    dim_term q;
    if (!term_div(&top, &lead, &q) || !poly_add_term(out, &q)) return false;
    if (q.coef == INT64_MIN) return false;
    q.coef = -q.coef;
    if (!poly_add_product(&rest, b, &q)) return false;
  }
  return false;
}

/* --- order */

static bool atom_not_negative(const dim_table *t, uint32_t atom);

/* Is p >= 0 whatever the names are? */
static bool poly_not_negative(const dim_table *t, const poly *p) {
  if (p->constant < 0) return false;
  for (size_t i = 0; i < p->n; i++) {
    if (p->terms[i].coef < 0) return false;
    for (uint32_t k = 0; k < p->terms[i].n; k++)
      if (!atom_not_negative(t, p->terms[i].atoms[k])) return false;
  }
  return true;
}

static bool not_negative(const dim_table *t, rlx_dim d) {
  poly p;
  poly_of(t, d, &p);
  return poly_not_negative(t, &p);
}

static bool atom_not_negative(const dim_table *t, uint32_t atom) {
  const dim_expr *e = t->exprs.data[atom];
  switch (e->kind) {
    case DIM_NAME: return true;
    case DIM_MAX: return not_negative(t, e->a) || not_negative(t, e->b);
    default: return not_negative(t, e->a) && not_negative(t, e->b);
  }
}

/* --- arithmetic */

static rlx_dim atom_of(dim_table *t, dim_kind kind, rlx_dim a, rlx_dim b) {
  dim_expr e = {.kind = kind, .a = a, .b = b};
  if (!dim_known(a)) add_part(&e, expr_of(t, a));
  if (!dim_known(b)) add_part(&e, expr_of(t, b));
  e.depth++;
  e.weight++;
  return intern(t, &e);
}

static int64_t floor_of(int64_t a, int64_t b) { return a / b - (a % b != 0 && (a < 0) != (b < 0)); }

static rlx_dim floordiv(dim_table *t, rlx_dim da, rlx_dim db) {
  poly a, b, q;
  poly_of(t, da, &a);
  poly_of(t, db, &b);
  if (db == 0 || (b.n == 0 && b.constant < 0 && b.constant == -1 && a.constant == INT64_MIN))
    return dim_fresh(t);
  if (poly_div_exact(&a, &b, &q)) return poly_dim(t, &q);
  if (b.n) return atom_of(t, DIM_FLOOR, da, db);
  /* What the number divides comes out in front: floor((d q + r) / d) = q + floor(r / d). */
  const int64_t d = b.constant;
  poly rest = {0};
  q = (poly){.constant = floor_of(a.constant, d)};
  rest.constant = a.constant - q.constant * d;
  for (size_t i = 0; i < a.n; i++) {
    dim_term term = a.terms[i];
    if (d == -1 && term.coef == INT64_MIN) return dim_fresh(t);
    const bool even = term.coef % d == 0;
    if (even) term.coef /= d;
    if (!poly_add_term(even ? &q : &rest, &term)) return dim_fresh(t);
  }
  rlx_dim r = poly_dim(t, &rest);
  if (dim_known(r)) return poly_dim(t, &q);
  /* floor((floor(x / y) + k) / d) = floor((x + k y) / (d y)) for positive numbers y and d */
  const dim_expr *inner = rest.n == 1 && rest.terms[0].coef == 1 && rest.terms[0].n == 1
                              ? t->exprs.data[rest.terms[0].atoms[0]]
                              : NULL;
  int64_t k, dy;
  if (inner && inner->kind == DIM_FLOOR && dim_known(inner->b) && inner->b > 0 && d > 0 &&
      size_mul(rest.constant, inner->b, &k) && size_mul(d, inner->b, &dy))
    r = floordiv(t, dim_combine(t, RLX_DIM_ADD, inner->a, k), dy);
  else
    r = atom_of(t, DIM_FLOOR, r, d);
  return dim_combine(t, RLX_DIM_ADD, poly_dim(t, &q), r);
}

/* max(a, max(a, x)) = max(a, x) and max(a, min(a, x)) = a; the same for min. */
static bool absorb(const dim_table *t, dim_kind kind, rlx_dim a, rlx_dim b, rlx_dim *out) {
  const dim_expr *e = dim_known(b) ? NULL : expr_of(t, b);
  if (!e || (e->kind != DIM_MIN && e->kind != DIM_MAX) || (e->a != a && e->b != a)) return false;
  *out = e->kind == kind ? b : a;
  return true;
}

static rlx_dim min_max(dim_table *t, dim_kind kind, rlx_dim a, rlx_dim b) {
  poly pa, pb, difference;
  poly_of(t, a, &pa);
  poly_of(t, b, &pb);
  difference = pa;
  if (poly_add(&difference, &pb, -1) && poly_not_negative(t, &difference))
    return kind == DIM_MAX ? a : b;
  difference = pb;
  if (poly_add(&difference, &pa, -1) && poly_not_negative(t, &difference))
    return kind == DIM_MAX ? b : a;
  rlx_dim absorbed;
  if (absorb(t, kind, a, b, &absorbed) || absorb(t, kind, b, a, &absorbed)) return absorbed;
  return a < b ? atom_of(t, kind, a, b) : atom_of(t, kind, b, a);
}

rlx_dim dim_combine(dim_table *t, rlx_dim_op what, rlx_dim a, rlx_dim b) {
  if (a == RLX_DIM_BAD || b == RLX_DIM_BAD) return RLX_DIM_BAD;
  poly pa, pb, product;
  switch (what) {
    case RLX_DIM_ADD:
    case RLX_DIM_SUB:
      poly_of(t, a, &pa);
      poly_of(t, b, &pb);
      return poly_add(&pa, &pb, what == RLX_DIM_ADD ? 1 : -1) ? poly_dim(t, &pa) : dim_fresh(t);
    case RLX_DIM_MUL:
      poly_of(t, a, &pa);
      poly_of(t, b, &pb);
      return poly_mul(&pa, &pb, &product) ? poly_dim(t, &product) : dim_fresh(t);
    case RLX_DIM_FLOORDIV: return floordiv(t, a, b);
    case RLX_DIM_CEILDIV:
      return dim_combine(t, RLX_DIM_SUB, 0, floordiv(t, dim_combine(t, RLX_DIM_SUB, 0, a), b));
    case RLX_DIM_MIN: return min_max(t, DIM_MIN, a, b);
    case RLX_DIM_MAX: return min_max(t, DIM_MAX, a, b);
  }
  return dim_fresh(t);
}

rlx_dim dim_product(dim_table *t, const rlx_dim *dims, size_t n) {
  rlx_dim product = 1;
  for (size_t i = 0; i < n; i++) product = dim_combine(t, RLX_DIM_MUL, product, dims[i]);
  return product;
}

/* Depth is bounded by MAX_DEPTH. */
rlx_dim dim_substitute(dim_table *to, const dim_table *from, rlx_dim d,
                       rlx_dim (*lookup)(void *ctx, const char *name), void *ctx) {
  if (dim_known(d)) return d;
  const dim_expr *e = expr_of(from, d);
  if (e->kind == DIM_NAME) return lookup(ctx, e->name);
  if (e->kind != DIM_SUM) {
    const rlx_dim a = dim_substitute(to, from, e->a, lookup, ctx);
    const rlx_dim b = dim_substitute(to, from, e->b, lookup, ctx);
    const rlx_dim_op op = e->kind == DIM_FLOOR ? RLX_DIM_FLOORDIV
                          : e->kind == DIM_MIN ? RLX_DIM_MIN
                                               : RLX_DIM_MAX;
    return dim_combine(to, op, a, b);
  }
  rlx_dim sum = e->constant;
  for (size_t i = 0; i < e->n; i++) {
    rlx_dim term = e->terms[i].coef;
    for (uint32_t k = 0; k < e->terms[i].n; k++)
      term = dim_combine(to, RLX_DIM_MUL, term,
                         dim_substitute(to, from, handle_of(e->terms[i].atoms[k]), lookup, ctx));
    sum = dim_combine(to, RLX_DIM_ADD, sum, term);
  }
  return sum;
}

void dim_each_name(const dim_table *t, rlx_dim d, void (*f)(void *ctx, const char *name),
                   void *ctx) {
  if (dim_known(d)) return;
  const dim_expr *e = expr_of(t, d);
  if (e->kind == DIM_NAME) {
    f(ctx, e->name);
  } else if (e->kind == DIM_SUM) {
    for (size_t i = 0; i < e->n; i++)
      for (uint32_t k = 0; k < e->terms[i].n; k++)
        dim_each_name(t, handle_of(e->terms[i].atoms[k]), f, ctx);
  } else {
    dim_each_name(t, e->a, f, ctx);
    dim_each_name(t, e->b, f, ctx);
  }
}

void dim_table_free(dim_table *t) {
  vec_free(&t->exprs);
  map_free(&t->index);
}

/* --- text */

static void print_atom(const dim_table *t, const dim_expr *e, str *out) {
  static const char *const names[] = {
      [DIM_FLOOR] = "floordiv", [DIM_MIN] = "min", [DIM_MAX] = "max"};
  if (e->kind == DIM_NAME) {
    str_add(out, e->name);
    return;
  }
  str_addf(out, "%s(", names[e->kind]);
  dim_print(t, e->a, out);
  str_add(out, ",");
  dim_print(t, e->b, out);
  str_add(out, ")");
}

void dim_print(const dim_table *t, rlx_dim d, str *out) {
  if (dim_known(d)) {
    str_addf(out, "%lld", (long long)d);
    return;
  }
  const dim_expr *e = expr_of(t, d);
  if (e->kind != DIM_SUM) {
    print_atom(t, e, out);
    return;
  }
  for (size_t i = 0; i < e->n; i++) {
    const dim_term *term = &e->terms[i];
    if (term->coef == -1) str_add(out, "-");
    else if (term->coef == 1) str_add(out, i ? "+" : "");
    else str_addf(out, i ? "%+lld*" : "%lld*", (long long)term->coef);
    for (uint32_t k = 0; k < term->n; k++) {
      if (k) str_add(out, "*");
      print_atom(t, t->exprs.data[term->atoms[k]], out);
    }
  }
  if (e->constant) str_addf(out, "%+lld", (long long)e->constant);
}
