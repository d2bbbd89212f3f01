/* rlx/ops.h: typed builders, one per row of ops.def, and the attribute structs they take.
 *
 *   rlx_val y = rlx_matmul(g, x, w);                       an operation without attributes
 *   rlx_softmax_attrs a = rlx_softmax_init();              defaults from the table
 *   a.axis = 1;
 *   rlx_val p = rlx_softmax(g, y, &a);                     NULL instead of &a: all defaults
 *
 * Everything here is inline over rlx_graph_add. Attribute structs carry their size, so a program
 * compiled before an attribute existed gets that attribute's default. */
#ifndef RLX_OPS_H
#define RLX_OPS_H

#include <math.h>
#include <rlx/graph.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The C type of each attribute type that a row may name. A `dim` and the items of `dims` may be dim
 * handles. A `word` is one of the words that the row lists, NULL meaning the first. */
typedef int64_t rlx_ct_i64;
typedef rlx_dim rlx_ct_dim;
typedef double rlx_ct_f64;
typedef bool rlx_ct_flag;
typedef rlx_ints rlx_ct_ints;
typedef rlx_ints rlx_ct_dims;
typedef rlx_reals rlx_ct_reals;
typedef const char *rlx_ct_word;
typedef const char *rlx_ct_text;
typedef rlx_dtype rlx_ct_dtype;
typedef rlx_tensor *rlx_ct_tensor;
typedef rlx_graph *rlx_ct_graph; /* of `if` and `loop`: retained; it must not change from then on.
  * Operands are matched to its inputs by position, not by name, with equal dtypes. It sees nothing
  * else of the graph around it, and has no params. */

/* Walk an attribute list (type, name, default)...: a walker W is W_1 and W_2, which call each
 * other, and W_1_END, W_2_END, which are empty. */
#define RLX_EACH(W, list) RLX_TAIL(W##_1 list)
#define RLX_TAIL(...) RLX_TAIL_(__VA_ARGS__)
#define RLX_TAIL_(...) __VA_ARGS__##_END

#define RLX_FIELD_1(type, name, ...) rlx_ct_##type name; RLX_FIELD_2
#define RLX_FIELD_2(type, name, ...) rlx_ct_##type name; RLX_FIELD_1
#define RLX_FIELD_1_END
#define RLX_FIELD_2_END

#define RLX_START_1(type, name, ...) RLX_START_##type(name, __VA_ARGS__) RLX_START_2
#define RLX_START_2(type, name, ...) RLX_START_##type(name, __VA_ARGS__) RLX_START_1
#define RLX_START_1_END
#define RLX_START_2_END
#define RLX_START_i64(name, value) a_.name = value;
#define RLX_START_dim(name, value) a_.name = value;
#define RLX_START_f64(name, value) a_.name = value;
#define RLX_START_flag(name, value) a_.name = value;
#define RLX_START_dtype(name, value) a_.name = value;
#define RLX_START_ints(name, value)
#define RLX_START_dims(name, value)
#define RLX_START_reals(name, value)
#define RLX_START_word(name, value)
#define RLX_START_text(name, value)
#define RLX_START_tensor(name, value)
#define RLX_START_graph(name, value)

/* Operands that are given: all up to the last that is not RLX_NIL, and all that are required. */
static inline size_t rlx_given(const rlx_val *in, size_t n, size_t required) {
  while (n > required && !in[n - 1].id) n--;
  return n;
}

/* Operands of a builder, by the row's arity: a number, "2o3" (two are required, up to three taken;
 * what is absent is RLX_NIL) or N (a list). */
#define RLX_IN_0
#define RLX_IN_1 , rlx_val x
#define RLX_IN_2 , rlx_val x, rlx_val y
#define RLX_IN_3 , rlx_val x, rlx_val y, rlx_val z
#define RLX_IN_4 , rlx_val x, rlx_val y, rlx_val z, rlx_val u
#define RLX_IN_5 , rlx_val x, rlx_val y, rlx_val z, rlx_val u, rlx_val v
#define RLX_IN_1o2 RLX_IN_2
#define RLX_IN_1o3 RLX_IN_3
#define RLX_IN_2o3 RLX_IN_3
#define RLX_IN_2o4 RLX_IN_4
#define RLX_IN_2o5 RLX_IN_5
#define RLX_IN_3o4 RLX_IN_4
#define RLX_IN_3o6 RLX_IN_5, rlx_val w
#define RLX_IN_3o8 RLX_IN_3o6, rlx_val s, rlx_val t
#define RLX_IN_N , const rlx_val *in_, size_t n_
#define RLX_LIST_0 const rlx_val *in_ = NULL; const size_t n_ = 0;
#define RLX_LIST_1 const rlx_val in_[] = {x}; const size_t n_ = 1;
#define RLX_LIST_2 const rlx_val in_[] = {x, y}; const size_t n_ = 2;
#define RLX_LIST_3 const rlx_val in_[] = {x, y, z}; const size_t n_ = 3;
#define RLX_LIST_4 const rlx_val in_[] = {x, y, z, u}; const size_t n_ = 4;
#define RLX_LIST_5 const rlx_val in_[] = {x, y, z, u, v}; const size_t n_ = 5;
#define RLX_LIST_1o2 const rlx_val in_[] = {x, y}; const size_t n_ = rlx_given(in_, 2, 1);
#define RLX_LIST_1o3 const rlx_val in_[] = {x, y, z}; const size_t n_ = rlx_given(in_, 3, 1);
#define RLX_LIST_2o3 const rlx_val in_[] = {x, y, z}; const size_t n_ = rlx_given(in_, 3, 2);
#define RLX_LIST_2o4 const rlx_val in_[] = {x, y, z, u}; const size_t n_ = rlx_given(in_, 4, 2);
#define RLX_LIST_2o5 const rlx_val in_[] = {x, y, z, u, v}; const size_t n_ = rlx_given(in_, 5, 2);
#define RLX_LIST_3o4 const rlx_val in_[] = {x, y, z, u}; const size_t n_ = rlx_given(in_, 4, 3);
#define RLX_LIST_3o6 \
  const rlx_val in_[] = {x, y, z, u, v, w}; const size_t n_ = rlx_given(in_, 6, 3);
#define RLX_LIST_3o8 \
  const rlx_val in_[] = {x, y, z, u, v, w, s, t}; const size_t n_ = rlx_given(in_, 8, 3);
#define RLX_LIST_N

/* The words of ops.def are short, and may be names of the including program: it gets them back. */
#pragma push_macro("LEAF")
#pragma push_macro("OP")
#pragma push_macro("OP0")
#pragma push_macro("U")
#pragma push_macro("UX")
#pragma push_macro("UX0")
#pragma push_macro("P")
#pragma push_macro("B")
#pragma push_macro("C")
#undef LEAF
#undef OP
#undef OP0
#undef U
#undef UX
#undef UX0
#undef P
#undef B
#undef C

#define OP0(op, in, out, traits, doc)                      \
  static inline rlx_val rlx_##op(rlx_graph *g_ RLX_IN_##in) { \
    RLX_LIST_##in return rlx_graph_add(g_, #op, in_, n_, NULL); \
  }
#define OP(op, in, out, traits, attrs, doc)                                       \
  typedef struct rlx_##op##_attrs {                                               \
    uint32_t struct_size;                                                         \
    RLX_EACH(RLX_FIELD, attrs)                                                    \
  } rlx_##op##_attrs;                                                             \
  static inline rlx_##op##_attrs rlx_##op##_init(void) {                          \
    rlx_##op##_attrs a_;                                                          \
    memset(&a_, 0, sizeof a_);                                                    \
    a_.struct_size = (uint32_t)sizeof a_;                                         \
    RLX_EACH(RLX_START, attrs)                                                    \
    return a_;                                                                    \
  }                                                                               \
  static inline rlx_val rlx_##op(rlx_graph *g_ RLX_IN_##in, const rlx_##op##_attrs *attrs_) { \
    RLX_LIST_##in return rlx_graph_add(g_, #op, in_, n_, attrs_);                 \
  }
/* Leaves have builders of their own in graph.h. */
#define LEAF(op, trait, attrs, doc) \
  typedef struct rlx_##op##_attrs { \
    uint32_t struct_size;           \
    RLX_EACH(RLX_FIELD, attrs)      \
  } rlx_##op##_attrs;
#include <rlx/ops.def>

#pragma pop_macro("LEAF")
#pragma pop_macro("OP")
#pragma pop_macro("OP0")
#pragma pop_macro("U")
#pragma pop_macro("UX")
#pragma pop_macro("UX0")
#pragma pop_macro("P")
#pragma pop_macro("B")
#pragma pop_macro("C")

#ifdef __cplusplus
}
#endif
#endif
