/* pass/match.h: rewrite rules as data, and what applies them.
 *
 * Laws: a rule is tried on a node that is about to be added, whose operands have been rewritten
 * already; what replaces the node must have its exact type and cost less (nodes and operands, down
 * to what the pattern left open), else the rule does not apply; so rewriting ends. An INEXACT rule
 * may change rounding; the others give equal numbers. */
#ifndef PASS_MATCH_H
#define PASS_MATCH_H

#include "ir/graph.h"

enum { TERM_ARGS = 5, RULE_VALUES = 8, RULE_NODES = 32, RULES_MAX = 128 };
/* Elements of a constant that is computed: references are slow, larger ones are left to the run. */
enum { FOLDED_MAX = 1 << 22 };

typedef enum term_kind {
  TERM_OP,       /* an operation on terms; without hooks: any elementwise one */
  TERM_VALUE,    /* any value; the same slot again must be the same value */
  TERM_CONSTANT, /* the same, of a constant */
  TERM_NUMBER,   /* a constant whose elements all are `number`: whole numbers exactly, others to a
                    few digits, as people write them */
  TERM_EITHER    /* one of several terms */
} term_kind;

typedef struct rule_term {
  term_kind kind;
  const ir_hooks *op;
  uint32_t slot;
  double number;
  const struct rule_term *arg[TERM_ARGS + 1]; /* up to the first NULL */
} rule_term;

/* A match. Nodes are copies, in the order of the pattern, the root first. */
typedef struct rule_match {
  rlx_graph *g;
  const ir_type *type; /* of the root's output */
  rlx_val val[RULE_VALUES];
  ir_node node[RULE_NODES];
  size_t n_nodes;
  int64_t list[RLX_MAX_RANK]; /* room for a list that `when` puts into an attribute */
} rule_match;

typedef struct rule_row {
  const char *name, *pattern; /* as it is written */
  bool inexact;
  const rule_term *match;
  /* Data: does it apply? Fills the attributes of the root of `replace`, which hold the defaults. */
  const rule_term *replace;
  bool (*when)(rule_match *m, void *attrs);
  /* Or code: builds what takes the root's place. RLX_NIL: it does not apply (nothing was added). */
  rlx_val (*build)(const rule_match *m);
} rule_row;

extern const rule_row rule_table[];
extern const size_t rule_count;

/* For rules: the first matched node of an operation; NULL: there is none. */
const ir_node *match_node(const rule_match *m, const ir_hooks *op);
/* The number that all elements of a constant are; false if it is none. */
bool match_number(const rlx_graph *g, rlx_val v, double *out_number);
/* Has the node no other use? Work that others need too is better not redone. */
bool match_sole_use(const rule_match *m, const ir_node *n);

/* What one compile knows of the rules. */
typedef struct pass_rules {
  bool off[RULES_MAX]; /* by index in rule_table */
  uint64_t hits[RULES_MAX];
  size_t depth;        /* of rewrites within rewrites */
  map seen;            /* hash -> a node of that hash, for cse.c */
  VEC(uint32_t) uses;  /* by value: how often the source graph reads what it stands for */
} pass_rules;
uint64_t rules_hits(const pass_rules *r); /* of all rules */
/* Forgets the graph; keeps the choice and the hits. Frees all there is to free. */
void rules_restart(pass_rules *r);
rlx_status rules_note_uses(pass_rules *r, rlx_val v, uint32_t uses);

/* Sets n->out to what the rules make of a node, or leaves it nil. */
rlx_status rules_apply(pass_rules *r, const ir_infer *c, ir_node *n);
/* (cse.c) Sets n->out to an equal node's output, or notes this one. */
rlx_status cse_apply(pass_rules *r, const ir_infer *c, ir_node *n);

#endif
