/* rlx/compare.c: `rlx compare`: one run against expected outputs, element by element, and against
 * the reference device (bisect.c). */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "model.h"

/* --- two tensors */

static double error_of_parts(double got, double want, double *scale) {
  *scale = fmax(*scale, fabs(want));
  if (got == want || (isnan(got) && isnan(want))) return 0;
  double error = fabs(got - want);
  return isnan(error) ? INFINITY : error;
}

/* |got - want| and |want| of one element; a c64 by its worse part. */
static double element_error(const rlx_tensor *got, const rlx_tensor *want, int64_t i,
                            double *out_scale) {
  rlx_dtype_kind kind = rlx_dtype_get(rlx_tensor_dtype(want))->kind;
  *out_scale = 0;
  if (kind == RLX_KIND_COMPLEX) {
    float g[2], w[2];
    memcpy(g, (const char *)rlx_tensor_data(got) + (size_t)i * sizeof g, sizeof g);
    memcpy(w, (const char *)rlx_tensor_data(want) + (size_t)i * sizeof w, sizeof w);
    double re = error_of_parts(g[0], w[0], out_scale);
    return fmax(re, error_of_parts(g[1], w[1], out_scale));
  }
  if (kind == RLX_KIND_FLOAT) {
    return error_of_parts(rlx_tensor_real(got, i), rlx_tensor_real(want, i), out_scale);
  }
  if (rlx_tensor_int(got, i) == rlx_tensor_int(want, i)) return 0;
  return fmax(1, fabs(rlx_tensor_real(got, i) - rlx_tensor_real(want, i)));
}

static bool alike(const rlx_tensor *a, const rlx_tensor *b) {
  size_t rank = rlx_tensor_rank(a);
  return rlx_tensor_dtype(a) == rlx_tensor_dtype(b) && rank == rlx_tensor_rank(b) &&
         (rank == 0 ||
          memcmp(rlx_tensor_dims(a), rlx_tensor_dims(b), rank * sizeof(int64_t)) == 0);
}

deviation deviation_of(const rlx_tensor *got, const rlx_tensor *want, tolerance t) {
  deviation d = {.alike = alike(got, want), .first = -1, .worst = -1};
  rlx_dtype_kind kind = rlx_dtype_get(rlx_tensor_dtype(want))->kind;
  bool real = kind == RLX_KIND_FLOAT || kind == RLX_KIND_COMPLEX;
  for (int64_t i = 0; d.alike && i < rlx_tensor_count(want); i++) {
    double scale, error = element_error(got, want, i, &scale);
    /* An infinity that is wanted would allow everything. */
    bool fine = error == 0 || (real && isfinite(error) && error <= t.atol + t.rtol * scale);
    if (!fine && d.n_off++ == 0) d.first = i;
    if (isfinite(scale)) d.scale = fmax(d.scale, scale);
    if (error > 0) d.relative = fmax(d.relative, error / scale); /* of 0: infinite */
    if (d.worst >= 0 && error <= d.error) continue;
    d.worst = i;
    d.error = error;
  }
  return d;
}

static void add_place(text *out, const rlx_tensor *t, int64_t index) {
  int64_t place[RLX_MAX_RANK];
  size_t rank = rlx_tensor_rank(t);
  for (size_t i = rank; i-- > 0;) {
    place[i] = index % rlx_tensor_dims(t)[i];
    index /= rlx_tensor_dims(t)[i];
  }
  text_add(out, "[");
  for (size_t i = 0; i < rank; i++) text_addf(out, "%s%" PRId64, i ? "," : "", place[i]);
  text_add(out, "]");
}

static void add_shape_of(text *out, const rlx_tensor *t) {
  text_add_shape(out, rlx_tensor_dtype(t), rlx_tensor_rank(t), rlx_tensor_dims(t));
}

static void add_element_pair(text *t, const rlx_tensor *got, const rlx_tensor *want, int64_t i) {
  text_add(t, " at ");
  add_place(t, want, i);
  text_add(t, ": got ");
  text_add_element(t, got, i, false);
  text_add(t, ", want ");
  text_add_element(t, want, i, false);
}

void text_add_deviation(text *t, const rlx_tensor *got, const rlx_tensor *want,
                        const deviation *d) {
  if (!d->alike) {
    text_add(t, "got ");
    add_shape_of(t, got);
    text_add(t, ", want ");
    add_shape_of(t, want);
    return;
  }
  if (d->n_off) {
    text_addf(t, "%" PRId64 " of %" PRId64 " elements differ, ", d->n_off, rlx_tensor_count(want));
  }
  text_addf(t, "max error %.3g", d->error);
  if (d->worst < 0 || d->error == 0) return;
  add_element_pair(t, got, want, d->worst);
  text_addf(t, "; max relative error %.3g", d->relative);
  if (d->n_off == 0 || d->first == d->worst) return;
  text_add(t, "; first");
  add_element_pair(t, got, want, d->first);
}

/* --- the command */

static void show_json(json *j, const char *name, const rlx_tensor *got, const rlx_tensor *want,
                      const deviation *d) {
  text said = {0};
  text_add_deviation(&said, got, want, d);
  json_open(j, NULL, '{');
  json_text(j, "name", name);
  json_flag(j, "agrees", deviation_is_fine(d));
  json_real(j, "max_error", d->alike ? d->error : INFINITY);
  json_real(j, "max_relative_error", d->alike ? d->relative : INFINITY);
  json_int(j, "differing", d->n_off);
  json_text(j, "text", said.data);
  json_close(j, '}');
  text_free(&said);
}

static void show_text(text *out, const char *name, const rlx_tensor *got, const rlx_tensor *want,
                      const deviation *d) {
  text_add_safe(out, name);
  text_add(out, deviation_is_fine(d) ? "  ok  " : "  DIFFERS  ");
  text_add_deviation(out, got, want, d);
  text_add(out, "\n");
}

/* Every expected array has to be an output; outputs that are not expected are not looked at. */
static int compare(const args *a, const rlx_tensors *outputs, const rlx_tensors *expected,
                   tolerance t, json *j, bool *out_fine) {
  const char *path = args_value(a, FLAG_EXPECTED);
  size_t n = rlx_tensors_count(expected);
  bool as_json = args_has(a, FLAG_JSON);
  if (n == 0) return fail("%s: there are no arrays in it", path);
  for (size_t i = 0; i < n; i++) {
    const char *name = rlx_tensors_name(expected, i);
    if (rlx_tensors_get(outputs, name)) continue;
    return fail("%s: '%s' is not an output of %s", path, name, a->operands[0]);
  }
  if (as_json) json_open(j, "outputs", '[');
  for (size_t i = 0; i < n; i++) {
    const char *name = rlx_tensors_name(expected, i);
    const rlx_tensor *want = rlx_tensors_at(expected, i), *got = rlx_tensors_get(outputs, name);
    deviation d = deviation_of(got, want, t);
    *out_fine = *out_fine && deviation_is_fine(&d);
    if (as_json) {
      show_json(j, name, got, want, &d);
    } else {
      show_text(j->out, name, got, want, &d);
    }
  }
  if (as_json) json_close(j, ']');
  return EXIT_OK;
}

static int compare_run(const args *a, const model *m, tolerance t, json *j, bool *out_fine) {
  rlx_tensors *outputs = NULL, *expected = NULL;
  double ms;
  rlx_status status = rlx_tensors_load(args_value(a, FLAG_EXPECTED), &expected);
  int code = status == RLX_OK ? model_run(a, m, &outputs, &ms) : fail_status(status);
  if (code == EXIT_OK) code = compare(a, outputs, expected, t, j, out_fine);
  rlx_tensors_free(outputs);
  rlx_tensors_free(expected);
  return code;
}

int cmd_compare(const args *a, text *out) {
  const bool expected = args_has(a, FLAG_EXPECTED), as_json = args_has(a, FLAG_JSON);
  if (!expected && !args_has(a, FLAG_BISECT)) {
    return fail_usage(a->command, "compare needs --expected FILE.npz, or --bisect");
  }
  const tolerance t = {args_real(a, FLAG_RTOL, 1e-3), args_real(a, FLAG_ATOL, 1e-5)};
  model m;
  text said = {0};
  json j = {&said, false};
  bool fine = true;
  int code = model_open(a, &m);
  if (as_json) json_open(&j, NULL, '{');
  if (code == EXIT_OK && expected) code = compare_run(a, &m, t, &j, &fine);
  if (code == EXIT_OK && args_has(a, FLAG_BISECT)) {
    if (!expected || !fine) {
      code = bisect(a, &m, t, &j, &fine);
    } else if (!as_json) {
      text_add(&said, "all outputs agree: there is no difference to look for\n");
    }
  }
  if (as_json) {
    json_close(&j, '}');
    text_add(&said, "\n");
  }
  if (code == EXIT_OK) text_add(out, said.data);
  text_free(&said);
  model_close(&m);
  return code == EXIT_OK && !fine ? EXIT_FAILED : code;
}
