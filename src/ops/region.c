/* ops/region.c: elementwise nodes as tile programs.
 *
 * Laws: a step is the tile operation that its node's hooks name, found by name and by the class of
 * its operands; results are rounded or wrapped to the node's dtype after each node, as the
 * reference's are. The accumulators of an epilogue are not rounded first. Not covered: c64, and
 * casts of wide numbers to half-width floats, which would round twice. */
#include "ops/region.h"

#include <string.h>

/* The step of a node by its operand types; NULL: none. A cast has no step of its own. */
static cpu_step step_of(const ir_op *op, const rlx_dtype *in) {
  const rlx_dtype dtype = in[op->min_in == 3 ? 1 : 0]; /* of where(condition, x, y) and fma */
  const tile_class of = tile_class_of(dtype);
  return of == TILE_CLASSES ? NULL : cpu_table()->tile_step(op->hooks->tile, (int)of);
}

static bool is_cast(const ir_op *op) { return strcmp(op->hooks->tile, "cast") == 0; }

static bool casts(rlx_dtype from, rlx_dtype to) {
  const tile_class a = tile_class_of(from);
  if (a == TILE_CLASSES || tile_class_of(to) == TILE_CLASSES) return false;
  if (to != RLX_F16 && to != RLX_BF16) return true;
  return a == TILE_F32 || (a == TILE_I32 && from != RLX_I32);
}

bool region_takes(const ir_infer *c) {
  rlx_dtype in[3] = {RLX_DTYPE_COUNT, RLX_DTYPE_COUNT, RLX_DTYPE_COUNT};
  if (c->n_in > 3) return false;
  for (size_t i = 0; i < c->n_in; i++) in[i] = c->in[i].dtype;
  if (is_cast(c->op)) return casts(in[0], c->out[0].dtype);
  return step_of(c->op, in) != NULL;
}

typedef struct region {
  kernel_call *c;
  const rlx_val *operands;
  tile_maker *maker;
  size_t n; /* values that have been made, and what they are in the program */
  rlx_val vals[REGION_STEPS + REGION_OPERANDS + 1];
  tile_value made[REGION_STEPS + REGION_OPERANDS + 1];
} region;

static rlx_status add(region *r, rlx_val v, tile_value made) {
  if (r->n == sizeof r->vals / sizeof r->vals[0])
    return status_set(RLX_ERROR_LIMIT, "a region has too many values");
  r->vals[r->n] = v;
  r->made[r->n++] = made;
  return RLX_OK;
}

/* What a value is in the program; an operand when it is met first. */
static rlx_status find(region *r, rlx_val v, tile_value *out) {
  for (size_t i = 0; i < r->n; i++)
    if (r->vals[i].id == v.id) {
      *out = r->made[i];
      return RLX_OK;
    }
  size_t i = 0;
  while (i < r->c->n_in && r->operands[i].id != v.id) i++;
  if (i == r->c->n_in) return status_set(RLX_ERROR_INTERNAL, "a region lacks an operand");
  const bool one = r->c->constant[i] && view_count(&r->c->in[i]) == 1;
  *out = tile_operand(r->maker, i, one ? r->c->constant[i] : NULL);
  return add(r, v, *out);
}

/* A node's parameters: its real attributes. */
static void parameters(const ir_node *n, double p[2]) {
  size_t k = 0;
  for (size_t i = 0; i < n->op->n_attrs && k < 2; i++)
    if (n->op->attrs[i].type == IR_F64)
      p[k++] = *(const double *)attr_at(&n->op->attrs[i], n->attrs);
}

static rlx_status add_member(region *r, const ir_node *n, tile_value *out) {
  const rlx_graph *g = r->c->g;
  tile_value xyz[3] = {0};
  rlx_dtype in[3] = {RLX_DTYPE_COUNT, RLX_DTYPE_COUNT, RLX_DTYPE_COUNT};
  const rlx_dtype to = graph_value(g, n->out)->type.dtype;
  double p[2] = {0};
  for (uint32_t i = 0; i < 3; i++) {
    const uint32_t k = i < n->n_in ? i : 0;
    RLX_TRY(find(r, n->in[k], &xyz[i]));
    in[i] = graph_value(g, n->in[k])->type.dtype;
  }
  if (is_cast(n->op)) {
    *out = tile_cast(r->maker, xyz[0], in[0], to);
  } else {
    parameters(n, p);
    *out = tile_step(r->maker, step_of(n->op, in), to, xyz, p);
  }
  return add(r, n->out, *out);
}

rlx_status region_build(kernel_call *c, const uint32_t *members, size_t n, const rlx_val *operands,
                        rlx_val base, const tile_program **out_program) {
  region r = {.c = c, .operands = operands};
  tile_value last = 0;
  RLX_TRY(tile_start(c->mem, &c->out[0], c->in, c->n_in, base.id != 0, &r.maker));
  if (base.id) RLX_TRY(add(&r, base, tile_base(r.maker, graph_value(c->g, base)->type.dtype)));
  for (size_t i = 0; i < n; i++) RLX_TRY(add_member(&r, &c->g->nodes.data[members[i]], &last));
  return tile_make(r.maker, last, out_program);
}

rlx_status region_prepare(kernel_call *c, const tile_program *program) {
  c->run = tile_compute;
  c->name = "tile";
  c->state = program;
  return RLX_OK;
}
