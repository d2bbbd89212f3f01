/* rlx/inputs.c: a tensor for everything a model wants: its inputs, and its params, which are given
 * like inputs. Explicit files come first, then --value, then --shape, then random numbers for the
 * rest. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "model.h"

typedef struct wanted {
  const char *name;
  rlx_val value;
  rlx_tensor *tensor; /* NULL: not given yet */
  bool shaped;        /* by --shape, to: */
  int64_t dims[RLX_MAX_RANK];
} wanted;

/* Sizes that inputs fix for the random ones: equal handles are equal sizes. */
typedef struct size_row {
  rlx_dim dim;
  int64_t size;
} size_row;

typedef struct wanted_list {
  const rlx_graph *graph;
  const char *path; /* of the model, for messages */
  wanted *rows;     /* the inputs, then the params */
  size_t n, n_inputs;
  size_row *sizes;
  size_t n_sizes;
} wanted_list;

static void wanted_start(const rlx_graph *g, const char *path, wanted_list *out) {
  size_t n_inputs = rlx_graph_input_count(g), n_params = rlx_graph_param_count(g), n_sizes = 0;
  *out = (wanted_list){.graph = g, .path = path, .n = n_inputs + n_params, .n_inputs = n_inputs};
  out->rows = must_alloc(out->n, sizeof *out->rows);
  for (size_t i = 0; i < out->n; i++) {
    wanted *w = &out->rows[i];
    bool input = i < n_inputs;
    w->name = input ? rlx_graph_input_name(g, i) : rlx_graph_param_name(g, i - n_inputs);
    w->value = input ? rlx_graph_input_value(g, i) : rlx_graph_param_value(g, i - n_inputs);
    n_sizes += rlx_val_rank(g, w->value);
  }
  out->sizes = must_alloc(n_sizes, sizeof *out->sizes);
}

static void wanted_free(wanted_list *l) {
  for (size_t i = 0; i < l->n; i++) rlx_tensor_free(l->rows[i].tensor);
  free(l->rows);
  free(l->sizes);
}

/* The row whose name is the first n bytes of `name`, or NULL. */
static wanted *wanted_find(const wanted_list *l, const char *name, size_t n) {
  for (size_t i = 0; i < l->n; i++) {
    const char *have = l->rows[i].name;
    if (strlen(have) == n && memcmp(have, name, n) == 0) return &l->rows[i];
  }
  return NULL;
}

/* --- messages */

static void add_row(text *t, const wanted_list *l, const wanted *w) {
  text_add(t, "\n  ");
  text_add_safe(t, w->name);
  text_add(t, "  ");
  text_add_type(t, l->graph, w->value);
}

static int fail_unknown(const wanted_list *l, const char *where, const char *name, size_t n) {
  text t = {0};
  text_addf(&t, "%s: '%.*s' is not an input or param of %s, which has %s", where, (int)n, name,
            l->path, l->n ? "these:" : "none");
  for (size_t i = 0; i < l->n; i++) add_row(&t, l, &l->rows[i]);
  fail("%s", t.data);
  text_free(&t);
  return EXIT_FAILED;
}

static int fail_missing(const wanted_list *l) {
  text t = {0};
  text_addf(&t, "%s needs inputs that were not given:", l->path);
  for (size_t i = 0; i < l->n; i++) {
    if (!l->rows[i].tensor) add_row(&t, l, &l->rows[i]);
  }
  fail("%s\ngive --input NAME=FILE.npy, --value NAME=NUMBER, --inputs FILE.npz, or "
       "--random SEED for the rest",
       t.data);
  text_free(&t);
  return EXIT_FAILED;
}

static int fail_type(const wanted_list *l, const wanted *w, const char *source, rlx_dtype dtype,
                     size_t rank, const int64_t *dims) {
  text t = {0};
  text_addf(&t, "input '%s' is ", w->name);
  text_add_type(&t, l->graph, w->value);
  text_addf(&t, ", but %s gives ", source);
  text_add_shape(&t, dtype, rank, dims);
  fail("%s", t.data);
  text_free(&t);
  return EXIT_FAILED;
}

/* Checked before compiling, and with the name of the file or flag that is wrong. */
static int check_type(const wanted_list *l, const wanted *w, const char *source, rlx_dtype dtype,
                      size_t rank, const int64_t *dims) {
  bool fits =
      dtype == rlx_val_dtype(l->graph, w->value) && rank == rlx_val_rank(l->graph, w->value);
  for (size_t i = 0; fits && i < rank; i++) {
    rlx_dim declared = rlx_val_dim(l->graph, w->value, i);
    fits = !rlx_dim_is_known(declared) || declared == dims[i];
  }
  return fits ? EXIT_OK : fail_type(l, w, source, dtype, rank, dims);
}

/* --- from files */

/* Takes a reference. */
static int give(wanted_list *l, wanted *w, const char *source, rlx_tensor *tensor) {
  int code = check_type(l, w, source, rlx_tensor_dtype(tensor), rlx_tensor_rank(tensor),
                        rlx_tensor_dims(tensor));
  if (code) return code;
  rlx_tensor_free(w->tensor);
  w->tensor = rlx_tensor_retain(tensor);
  return EXIT_OK;
}

static int read_tensors(wanted_list *l, const char *path) {
  rlx_tensors *list = NULL;
  rlx_status status = rlx_tensors_load(path, &list);
  if (status != RLX_OK) return fail_status(status);
  int code = EXIT_OK;
  for (size_t i = 0; code == EXIT_OK && i < rlx_tensors_count(list); i++) {
    const char *name = rlx_tensors_name(list, i);
    wanted *w = wanted_find(l, name, strlen(name));
    code =
        w ? give(l, w, path, rlx_tensors_at(list, i)) : fail_unknown(l, path, name, strlen(name));
  }
  rlx_tensors_free(list);
  return code;
}

/* NAME=FILE, both of which may hold '=': the last '=' after an input's name divides them. */
static int read_npy(wanted_list *l, const char *pair) {
  wanted *w = NULL;
  size_t n = strlen(pair);
  while (!w && n-- > 0) {
    if (pair[n] == '=') w = wanted_find(l, pair, n);
  }
  if (!w) return fail_unknown(l, "--input", pair, (size_t)(strrchr(pair, '=') - pair));
  rlx_tensor *tensor = NULL;
  rlx_status status = rlx_tensor_load_npy(pair + n + 1, &tensor);
  if (status != RLX_OK) return fail_status(status);
  int code = give(l, w, pair + n + 1, tensor);
  rlx_tensor_free(tensor);
  return code;
}

/* --- from the command line */

/* Reads a number at *s into element i, and past it; false if the dtype cannot hold it. */
static bool put_number(rlx_tensor *t, int64_t i, const char **s) {
  const rlx_dtype_info *dtype = rlx_dtype_get(rlx_tensor_dtype(t));
  char *at = (char *)rlx_tensor_mutable(t) + (size_t)i * dtype->block_bytes, *end;
  const char *start = *s;
  bool holds = false;
  errno = 0;
  if (dtype->kind == RLX_KIND_FLOAT) {
    const double real = strtod(start, &end);
    const float single = strtof(start, &end);
    memcpy(at, dtype->block_bytes == 8 ? (const void *)&real : &single, dtype->block_bytes);
    holds = !errno || !isinf(rlx_tensor_real(t, i)); /* errno also tells of tiny ones */
  } else {
    const bool is_signed = dtype->kind == RLX_KIND_INT;
    const uint64_t bits =
        is_signed ? (uint64_t)strtoll(start, &end, 10) : strtoull(start, &end, 10);
    memcpy(at, &bits, dtype->block_bytes); /* little endian, or it does not read back */
    holds = !errno && (is_signed || *start != '-') && (uint64_t)rlx_tensor_int(t, i) == bits &&
            (dtype->kind != RLX_KIND_BOOL || bits <= 1);
  }
  *s = end + (*end == ',');
  return holds && (!*end || *end == ',');
}

/* One number is a scalar unless a list is wanted. */
static int read_value(wanted_list *l, const char *pair) {
  const char *numbers = strrchr(pair, '=') + 1;
  wanted *w = wanted_find(l, pair, (size_t)(numbers - 1 - pair));
  if (!w) return fail_unknown(l, "--value", pair, (size_t)(numbers - 1 - pair));
  const rlx_dtype dtype = rlx_val_dtype(l->graph, w->value);
  const rlx_dtype_kind kind = rlx_dtype_get(dtype)->kind;
  if (kind > RLX_KIND_FLOAT || dtype == RLX_F16 || dtype == RLX_BF16) {
    return fail("--value: '%s' is %s, which takes --input", w->name, rlx_dtype_get(dtype)->name);
  }
  int64_t n = 1;
  for (const char *s = numbers; *s; s++) n += *s == ',';
  rlx_tensor *tensor = NULL;
  const bool is_list = n > 1 || rlx_val_rank(l->graph, w->value) == 1;
  rlx_status status = rlx_tensor_create(dtype, is_list, &n, &tensor);
  if (status != RLX_OK) return fail_status(status);
  int code = EXIT_OK;
  const char *s = numbers;
  for (int64_t i = 0; code == EXIT_OK && i < n; i++) {
    const char *number = s;
    if (put_number(tensor, i, &s)) continue;
    code = fail("--value: '%s' is %s, which cannot hold '%.*s'", w->name,
                rlx_dtype_get(dtype)->name, (int)strcspn(number, ","), number);
  }
  if (code == EXIT_OK) code = give(l, w, "--value", tensor);
  rlx_tensor_free(tensor);
  return code;
}

/* --- random */

/* The name may be that of a size, which a shape has to give. */
static int fail_shape(const wanted_list *l, const char *pair, size_t n) {
  text hint = {0};
  for (size_t i = 0; i < l->n && !hint.n; i++) {
    text type = {0};
    text_add_type(&type, l->graph, l->rows[i].value);
    const char *dims = strchr(type.data, '[') + 1;
    for (const char *dim = dims, *end; *dim && !hint.n; dim = end + 1) {
      end = dim + strcspn(dim, ",]");
      if ((size_t)(end - dim) != n || memcmp(dim, pair, n) != 0) continue;
      text_addf(&hint, "%s=%.*s%s%.*s", l->rows[i].name, (int)(dim - dims), dims, pair + n + 1,
                (int)strcspn(end, "]"), end);
    }
    text_free(&type);
  }
  int code = hint.n ? fail("--shape: '%.*s' is not an input but a size: give --shape %s", (int)n,
                           pair, hint.data)
                    : fail_unknown(l, "--shape", pair, n);
  text_free(&hint);
  return code;
}

static int read_shape(wanted_list *l, const char *pair) {
  size_t n = (size_t)(strrchr(pair, '=') - pair), rank = 0;
  wanted *w = wanted_find(l, pair, n);
  if (!w) return fail_shape(l, pair, n);
  if (w->tensor) return fail("--shape: input '%s' is given already", w->name);
  w->shaped = parse_shape(pair + n + 1, w->dims, &rank);
  return check_type(l, w, "--shape", rlx_val_dtype(l->graph, w->value), rank, w->dims);
}

/* The size known for an open dimension, or `missing`. */
static int64_t size_of(const wanted_list *l, rlx_dim dim, int64_t missing) {
  for (size_t i = 0; i < l->n_sizes; i++) {
    if (l->sizes[i].dim == dim) return l->sizes[i].size;
  }
  return missing;
}

static void note_sizes(wanted_list *l, const wanted *w, const int64_t *dims) {
  for (size_t i = 0; i < rlx_val_rank(l->graph, w->value); i++) {
    rlx_dim declared = rlx_val_dim(l->graph, w->value, i);
    if (rlx_dim_is_known(declared) || size_of(l, declared, -1) >= 0) continue;
    l->sizes[l->n_sizes++] = (size_row){declared, dims[i]};
  }
}

/* The shape from --shape, else the declared one with known sizes put in and 1 for open ones. */
static int make_random(wanted_list *l, size_t index, uint64_t seed) {
  wanted *w = &l->rows[index];
  size_t rank = rlx_val_rank(l->graph, w->value);
  for (size_t i = 0; !w->shaped && i < rank; i++) {
    rlx_dim declared = rlx_val_dim(l->graph, w->value, i);
    w->dims[i] = rlx_dim_is_known(declared) ? declared : size_of(l, declared, 1);
  }
  rlx_dtype dtype = rlx_val_dtype(l->graph, w->value);
  rlx_status status = rlx_tensor_create(dtype, rank, w->dims, &w->tensor);
  /* Seeds far apart, so that inputs do not repeat each other's numbers. */
  if (status == RLX_OK) status = rlx_tensor_random(w->tensor, seed + ((uint64_t)index << 48));
  return status == RLX_OK ? EXIT_OK : fail_status(status);
}

static int fill_missing(const args *a, wanted_list *l) {
  bool missing = false;
  for (size_t i = 0; i < l->n; i++) {
    const wanted *w = &l->rows[i];
    if (w->tensor || w->shaped) {
      note_sizes(l, w, w->tensor ? rlx_tensor_dims(w->tensor) : w->dims);
    }
    missing = missing || !w->tensor;
  }
  if (missing && !args_has(a, FLAG_RANDOM)) return fail_missing(l);
  uint64_t seed = args_whole(a, FLAG_RANDOM, 0);
  int code = EXIT_OK;
  for (size_t i = 0; code == EXIT_OK && i < l->n; i++) {
    if (!l->rows[i].tensor) code = make_random(l, i, seed);
  }
  return code;
}

static int take_flags(const args *a, wanted_list *l) {
  static const struct {
    flag_id flag;
    int (*take)(wanted_list *l, const char *value);
  } steps[] = {{FLAG_INPUTS, read_tensors},
               {FLAG_INPUT, read_npy},
               {FLAG_VALUE, read_value},
               {FLAG_SHAPE, read_shape}};
  for (size_t s = 0; s < sizeof steps / sizeof *steps; s++) {
    for (size_t i = 0; i < a->n_given; i++) {
      if (a->given[i].flag != steps[s].flag) continue;
      int code = steps[s].take(l, a->given[i].value);
      if (code) return code;
    }
  }
  return EXIT_OK;
}

static rlx_status keep(const wanted *rows, size_t n, rlx_tensors **out) {
  rlx_status status = rlx_tensors_create(out);
  for (size_t i = 0; status == RLX_OK && i < n; i++) {
    status = rlx_tensors_set(*out, rows[i].name, rows[i].tensor);
  }
  return status;
}

int inputs_gather(const args *a, const rlx_graph *g, rlx_tensors **out_inputs,
                  rlx_tensors **out_params) {
  wanted_list list;
  wanted_start(g, a->operands[0], &list);
  int code = take_flags(a, &list);
  if (code == EXIT_OK) code = fill_missing(a, &list);
  if (code == EXIT_OK) {
    rlx_status status = keep(list.rows, list.n_inputs, out_inputs);
    if (status == RLX_OK) {
      status = keep(list.rows + list.n_inputs, list.n - list.n_inputs, out_params);
    }
    if (status != RLX_OK) code = fail_status(status);
  }
  wanted_free(&list);
  return code;
}
