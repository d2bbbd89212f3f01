/* rlx/doctor.c: `rlx doctor`: does this machine compute right and fast? Each check is one function;
 * what is not right says what to do about it. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "host.h"

enum { BLAS_SIZE = 1024, BLAS_RUNS = 3 };
/* Any optimised BLAS is above this on any machine of the last ten years, MLX's built-in is at 7. */
#define LEAST_GFLOPS 15.0

typedef enum verdict { VERDICT_OK, VERDICT_WARN, VERDICT_FAIL } verdict;
static const char *const verdict_names[] = {"ok", "warn", "fail"};
static const char *const verdict_colours[] = {"\033[32m", "\033[33m", "\033[31m"};

typedef struct finding {
  verdict verdict;
  text what;          /* one sentence */
  const char *advice; /* NULL when all is well */
} finding;

static void found(finding *f, verdict v, const char *what, const char *advice) {
  f->verdict = v;
  text_add(&f->what, what);
  f->advice = advice;
}

static void found_status(finding *f, rlx_status status, const char *advice) {
  found(f, VERDICT_FAIL, *rlx_last_error() ? rlx_last_error() : rlx_status_text(status), advice);
}

/* --- checks */

static void check_mlx(const rlx_runtime_info *r, finding *f) {
  text_addf(&f->what, "MLX %s, %s", rlx_mlx_version(), r->mlx_path);
  if (!r->mlx_is_ours) {
    found(f, VERDICT_WARN, ": not the copy that rlx was built with",
          "another libmlx was loaded first: unset LD_PRELOAD and LD_LIBRARY_PATH");
  }
}

static void probe(rlx_device device, finding *f, const char *advice) {
  rlx_status status = rlx_runtime_probe(device);
  if (status == RLX_OK) {
    found(f, VERDICT_OK, "adds two numbers right", NULL);
  } else {
    found_status(f, status, advice);
  }
}

static void check_cpu(const rlx_runtime_info *r, finding *f) {
  (void)r;
  probe(RLX_DEVICE_CPU, f, "reinstall MLX: remove its folder in the cache and build again");
}

static void check_kernels(const rlx_runtime_info *r, finding *f) {
  text_addf(&f->what, "level %s, %u thread%s", r->cpu_level, r->threads,
            r->threads == 1 ? "" : "s");
  if (strcmp(r->cpu_level, r->cpu_levels[0]) != 0) {
    text_addf(&f->what, "; this CPU has %s", r->cpu_levels[0]);
    found(f, VERDICT_WARN, "", "RLX_CPU_LEVEL holds it back: unset it");
  }
}

static void check_gpu(const rlx_runtime_info *r, finding *f) {
  if (!r->gpu) {
    found(f, VERDICT_OK, "none that MLX can use; runs take the CPU", NULL);
  } else {
    probe(RLX_DEVICE_GPU, f, "check the driver, or run with --device cpu");
  }
}

static void check_reference(const rlx_runtime_info *r, finding *f) {
  (void)r;
  probe(RLX_DEVICE_REFERENCE, f, "report this with the output of 'rlx info'");
}

/* x [m,k] times y [k,n], compiled. */
static rlx_status matmul_exec(const rlx_exec_options *options, const int64_t size[3],
                              rlx_exec **out) {
  rlx_graph *g = NULL;
  rlx_status status = rlx_graph_create("doctor", &g);
  if (status != RLX_OK) return status;
  rlx_val x = rlx_input(g, "x", RLX_F32, 2, (int64_t[]){size[0], size[1]});
  rlx_val y = rlx_input(g, "y", RLX_F32, 2, (int64_t[]){size[1], size[2]});
  rlx_graph_output(g, "product", rlx_matmul(g, x, y));
  status = rlx_compile(g, options, out);
  rlx_graph_free(g);
  return status;
}

static rlx_status random_matrix(int64_t rows, int64_t columns, uint64_t seed, rlx_tensor **out) {
  rlx_status status = rlx_tensor_create(RLX_F32, 2, (int64_t[]){rows, columns}, out);
  return status == RLX_OK ? rlx_tensor_random(*out, seed) : status;
}

/* A product of random matrices: how long the fastest of n runs took. */
typedef struct product {
  rlx_tensor *operands[2], *result;
  double ms;
} product;

static rlx_status product_run(const rlx_exec_options *options, const int64_t size[3], int n,
                              product *out) {
  *out = (product){.ms = 1e9};
  rlx_exec *exec = NULL;
  rlx_status status = random_matrix(size[0], size[1], 1, &out->operands[0]);
  if (status == RLX_OK) status = random_matrix(size[1], size[2], 2, &out->operands[1]);
  if (status == RLX_OK) status = matmul_exec(options, size, &exec);
  for (int i = 0; status == RLX_OK && i < n; i++) {
    rlx_tensor_free(out->result);
    out->result = NULL;
    double start = host_now_ms();
    status = rlx_exec_call(exec, out->operands, 2, &out->result, 1);
    double ms = host_now_ms() - start;
    if (ms < out->ms) out->ms = ms;
  }
  rlx_exec_free(exec);
  return status;
}

static void product_free(product *p) {
  rlx_tensor_free(p->operands[0]);
  rlx_tensor_free(p->operands[1]);
  rlx_tensor_free(p->result);
}

/* The largest difference from the same product in plain C. */
static double product_error(const product *p, const int64_t size[3]) {
  const float *x = rlx_tensor_data(p->operands[0]), *y = rlx_tensor_data(p->operands[1]);
  const float *got = rlx_tensor_data(p->result);
  double worst = 0;
  for (int64_t i = 0; i < size[0]; i++) {
    for (int64_t j = 0; j < size[2]; j++) {
      double want = 0;
      for (int64_t k = 0; k < size[1]; k++) want += x[i * size[1] + k] * (double)y[k * size[2] + j];
      double error = fabs((double)got[i * size[2] + j] - want);
      if (!(error <= worst)) worst = error; /* a NaN stays */
    }
  }
  return worst;
}

static void check_matmul(const rlx_runtime_info *r, finding *f) {
  static const int64_t size[3] = {65, 130, 33};
  /* GPUs may multiply in 19 bits (TF32). */
  double tolerance = r->gpu ? 5e-2 : 1e-4;
  product p;
  rlx_status status = product_run(NULL, size, 1, &p);
  if (status != RLX_OK) {
    found_status(f, status, "report this with the output of 'rlx info'");
  } else {
    double error = product_error(&p, size);
    bool right = error <= tolerance;
    text_addf(&f->what, "a product differs from plain C by %.1e", error);
    found(f, right ? VERDICT_OK : VERDICT_FAIL, "",
          right ? NULL : "the BLAS or the GPU computes wrong: try --device cpu, another OpenBLAS");
  }
  product_free(&p);
}

static void check_blas(const rlx_runtime_info *r, finding *f) {
  static const int64_t size[3] = {BLAS_SIZE, BLAS_SIZE, BLAS_SIZE};
  rlx_exec_options options = RLX_OPTIONS(rlx_exec_options);
  options.device = RLX_DEVICE_CPU;
  options.no_kernels = true; /* MLX calls the BLAS */
  product p;
  rlx_status status = product_run(&options, size, BLAS_RUNS, &p);
  product_free(&p);
  if (status != RLX_OK) {
    found_status(f, status, "see the line on the CPU");
    return;
  }
  double gflops = 2e-6 * BLAS_SIZE * BLAS_SIZE * BLAS_SIZE / p.ms;
  text_addf(&f->what, "%.0f GFLOP/s in a product of %d^3 on %u threads, %s%s%s", gflops, BLAS_SIZE,
            r->threads, *r->blas ? r->blas : "the platform's BLAS", *r->blas_core ? ", core " : "",
            r->blas_core);
  if (r->blas_forced) {
    found(f, VERDICT_WARN, "", "OPENBLAS_CORETYPE is set and may hold it back: unset it");
  } else if (gflops < LEAST_GFLOPS) {
    found(f, VERDICT_WARN, ": slow",
          "either other programs keep the processors busy, or MLX's own reference BLAS answers: "
          "librlx must be linked before libmlx, and OpenBLAS be installed");
  }
}

static void check_cache(const rlx_runtime_info *r, finding *f) {
  (void)r;
  const char *given = getenv("RLX_CACHE"), *home = getenv("HOME");
  text path = {0};
  text_addf(&path, "%s%s",
            given && *given ? given
            : home          ? home
                            : "",
            given && *given ? "" : "/.cache/rlx");
  text_add_safe(&f->what, path.data);
  switch (host_folder_state(path.data)) {
    case FOLDER_WRITABLE: found(f, VERDICT_OK, " is writable", NULL); break;
    case FOLDER_MAKEABLE: found(f, VERDICT_OK, " can be made", NULL); break;
    case FOLDER_REFUSED:
      found(f, VERDICT_WARN, " is not a folder that can be written",
            "let RLX_CACHE name one; without it models cannot be fetched");
      break;
  }
  text_free(&path);
}

static const struct {
  const char *name;
  void (*check)(const rlx_runtime_info *r, finding *f);
} checks[] = {
    {"mlx", check_mlx},         {"cpu", check_cpu},
    {"kernels", check_kernels}, {"gpu", check_gpu},
    {"reference", check_reference}, {"matmul", check_matmul},
    {"blas", check_blas},       {"cache", check_cache},
};
enum { N_CHECKS = sizeof checks / sizeof *checks };

/* --- report */

static void report_text(const char *name, const finding *f, text *out) {
  bool colour = host_colour();
  text_addf(out, "%s%-4s%s  ", colour ? verdict_colours[f->verdict] : "", verdict_names[f->verdict],
            colour ? "\033[0m" : "");
  text_addf(out, "%-9s  ", name);
  text_add_safe(out, f->what.data);
  text_add(out, "\n");
  if (f->advice) text_addf(out, "                 -> %s\n", f->advice);
}

static void report_json(const char *name, const finding *f, json *j) {
  json_open(j, NULL, '{');
  json_text(j, "name", name);
  json_text(j, "verdict", verdict_names[f->verdict]);
  json_text(j, "what", f->what.data);
  if (f->advice) json_text(j, "advice", f->advice);
  json_close(j, '}');
}

int cmd_doctor(const args *a, text *out) {
  rlx_runtime_info r = RLX_OPTIONS(rlx_runtime_info);
  host_progress("checking");
  rlx_status status = rlx_runtime_query(&r);
  if (status != RLX_OK) return fail_status(status);
  bool as_json = args_has(a, FLAG_JSON);
  json j = {out, false};
  if (as_json) {
    json_open(&j, NULL, '{');
    json_open(&j, "checks", '[');
  }
  verdict worst = VERDICT_OK;
  for (size_t i = 0; i < N_CHECKS; i++) {
    finding f = {0};
    checks[i].check(&r, &f);
    if (f.verdict > worst) worst = f.verdict;
    if (as_json) {
      report_json(checks[i].name, &f, &j);
    } else {
      report_text(checks[i].name, &f, out);
    }
    text_free(&f.what);
  }
  if (as_json) {
    json_close(&j, ']');
    json_text(&j, "worst", verdict_names[worst]);
    json_close(&j, '}');
    text_add(out, "\n");
  }
  return worst == VERDICT_FAIL ? EXIT_FAILED : EXIT_OK;
}
