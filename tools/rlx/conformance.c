/* rlx/conformance.c: `rlx conformance`: a folder of tests in the layout of ONNX's node tests:
 *
 *   CASE/model.onnx, CASE/test_data_set_N/input_K.pb and output_K.pb, CASE/rtol_atol.txt (optional)
 *
 * Laws: each case runs in a child of its own, which may crash or hang; this process never starts
 * the runtime. A case is skipped only for types that are out of scope. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host.h"
#include "model.h"

enum { CASE_SECONDS = 120 };

/* What a child says first; the reason follows. */
#define PASS "pass"
#define FAIL "fail"
#define SKIP "skip"
enum { VERDICT_LENGTH = 4 };

#define ONNX_TOLERANCE ((tolerance){1e-3, 1e-7}) /* of ONNX's own runner */

/* --- in the child */

typedef struct one_case {
  const args *a;
  const char *folder, *name;
  tolerance tolerance;
  bool fixed; /* it ran with small inputs as constants */
} one_case;

/* "FOLDER/CASE/rest", freed by the caller. */
static char *path_in(const one_case *c, const char *rest) {
  text path = {0};
  text_addf(&path, "%s/%s/%s", c->folder, c->name, rest);
  return path.data;
}

static char *data_path(const one_case *c, size_t set, const char *kind, size_t i) {
  text rest = {0};
  text_addf(&rest, "test_data_set_%zu/%s_%zu.pb", set, kind, i);
  char *path = path_in(c, rest.data);
  text_free(&rest);
  return path;
}

static bool has_data(const one_case *c, size_t set, const char *kind, size_t i) {
  char *path = data_path(c, set, kind, i);
  bool there = host_is_there(path);
  free(path);
  return there;
}

static bool say(text *out, const char *verdict, const char *reason) {
  text_addf(out, "%s%s", verdict, reason);
  return false;
}

/* The type out of scope that the last failure names, NULL if none. */
static const char *outside_scope(rlx_status status) {
  static const struct {
    const char *words, *type;
  } outside[] = {
      {"element type STRING", "string"},   {"it is a sequence", "sequence"},
      {"it is an optional", "optional"},      {"it is a map", "map"},
      {"element type FLOAT8", "fp8"},      {"element type FLOAT4", "sub-byte"},
      {"element type UINT4", "sub-byte"},  {"element type INT4", "sub-byte"},
      {"element type UINT2 ", "sub-byte"}, {"element type INT2 ", "sub-byte"},
  };
  const char *sentence = rlx_last_error();
  for (size_t i = 0; status == RLX_ERROR_UNSUPPORTED && i < sizeof outside / sizeof *outside; i++) {
    if (strstr(sentence, outside[i].words)) return outside[i].type;
  }
  return NULL;
}

static bool say_status(text *out, rlx_status status) {
  const char *sentence = rlx_last_error(), *type = outside_scope(status);
  if (type) return say(out, SKIP, type);
  return say(out, FAIL, *sentence ? sentence : rlx_status_text(status));
}

/* One data set, and what became of it. Freed by set_free. */
typedef struct data_set {
  one_case *c;
  size_t number, n_in, n_want;
  rlx_tensor **in, **want;
  char **names; /* of the inputs, as their files say */
} data_set;

static size_t count_data(const data_set *s, const char *kind) {
  size_t n = 0;
  while (has_data(s->c, s->number, kind, n)) n++;
  return n;
}

static rlx_status set_load(data_set *s) {
  rlx_status status = RLX_OK;
  s->n_in = count_data(s, "input");
  s->n_want = count_data(s, "output");
  s->in = must_alloc(s->n_in, sizeof *s->in);
  s->names = must_alloc(s->n_in, sizeof *s->names);
  s->want = must_alloc(s->n_want, sizeof *s->want);
  for (size_t i = 0; status == RLX_OK && i < s->n_in + s->n_want; i++) {
    bool input = i < s->n_in;
    size_t at = input ? i : i - s->n_in;
    char *path = data_path(s->c, s->number, input ? "input" : "output", at);
    status = rlx_tensor_load_pb(path, input ? &s->in[at] : &s->want[at],
                                input ? &s->names[at] : NULL);
    free(path);
  }
  return status;
}

static void set_free(data_set *s) {
  for (size_t i = 0; i < s->n_in; i++) {
    rlx_tensor_free(s->in[i]);
    rlx_string_free(s->names[i]);
  }
  for (size_t i = 0; i < s->n_want; i++) rlx_tensor_free(s->want[i]);
  free(s->in);
  free(s->names);
  free(s->want);
}

static bool check_outputs(const data_set *s, const rlx_graph *g, rlx_tensor *const *got,
                          text *out) {
  for (size_t i = 0; i < s->n_want; i++) {
    deviation d = deviation_of(got[i], s->want[i], s->c->tolerance);
    if (deviation_is_fine(&d)) continue;
    text_addf(out, FAIL "output '%s': ", rlx_graph_output_name(g, i));
    text_add_deviation(out, got[i], s->want[i], &d);
    return false;
  }
  return true;
}

/* Some models take axes and sizes as inputs, which have to be known when the model is read: from
 * input `from` on, those that are small. */
static bool is_fixed(const data_set *s, size_t i, size_t from) {
  enum { SMALL = 16 };
  return i >= from && *s->names[i] && rlx_tensor_rank(s->in[i]) <= 1 &&
         rlx_tensor_count(s->in[i]) <= SMALL;
}

static rlx_status open_model(const data_set *s, size_t from, rlx_exec **out_exec) {
  char *path = path_in(s->c, "model.onnx");
  rlx_graph *graph = NULL;
  rlx_tensors *values = NULL;
  rlx_exec_options options;
  rlx_load_options load = RLX_OPTIONS(rlx_load_options);
  rlx_status status = rlx_tensors_create(&values);
  for (size_t i = 0; status == RLX_OK && i < s->n_in; i++) {
    if (is_fixed(s, i, from)) status = rlx_tensors_set(values, s->names[i], s->in[i]);
  }
  load.values = values;
  if (status == RLX_OK) status = rlx_model_load(path, &load, &graph);
  model_options(s->c->a, &options);
  if (status == RLX_OK) status = rlx_compile(graph, &options, out_exec);
  rlx_graph_free(graph);
  rlx_tensors_free(values);
  free(path);
  return status;
}

/* Runs with the inputs from `from` on fixed, all others by position. RLX_OK once there is a
 * verdict. */
static rlx_status set_try(const data_set *s, size_t from, bool *out_fine, text *out) {
  rlx_exec *exec = NULL;
  rlx_status status = open_model(s, from, &exec);
  if (status != RLX_OK) return status;
  const rlx_graph *g = rlx_exec_graph(exec);
  rlx_tensor **in = must_alloc(s->n_in, sizeof *in), **got = must_alloc(s->n_want, sizeof *got);
  size_t n = 0;
  for (size_t i = 0; i < s->n_in; i++) {
    if (!is_fixed(s, i, from)) in[n++] = s->in[i];
  }
  status = run_exec(s->c->a, exec, in, n, got, s->n_want);
  if (status == RLX_OK) *out_fine = check_outputs(s, g, got, out);
  for (size_t i = 0; i < s->n_want; i++) rlx_tensor_free(got[i]);
  free(in);
  free(got);
  rlx_exec_free(exec);
  return status;
}

static bool run_set(one_case *c, size_t number, text *out) {
  data_set s = {.c = c, .number = number};
  bool fine = false;
  rlx_status status = set_load(&s);
  if (status == RLX_OK) {
    /* None fixed, all but the first, all. */
    const size_t tries[] = {s.n_in, 1, 0};
    status = set_try(&s, tries[0], &fine, out);
    for (size_t i = 1; status == RLX_ERROR_UNSUPPORTED && i < 3; i++) {
      c->fixed = true;
      status = set_try(&s, tries[i], &fine, out);
    }
  }
  if (status != RLX_OK) say_status(out, status);
  set_free(&s);
  return fine;
}

static bool read_tolerance(one_case *c, text *out) {
  char *path = path_in(c, "rtol_atol.txt");
  FILE *file = fopen(path, "r");
  free(path);
  if (!file) return true; /* the defaults */
  int n = fscanf(file, "%lf %lf", &c->tolerance.rtol, &c->tolerance.atol);
  fclose(file);
  return n == 2 || say(out, FAIL, "rtol_atol.txt: wants two numbers");
}

/* The model comes first: data of types out of scope cannot be read. */
static bool in_scope(const one_case *c, text *out) {
  char *path = path_in(c, "model.onnx");
  rlx_graph *graph = NULL;
  rlx_status status = rlx_model_load(path, NULL, &graph);
  const char *type = status == RLX_OK ? NULL : outside_scope(status);
  rlx_graph_free(graph);
  free(path);
  return !type || say(out, SKIP, type);
}

static void run_case(void *arg, text *out) {
  one_case *c = arg;
  size_t n = 0;
  if (!in_scope(c, out) || !read_tolerance(c, out)) return;
  while (has_data(c, n, "output", 0)) {
    if (!run_set(c, n++, out)) return;
  }
  if (n) say(out, PASS, c->fixed ? "small inputs given as constants" : "");
  if (!n) say(out, FAIL, "there is no test_data_set_0/output_0.pb");
}

/* --- in the parent */

typedef struct tally {
  const char *verdict, *words;
  size_t n;
} tally;

typedef struct session {
  const args *a;
  tally tallies[3];
  text rows; /* of the report */
  json j;
} session;

static void replace_breaks(char *s) {
  for (; *s; s++) {
    if (*s == '\n' || *s == '\t' || *s == '\r') *s = ' ';
  }
}

/* Adds the child's verdict and reason; a child that died without one has failed. */
static void take(session *s, const char *name, const char *said, text *out) {
  tally *t = s->tallies;
  while (strncmp(said, t->verdict, VERDICT_LENGTH) != 0) t++;
  t->n++;
  const char *reason = said + VERDICT_LENGTH;
  text_addf(&s->rows, "%s\t%s\t%s\n", name, t->verdict, reason);
  if (args_has(s->a, FLAG_JSON)) {
    json_open(&s->j, NULL, '{');
    json_text(&s->j, "name", name);
    json_text(&s->j, "result", t->verdict);
    json_text(&s->j, "reason", reason);
    json_close(&s->j, '}');
  } else if (strcmp(t->verdict, FAIL) == 0) {
    text_add_safe(out, name);
    text_add(out, ": ");
    text_add_safe(out, reason);
    text_add(out, "\n");
  }
}

static void run_apart(session *s, const char *name, text *out) {
  one_case c = {s->a, s->a->operands[0], name, ONNX_TOLERANCE, false};
  text said = {0};
  int signal;
  host_end end = host_do_apart(run_case, &c, CASE_SECONDS, &said, &signal);
  if (end == CHILD_DONE && said.n < VERDICT_LENGTH) end = CHILD_CRASHED;
  if (end != CHILD_DONE) text_free(&said);
  if (end == CHILD_FAILED) say(&said, FAIL, "no process could be started for it");
  if (end == CHILD_LATE) text_addf(&said, FAIL "no answer after %d s", CASE_SECONDS);
  if (end == CHILD_CRASHED) text_addf(&said, FAIL "it crashed, signal %d", signal);
  replace_breaks(said.data);
  take(s, name, said.data, out);
  text_free(&said);
}

static void run_all(session *s, const host_names *names, text *out) {
  text doing = {0};
  for (size_t i = 0; i < names->n; i++) {
    text_free(&doing);
    text_addf(&doing, "case %zu of %zu", i + 1, names->n);
    host_progress(doing.data);
    run_apart(s, names->data[i], out);
  }
  host_progress(NULL);
  text_free(&doing);
}

static void conclude(session *s, text *out) {
  bool as_json = args_has(s->a, FLAG_JSON);
  if (as_json) json_close(&s->j, ']');
  for (size_t i = 0; i < 3; i++) {
    const tally *t = &s->tallies[i];
    if (as_json) {
      json_int(&s->j, t->words, (int64_t)t->n);
    } else {
      text_addf(out, "%zu %s%s", t->n, t->words, i < 2 ? ", " : "\n");
    }
  }
  if (!as_json) return;
  json_close(&s->j, '}');
  text_add(out, "\n");
}

static bool is_case(const char *folder, const char *name) {
  char *path = path_in(&(one_case){.folder = folder, .name = name}, "model.onnx");
  bool there = host_is_there(path);
  free(path);
  return there;
}

static int fail_no_case(const char *folder, const char *filter) {
  if (is_case(folder, ".")) return fail("%s: this is one case: give the folder around it", folder);
  return fail("%s: no case in it: a folder that fits '%s' and has a model.onnx", folder,
              filter ? filter : "*");
}

/* Keeps the folders that hold a model. */
static void keep_cases(const char *folder, host_names *names) {
  size_t kept = 0;
  for (size_t i = 0; i < names->n; i++) {
    if (is_case(folder, names->data[i])) {
      names->data[kept++] = names->data[i];
    } else {
      free(names->data[i]);
    }
  }
  names->n = kept;
}

int cmd_conformance(const args *a, text *out) {
  const char *folder = a->operands[0], *report = args_value(a, FLAG_REPORT);
  const char *filter = args_value(a, FLAG_FILTER);
  session s = {a, {{PASS, "passed", 0}, {FAIL, "failed", 0}, {SKIP, "skipped", 0}}, {0},
               {out, false}};
  host_names names;
  if (report && !host_can_write(report)) {
    return fail("%s: cannot write: %s", report, strerror(errno));
  }
  if (!host_list_folders(folder, filter, &names)) {
    return fail("%s: %s", folder, strerror(errno));
  }
  keep_cases(folder, &names);
  int code = names.n ? EXIT_OK : fail_no_case(folder, filter);
  if (code == EXIT_OK) {
    if (args_has(a, FLAG_JSON)) {
      json_open(&s.j, NULL, '{');
      json_open(&s.j, "cases", '[');
    }
    run_all(&s, &names, out);
    conclude(&s, out);
    if (s.tallies[1].n) code = EXIT_FAILED;
  }
  if (names.n && report && !host_write_file(report, s.rows.data, s.rows.n)) {
    code = fail("%s: %s", report, strerror(errno));
  }
  text_free(&s.rows);
  host_free_names(&names);
  return code;
}
