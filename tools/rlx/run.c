/* rlx/run.c: `rlx run`: one run, its outputs in short. */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "host.h"
#include "model.h"

enum { FIRST_VALUES = 8, VALUE_TEXT = 64 };

static rlx_dtype_kind kind_of(const rlx_tensor *t) {
  return rlx_dtype_get(rlx_tensor_dtype(t))->kind;
}

static void add_real(text *out, double value, int digits, bool as_json) {
  if (as_json && !isfinite(value)) {
    text_add(out, "null");
  } else if (isnan(value)) {
    text_add(out, "nan"); /* printf may say "-nan" */
  } else {
    text_addf(out, "%.*g", digits, value);
  }
}

void text_add_element(text *out, const rlx_tensor *t, int64_t i, bool as_json) {
  switch (kind_of(t)) {
    case RLX_KIND_BOOL: text_add(out, rlx_tensor_int(t, i) ? "true" : "false"); break;
    case RLX_KIND_UINT: text_addf(out, "%" PRIu64, (uint64_t)rlx_tensor_int(t, i)); break;
    case RLX_KIND_INT: text_addf(out, "%" PRId64, rlx_tensor_int(t, i)); break;
    case RLX_KIND_FLOAT: {
      int full = rlx_tensor_dtype(t) == RLX_F64 ? 17 : 9;
      add_real(out, rlx_tensor_real(t, i), as_json ? full : 6, as_json);
      break;
    }
    case RLX_KIND_COMPLEX: {
      float parts[2];
      memcpy(parts, (const char *)rlx_tensor_data(t) + (size_t)i * sizeof parts, sizeof parts);
      text_add(out, as_json ? "[" : "(");
      add_real(out, parts[0], as_json ? 9 : 6, as_json);
      text_add(out, ",");
      add_real(out, parts[1], as_json ? 9 : 6, as_json);
      text_add(out, as_json ? "]" : ")");
      break;
    }
    case RLX_KIND_BLOCK: text_add(out, as_json ? "null" : "?"); break;
  }
}

/* Where the smallest and largest elements are, -1 if the tensor is empty or has no order. A NaN is
 * smallest, largest and the mean. */
typedef struct summary {
  int64_t min, max;
  double mean;
} summary;

static summary summarise(const rlx_tensor *t) {
  summary s = {-1, -1, NAN};
  rlx_dtype_kind kind = kind_of(t);
  int64_t n = rlx_tensor_count(t);
  if (n == 0 || kind == RLX_KIND_COMPLEX || kind == RLX_KIND_BLOCK) return s;
  double sum = 0, min = INFINITY, max = -INFINITY;
  s.min = s.max = 0;
  for (int64_t i = 0; i < n; i++) {
    double v = rlx_tensor_real(t, i);
    sum += v;
    if (isnan(v)) return (summary){i, i, NAN};
    if (v < min) {
      min = v;
      s.min = i;
    }
    if (v > max) {
      max = v;
      s.max = i;
    }
  }
  s.mean = sum / (double)n;
  return s;
}

static int64_t first_count(const rlx_tensor *t) {
  int64_t n = rlx_tensor_count(t);
  return n < FIRST_VALUES ? n : FIRST_VALUES;
}

static void show_text(text *out, const char *name, const rlx_tensor *t) {
  summary s = summarise(t);
  text_add_safe(out, name);
  text_add(out, "  ");
  text_add_shape(out, rlx_tensor_dtype(t), rlx_tensor_rank(t), rlx_tensor_dims(t));
  if (s.min >= 0) {
    text_add(out, "  min ");
    text_add_element(out, t, s.min, false);
    text_add(out, "  max ");
    text_add_element(out, t, s.max, false);
    text_addf(out, "  mean %.6g", s.mean);
  }
  text_add(out, "\n ");
  for (int64_t i = 0; i < first_count(t); i++) {
    text_add(out, " ");
    text_add_element(out, t, i, false);
  }
  text_add(out, first_count(t) < rlx_tensor_count(t) ? " ...\n" : "\n");
}

static void json_element(json *j, const char *key, const rlx_tensor *t, int64_t i) {
  text value = {0};
  if (i < 0) {
    text_add(&value, "null");
  } else {
    text_add_element(&value, t, i, true);
  }
  json_raw(j, key, value.data);
  text_free(&value);
}

void json_tensor_type(json *j, const rlx_tensor *t) {
  json_text(j, "dtype", rlx_dtype_get(rlx_tensor_dtype(t))->name);
  json_open(j, "shape", '[');
  for (size_t i = 0; i < rlx_tensor_rank(t); i++) json_int(j, NULL, rlx_tensor_dims(t)[i]);
  json_close(j, ']');
}

static void show_json(json *j, const char *name, const rlx_tensor *t) {
  summary s = summarise(t);
  json_open(j, NULL, '{');
  json_text(j, "name", name);
  json_tensor_type(j, t);
  json_element(j, "min", t, s.min);
  json_element(j, "max", t, s.max);
  json_real(j, "mean", s.mean);
  json_open(j, "first", '[');
  for (int64_t i = 0; i < first_count(t); i++) json_element(j, NULL, t, i);
  json_close(j, ']');
  json_close(j, '}');
}

static void show(const args *a, const model *m, const rlx_tensors *outputs, double run_ms,
                 text *out) {
  if (!args_has(a, FLAG_JSON)) {
    for (size_t i = 0; i < rlx_tensors_count(outputs); i++) {
      show_text(out, rlx_tensors_name(outputs, i), rlx_tensors_at(outputs, i));
    }
    if (args_has(a, FLAG_PROFILE)) profile_text(out);
    return;
  }
  json j = {out, false};
  json_open(&j, NULL, '{');
  json_text(&j, "device", device_name(rlx_exec_device(m->exec)));
  json_text(&j, "mode", run_mode_name(a, m->exec));
  json_real(&j, "load_ms", m->load_ms);
  json_real(&j, "run_ms", run_ms);
  json_open(&j, "outputs", '[');
  for (size_t i = 0; i < rlx_tensors_count(outputs); i++) {
    show_json(&j, rlx_tensors_name(outputs, i), rlx_tensors_at(outputs, i));
  }
  json_close(&j, ']');
  if (args_has(a, FLAG_PROFILE)) profile_json(&j);
  json_close(&j, '}');
  text_add(out, "\n");
}

int cmd_run(const args *a, text *out) {
  model m;
  rlx_tensors *outputs = NULL;
  double run_ms = 0;
  int code = model_open(a, &m);
  if (code == EXIT_OK) code = model_run(a, &m, &outputs, &run_ms);
  if (code == EXIT_OK) code = recording_stop(a);
  if (code == EXIT_OK) show(a, &m, outputs, run_ms, out);
  rlx_tensors_free(outputs);
  model_close(&m);
  return code;
}
