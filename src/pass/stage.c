/* pass/stage.c: see stage.h. Each node goes to the earliest stage that can hold it. */
#include "pass/stage.h"

enum { MAX_STAGES = 10000 };

enum { WANTED = 1, HOST = 2 | WANTED };

typedef struct cutter {
  const rlx_graph *g;
  stages out;
  /* by value */
  uint32_t *at;      /* the first stage that can use it */
  uint32_t *host_at; /* the first stage that can take its elements as constants */
  bool *known;       /* elements follow from shapes and constants */
  bool *cut;         /* the first output of a cut */
  bool *number;      /* known, and a stage that takes it needs its elements */
  uint8_t *wanted;   /* outside its stage: WANTED, HOST */
  /* by node */
  uint32_t *level;
  map names; /* of sizes: the first stage that knows it */
  uint32_t asked; /* for visit_name: the highest stage among the names */
} cutter;

static bool is_leaf(const ir_node *n) { return n->op->traits & IR_LEAF; }
static bool is_input(const ir_node *n) { return n->op->traits & IR_INPUT; }

/* --- what is known when shapes are */

static bool node_known(const ir_node *n, const bool *known) {
  bool all = n->op->hooks->ref && !(n->op->traits & (IR_CUT | IR_LEAF));
  for (uint32_t i = 0; i < n->n_in; i++) all = all && (!n->in[i].id || known[n->in[i].id]);
  for (uint32_t i = 0; i < n->n_dynamic; i++) all = all && known[n->dynamic[i].value.id];
  return all || n->op->traits & IR_CONSTANT;
}

static void note_known(const rlx_graph *g, const ir_node *n, bool *known) {
  const bool all = node_known(n, known);
  for (uint32_t i = 0; i < n->n_out; i++)
    known[n->out.id + i] = all || graph_value(g, rlx_nth(n->out, i))->content;
}

static bool settled(const rlx_graph *g);

/* Does nothing of the node remain once shapes are known? So with a branch that they decide. */
static bool dissolves(const ir_node *n, const bool *known) {
  if (!(n->op->traits & IR_CONTROL) || !n->op->hooks->expand || !n->n_in || !known[n->in[0].id])
    return false;
  for (size_t i = 0; i < n->op->n_attrs; i++) {
    const ir_attr *a = &n->op->attrs[i];
    if (a->type == IR_GRAPH && !settled(*(rlx_graph *const *)attr_at(a, n->attrs))) return false;
  }
  return true;
}

/* Has the sub-graph no cuts once its inputs' shapes are known? */
static bool settled(const rlx_graph *g) {
  bool *known = mem_new(g->values.n, sizeof *known), all = known != NULL;
  for (size_t i = 0; i < g->nodes.n && all; i++) {
    const ir_node *n = &g->nodes.data[i];
    note_known(g, n, known);
    for (uint32_t k = 0; k < n->n_dynamic; k++) all = all && known[n->dynamic[k].value.id];
    if (n->op->traits & IR_CUT && n->n_in) all = all && dissolves(n, known);
  }
  mem_free(known);
  return all;
}

/* --- where nodes go */

/* A node of the trait CUT, but for those that dissolve. */
static bool is_cut(const cutter *c, const ir_node *n) {
  return n->op->traits & IR_CUT && c->cut[n->out.id];
}

static void visit_name(void *ctx, const char *name) {
  cutter *c = ctx;
  uint64_t level;
  if (map_get(&c->names, name, &level) && level > c->asked) c->asked = (uint32_t)level;
}

/* The first stage that knows all sizes in the node's attributes. */
static uint32_t sizes_at(cutter *c, const ir_node *n) {
  c->asked = 0;
  for (size_t i = 0; i < n->op->n_attrs; i++) {
    const rlx_ints dims = attr_dims(&n->op->attrs[i], n->attrs);
    bool bound = false;
    for (uint32_t k = 0; k < n->n_dynamic; k++) bound = bound || n->dynamic[k].attr == i;
    for (size_t k = 0; k < dims.n && !bound; k++)
      dim_each_name(&c->g->dims, dims.data[k], visit_name, c);
  }
  return c->asked;
}

/* New names among these sizes are known from this stage on. */
static rlx_status note_names(cutter *c, rlx_ints dims, uint32_t level) {
  for (size_t k = 0; k < dims.n; k++) {
    const char *name = dim_name(&c->g->dims, dims.data[k]);
    if (name && !map_put_new(&c->names, name, level)) return status_memory(0);
  }
  return RLX_OK;
}

static rlx_status place(cutter *c, uint32_t index) {
  const ir_node *n = &c->g->nodes.data[index];
  uint32_t level = sizes_at(c, n);
  for (uint32_t i = 0; i < n->n_in; i++)
    if (c->at[n->in[i].id] > level) level = c->at[n->in[i].id];
  for (uint32_t i = 0; i < n->n_dynamic; i++) {
    const uint32_t v = n->dynamic[i].value.id, from = c->known[v] ? c->at[v] : c->host_at[v];
    if (from > level) level = from;
  }
  if (level >= MAX_STAGES)
    return status_set(RLX_ERROR_LIMIT, "data decides about shapes more than %d times in a row",
                      MAX_STAGES);
  c->level[index] = level;
  if (level + 1 > c->out.n) c->out.n = level + 1;
  for (uint32_t i = 0; i < n->n_dynamic; i++)
    RLX_TRY(note_names(c, attr_dims(&n->op->attrs[n->dynamic[i].attr], n->attrs), level));
  note_known(c->g, n, c->known);
  c->cut[n->out.id] = n->op->traits & IR_CUT && !dissolves(n, c->known);
  for (uint32_t i = 0; i < n->n_out; i++) {
    const uint32_t v = n->out.id + i;
    c->at[v] = level + is_cut(c, n);
    c->host_at[v] = level + !is_input(n);
    const ir_type *t = &c->g->values.data[v].type;
    RLX_TRY(note_names(c, (rlx_ints){t->dims, t->rank}, c->at[v]));
  }
  return RLX_OK;
}

/* --- what stages hold */

/* What follows from shapes and decides about attributes or branches must be constant in the stages
 * where it does, and so must all that it is computed from. */
static void mark_numbers(cutter *c) {
  for (size_t i = c->g->nodes.n; i-- > 0;) {
    const ir_node *n = &c->g->nodes.data[i];
    bool number = false;
    for (uint32_t k = 0; k < n->n_out; k++) number = number || c->number[n->out.id + k];
    for (uint32_t k = 0; k < n->n_in; k++)
      if (number || (k == 0 && n->op->traits & IR_CUT && !is_cut(c, n)))
        c->number[n->in[k].id] = c->known[n->in[k].id];
    for (uint32_t k = 0; k < n->n_dynamic; k++)
      c->number[n->dynamic[k].value.id] = c->known[n->dynamic[k].value.id];
  }
}

/* `v` is read in stage s: a leaf is put there, what another stage made arrives as an input. */
static rlx_status need(cutter *c, rlx_val v, uint32_t s, bool by_value, uint32_t *seen_in) {
  const ir_node *n = graph_node_of(c->g, v);
  const uint32_t index = graph_value(c->g, v)->node;
  stage *to = &c->out.data[s];
  if (!v.id) return RLX_OK;
  if (is_leaf(n) && !is_input(n)) {
    if (seen_in[v.id] == s + 1) return RLX_OK;
    seen_in[v.id] = s + 1;
    return vec_push(&to->leaves, index) ? RLX_OK : status_memory(sizeof index);
  }
  if (!is_input(n) && !is_cut(c, n) && c->level[index] == s) return RLX_OK;
  if (by_value) c->wanted[v.id] |= HOST;
  if (seen_in[v.id] == s + 1) {
    for (size_t i = 0; by_value && i < to->in.n; i++)
      if (to->in.data[i].value.id == v.id) to->in.data[i].by_value = true;
    return RLX_OK;
  }
  seen_in[v.id] = s + 1;
  c->wanted[v.id] |= WANTED;
  const stage_input in = {v, by_value};
  return vec_push(&to->in, in) ? RLX_OK : status_memory(sizeof in);
}

/* Nodes and cuts, in order. */
static rlx_status list_nodes(cutter *c) {
  for (uint32_t i = 0; i < c->g->nodes.n; i++) {
    const ir_node *n = &c->g->nodes.data[i];
    stage *to = &c->out.data[c->level[i]];
    if (is_leaf(n)) continue;
    if (!(is_cut(c, n) ? vec_push(&to->cuts, i) : vec_push(&to->nodes, i))) return status_memory(sizeof i);
    for (uint32_t k = 0; is_cut(c, n) && k < n->n_in; k++) c->wanted[n->in[k].id] |= HOST;
  }
  return RLX_OK;
}

static rlx_status list_inputs(cutter *c, uint32_t s, uint32_t *seen_in) {
  for (size_t i = 0; i < c->out.data[s].nodes.n; i++) {
    const ir_node *n = &c->g->nodes.data[c->out.data[s].nodes.data[i]];
    for (uint32_t k = 0; k < n->n_in; k++) RLX_TRY(need(c, n->in[k], s, c->number[n->in[k].id], seen_in));
    for (uint32_t k = 0; k < n->n_dynamic; k++) RLX_TRY(need(c, n->dynamic[k].value, s, true, seen_in));
  }
  return RLX_OK;
}

static rlx_status list_outputs(cutter *c) {
  for (uint32_t v = 1; v < c->g->values.n; v++) {
    const ir_node *n = graph_node_of(c->g, (rlx_val){v});
    const uint32_t index = c->g->values.data[v].node;
    if (!c->wanted[v] || is_leaf(n) || is_cut(c, n)) continue;
    if (graph_resolve(c->g, (rlx_val){v}).id != v) continue;
    const stage_output out = {{v}, c->wanted[v] == HOST};
    if (!vec_push(&c->out.data[c->level[index]].out, out)) return status_memory(sizeof out);
  }
  return RLX_OK;
}

static rlx_status cut(cutter *c) {
  for (uint32_t i = 0; i < c->g->nodes.n; i++) RLX_TRY(place(c, i));
  mark_numbers(c);
  for (size_t i = 0; i < c->g->outputs.n; i++) c->wanted[c->g->outputs.data[i].value.id] = HOST;
  if (c->out.n == 0) c->out.n = 1;
  c->out.data = mem_new(c->out.n, sizeof *c->out.data);
  uint32_t *seen_in = mem_new(c->g->values.n, sizeof *seen_in);
  rlx_status status = c->out.data && seen_in ? RLX_OK : status_memory(c->out.n * sizeof *c->out.data);
  if (status == RLX_OK) status = list_nodes(c);
  for (uint32_t s = 0; s < c->out.n && status == RLX_OK; s++) status = list_inputs(c, s, seen_in);
  mem_free(seen_in);
  return status == RLX_OK ? list_outputs(c) : status;
}

rlx_status stages_make(const rlx_graph *g, stages *out) {
  cutter c = {.g = g,
              .at = mem_new(g->values.n, sizeof *c.at),
              .host_at = mem_new(g->values.n, sizeof *c.host_at),
              .known = mem_new(g->values.n, sizeof *c.known),
              .cut = mem_new(g->values.n, sizeof *c.cut),
              .number = mem_new(g->values.n, sizeof *c.number),
              .wanted = mem_new(g->values.n, sizeof *c.wanted),
              .level = mem_new(g->nodes.n + 1, sizeof *c.level)};
  const bool room = c.at && c.host_at && c.known && c.cut && c.number && c.wanted && c.level;
  const rlx_status status = room ? cut(&c) : status_memory(g->values.n * sizeof *c.at);
  mem_free(c.at);
  mem_free(c.host_at);
  mem_free(c.known);
  mem_free(c.cut);
  mem_free(c.number);
  mem_free(c.wanted);
  mem_free(c.level);
  map_free(&c.names);
  if (status != RLX_OK) stages_free(&c.out);
  *out = c.out;
  return status;
}

void stages_free(stages *s) {
  for (size_t i = 0; s->data && i < s->n; i++) {
    vec_free(&s->data[i].leaves);
    vec_free(&s->data[i].nodes);
    vec_free(&s->data[i].in);
    vec_free(&s->data[i].out);
    vec_free(&s->data[i].cuts);
  }
  mem_free(s->data);
  *s = (stages){0};
}
