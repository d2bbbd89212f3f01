/* rlx/info.c: `rlx info`: what this build is and what it found. */
#include "cli.h"
#include "host.h"

static void info_json(const rlx_runtime_info *r, text *out) {
  json j = {out, false};
  json_open(&j, NULL, '{');
  json_text(&j, "version", rlx_version());
  json_text(&j, "mlx_version", rlx_mlx_version());
  json_text(&j, "mlx_path", r->mlx_path);
  json_flag(&j, "mlx_is_ours", r->mlx_is_ours);
  json_open(&j, "devices", '[');
  json_text(&j, NULL, "cpu");
  if (r->gpu) json_text(&j, NULL, "gpu");
  json_text(&j, NULL, "reference");
  json_close(&j, ']');
  json_open(&j, "compiled_runs_as", '{'); /* the runner of its segments, see `rlx explain` */
  json_text(&j, "cpu", "mlx");
  if (r->gpu) json_text(&j, "gpu", "trace");
  json_close(&j, '}');
  json_text(&j, "device_name", r->device_name);
  json_text(&j, "blas", r->blas);
  json_text(&j, "blas_core", r->blas_core);
  json_flag(&j, "blas_forced", r->blas_forced);
  json_int(&j, "threads", r->threads);
  json_text(&j, "cpu_level", r->cpu_level);
  json_open(&j, "cpu_levels", '[');
  for (size_t i = 0; r->cpu_levels[i]; i++) json_text(&j, NULL, r->cpu_levels[i]);
  json_close(&j, ']');
  json_close(&j, '}');
  text_add(out, "\n");
}

static void info_text(const rlx_runtime_info *r, text *out) {
  text_addf(out, "rlx      %s\n", rlx_version());
  text_addf(out, "MLX      %s  %s%s\n", rlx_mlx_version(), r->mlx_path,
            r->mlx_is_ours ? "" : "  (another copy, loaded before rlx's own)");
  text_add(out, "devices  cpu");
  if (r->gpu) text_addf(out, ", gpu (%s)", r->device_name);
  text_add(out, ", reference\n");
  text_add(out, "modes    lazy, eager, compiled (the default; on a CPU: kernels), async\n");
  text_addf(out, "BLAS     %s%s%s\n", *r->blas ? r->blas : "the platform's",
            *r->blas_core ? ", core " : "", r->blas_core);
  if (r->blas_forced) {
    text_add(out, "         warning: OPENBLAS_CORETYPE is set and may slow it down; unset it\n");
  }
  text_addf(out, "threads  %u\n", r->threads);
  text_addf(out, "kernels  %s; this CPU has", r->cpu_level);
  for (size_t i = 0; r->cpu_levels[i]; i++) text_addf(out, "%s %s", i ? "," : "", r->cpu_levels[i]);
  text_add(out, "\n");
}

int cmd_info(const args *a, text *out) {
  host_progress("starting MLX");
  rlx_runtime_info r = RLX_OPTIONS(rlx_runtime_info);
  rlx_status status = rlx_runtime_query(&r);
  if (status != RLX_OK) return fail_status(status);
  (args_has(a, FLAG_JSON) ? info_json : info_text)(&r, out);
  return EXIT_OK;
}
