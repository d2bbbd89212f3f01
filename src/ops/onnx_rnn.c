/* ops/onnx_rnn.c: importers of LSTM, GRU and RNN.
 *
 * An axis of directions runs through the operands and results: each direction becomes an operation
 * of ours, whose results are joined again. Layout 1 has the batch before steps and directions. */
#include <string.h>

#include "ops/onnx.h"
#include "ops/rnn.h"

enum { MAX_IN = 8, MAX_OUT = 3, MAX_FUNCTIONS = 3 };
enum { X, LENGTHS = 4, FIRST_H, FIRST_C };

/* The attributes of one direction. */
typedef struct direction {
  bool reverse;
  const char *words[MAX_FUNCTIONS];
  double alpha[MAX_FUNCTIONS], beta[MAX_FUNCTIONS];
  size_t n_alpha, n_beta; /* up to the last that the file gives */
  double clip;
} direction;

typedef struct recurrent {
  const char *functions[MAX_FUNCTIONS]; /* where the file names none */
  size_t n_functions, n_in, n_out;
  rlx_val (*add)(const onnx_node *n, const rlx_val *in, const direction *d);
} recurrent;

/* --- functions: names for all directions in one list; alpha and beta in two others, with entries
 * only for functions that have such a parameter */

static const rnn_function *find_function(const char *name) {
  const rnn_function *f = rnn_functions;
  while (f->word && strcmp(f->onnx, name) != 0) f++;
  return f;
}

/* Takes the next entry of a list, if there is one, as parameter i of n. */
static void take_parameter(rlx_reals *list, double *parameters, size_t i, size_t *n) {
  if (!list->n) return;
  parameters[i] = *list->data++;
  list->n--;
  *n = i + 1;
}

static rlx_status read_functions(const onnx_node *n, const recurrent *kind, direction *d,
                                 size_t n_directions) {
  const onnx_texts names = onnx_strings(n, "activations");
  const size_t each = kind->n_functions;
  rlx_reals alpha = onnx_floats(n, "activation_alpha"), beta = onnx_floats(n, "activation_beta");
  if (names.n && names.n != each * n_directions)
    return status_set(RLX_ERROR_FORMAT, "attribute 'activations' has %zu names, wanted %zu",
                      names.n, each * n_directions);
  for (size_t i = 0; i < each * n_directions; i++) {
    direction *to = &d[i / each];
    const size_t k = i % each;
    const char *name = names.n ? names.data[i] : kind->functions[k];
    const rnn_function *f = find_function(name);
    if (!f->word) return status_set(RLX_ERROR_UNSUPPORTED, "activation '%s' is not known", name);
    to->words[k] = f->word;
    if (f->n_params > 0) take_parameter(&alpha, to->alpha, k, &to->n_alpha);
    if (f->n_params > 1) take_parameter(&beta, to->beta, k, &to->n_beta);
  }
  return RLX_OK;
}

static rlx_status read_directions(const onnx_node *n, const recurrent *kind, direction *d,
                                  size_t *out_n) {
  size_t which;
  RLX_TRY(onnx_word(n, "direction", "forward|reverse|bidirectional", &which));
  *out_n = which == 2 ? 2 : 1;
  for (size_t i = 0; i < *out_n; i++) {
    d[i].reverse = which == 1 || i == 1;
    d[i].clip = onnx_float(n, "clip", HUGE_VAL);
  }
  return read_functions(n, kind, d, *out_n);
}

/* --- operands and results */

static rlx_val swapped(const onnx_node *n, rlx_val v) { /* [A,B,C] <-> [B,A,C] */
  return v.id ? onnx_transpose(n, v, (const int64_t[]){1, 0, 2}, 3) : v;
}

/* The n parts of an operand along its axis of directions; the first, the others follow it. */
static rlx_val parts(const onnx_node *n, rlx_val v, int64_t axis, size_t count) {
  rlx_split_attrs a = rlx_split_init();
  a.axis = axis;
  a.sizes = (rlx_ints){(const int64_t[]){1, 1}, count};
  return v.id ? rlx_split(n->g, v, &a) : v;
}

static rlx_val without_axis(const onnx_node *n, rlx_val v, int64_t axis) {
  rlx_squeeze_attrs a = rlx_squeeze_init();
  a.axes = (rlx_ints){&axis, 1};
  return v.id ? rlx_squeeze(n->g, v, &a) : v;
}

/* Results of all directions along a new axis. */
static rlx_val joined(const onnx_node *n, rlx_val *v, size_t count, int64_t axis) {
  rlx_unsqueeze_attrs a = rlx_unsqueeze_init();
  rlx_concat_attrs c = rlx_concat_init();
  a.axes = (rlx_ints){&axis, 1};
  c.axis = axis;
  for (size_t i = 0; i < count; i++) v[i] = rlx_unsqueeze(n->g, v[i], &a);
  return count == 1 ? v[0] : rlx_concat(n->g, v, count, &c);
}

static rlx_status check_hidden_size(const onnx_node *n) {
  const rlx_ints dims = onnx_dims(n, onnx_in(n, 2));
  const int64_t got = onnx_int(n, "hidden_size", -1), want = dims.n == 3 ? dims.data[2] : got;
  if (got < 0 || got == want || !dim_known(want)) return RLX_OK;
  return status_set(RLX_ERROR_SHAPE, "hidden_size is %lld, input 2 says %lld", (long long)got,
                    (long long)want);
}

/* The axis of directions of an operand: after the batch in the states of layout 1. */
static int64_t direction_axis(size_t operand, bool batch_first) {
  return batch_first && (operand == FIRST_H || operand == FIRST_C);
}

/* What direction k gets of the operands, whose parts are apart already. */
static void direction_operands(const onnx_node *n, const rlx_val *in, bool batch_first, uint32_t k,
                               rlx_val *out_own) {
  for (size_t i = 0; i < n->n_in; i++) {
    const bool whole = i == X || i == LENGTHS;
    const rlx_val part = rlx_nth(in[i], k);
    out_own[i] = whole ? in[i] : without_axis(n, part, direction_axis(i, batch_first));
  }
}

static rlx_status import_recurrent(onnx_node *n, const recurrent *kind) {
  direction d[2] = {0};
  size_t count;
  RLX_TRY(read_directions(n, kind, d, &count));
  RLX_TRY(check_hidden_size(n));
  if (n->n_in > kind->n_in)
    return status_set(RLX_ERROR_FORMAT, "%zu inputs, at most %zu are taken", n->n_in, kind->n_in);
  const bool batch_first = onnx_int(n, "layout", 0) != 0;
  rlx_val in[MAX_IN] = {RLX_NIL}, own[MAX_IN] = {RLX_NIL}, out[MAX_OUT][2];
  for (size_t i = 0; i < n->n_in; i++) {
    const bool whole = i == X || i == LENGTHS;
    in[i] = whole ? n->in[i] : parts(n, n->in[i], direction_axis(i, batch_first), count);
  }
  if (batch_first) in[X] = swapped(n, in[X]);
  for (uint32_t k = 0; k < count; k++) {
    direction_operands(n, in, batch_first, k, own);
    const rlx_val first = kind->add(n, own, &d[k]);
    for (uint32_t i = 0; i < kind->n_out; i++) out[i][k] = rlx_nth(first, i);
    if (batch_first) out[0][k] = swapped(n, out[0][k]);
  }
  for (size_t i = 0; i < n->n_out && i < kind->n_out; i++)
    n->out[i] = joined(n, out[i], count, i == 0 ? 1 + batch_first : batch_first);
  return RLX_OK;
}

/* --- the operators */

static rlx_val add_lstm(const onnx_node *n, const rlx_val *in, const direction *d) {
  rlx_lstm_attrs a = rlx_lstm_init();
  a.reverse = d->reverse;
  a.f = d->words[0];
  a.g = d->words[1];
  a.h = d->words[2];
  a.alpha = (rlx_reals){d->alpha, d->n_alpha};
  a.beta = (rlx_reals){d->beta, d->n_beta};
  a.clip = d->clip;
  a.input_forget = onnx_int(n, "input_forget", 0) != 0;
  return rlx_graph_add(n->g, "lstm", in, rlx_given(in, 8, 3), &a);
}

static rlx_val add_gru(const onnx_node *n, const rlx_val *in, const direction *d) {
  rlx_gru_attrs a = rlx_gru_init();
  a.reverse = d->reverse;
  a.f = d->words[0];
  a.g = d->words[1];
  a.alpha = (rlx_reals){d->alpha, d->n_alpha};
  a.beta = (rlx_reals){d->beta, d->n_beta};
  a.clip = d->clip;
  a.linear_before_reset = onnx_int(n, "linear_before_reset", 0) != 0;
  return rlx_graph_add(n->g, "gru", in, rlx_given(in, 6, 3), &a);
}

static rlx_val add_rnn(const onnx_node *n, const rlx_val *in, const direction *d) {
  rlx_rnn_attrs a = rlx_rnn_init();
  a.reverse = d->reverse;
  a.f = d->words[0];
  a.alpha = (rlx_reals){d->alpha, d->n_alpha};
  a.beta = (rlx_reals){d->beta, d->n_beta};
  a.clip = d->clip;
  return rlx_graph_add(n->g, "rnn", in, rlx_given(in, 6, 3), &a);
}

rlx_status import_lstm(onnx_node *n) {
  static const recurrent kind = {{"Sigmoid", "Tanh", "Tanh"}, 3, 8, 3, add_lstm};
  return import_recurrent(n, &kind);
}
rlx_status import_gru(onnx_node *n) {
  static const recurrent kind = {{"Sigmoid", "Tanh"}, 2, 6, 2, add_gru};
  return import_recurrent(n, &kind);
}
rlx_status import_rnn(onnx_node *n) {
  static const recurrent kind = {{"Tanh"}, 1, 6, 2, add_rnn};
  return import_recurrent(n, &kind);
}
