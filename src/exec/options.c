/* exec/options.c: what the options of an executable and the environment say, checked. */
#include <stdlib.h>
#include <string.h>

#include "base/threads.h"
#include "cpu/cpu.h"
#include "exec/exec.h"
#include "mlx/lock.h"

enum { DEFAULT_VARIANTS = 32 };

/* What a variable says; NULL: it is not set, or empty. */
static const char *environment(const char *name) {
  const char *value = getenv(name);
  return value && *value ? value : NULL;
}

static rlx_status mode_of_environment(rlx_mode *out) {
  static const char *const names[] = {
      [RLX_MODE_LAZY] = "lazy", [RLX_MODE_EAGER] = "eager", [RLX_MODE_COMPILED] = "compiled"};
  const char *wanted = environment("RLX_MLX_MODE");
  *out = RLX_MODE_COMPILED;
  if (!wanted) return RLX_OK;
  while (*out != RLX_MODE_DEFAULT && strcmp(wanted, names[*out]) != 0) *out = (rlx_mode)(*out - 1);
  if (*out != RLX_MODE_DEFAULT) return RLX_OK;
  return status_set(RLX_ERROR_ARGUMENT, "RLX_MLX_MODE is '%s', wanted lazy, eager or compiled",
                    wanted);
}

rlx_status exec_threads(uint32_t given, uint32_t *out) {
  const char *wanted = environment("RLX_THREADS");
  *out = given ? given : threads_default();
  if (given > THREADS_MAX)
    return status_set(RLX_ERROR_ARGUMENT, "options: %u threads, at most %d", given, THREADS_MAX);
  if (given || !wanted) return RLX_OK;
  char *end;
  const unsigned long n = strtoul(wanted, &end, 10);
  if (*wanted < '0' || *wanted > '9' || *end || n < 1 || n > THREADS_MAX)
    return status_set(RLX_ERROR_ARGUMENT, "RLX_THREADS is '%s', wanted a number from 1 to %d",
                      wanted, THREADS_MAX);
  *out = (uint32_t)n;
  return RLX_OK;
}

static rlx_status kernels_of_environment(bool *out) {
  const char *wanted = environment("RLX_KERNELS");
  *out = !wanted || strcmp(wanted, "off") != 0;
  if (!wanted || !*out || strcmp(wanted, "on") == 0) return RLX_OK;
  return status_set(RLX_ERROR_ARGUMENT, "RLX_KERNELS is '%s', wanted on or off", wanted);
}

/* Asking whether there is a GPU starts MLX, so it is asked only where the answer matters. */
static rlx_status has_gpu(bool *out) {
  RLX_TRY(lock_enter());
  *out = mx_gpu_available();
  return lock_leave();
}

static rlx_status choose_device(rlx_exec *e, const rlx_exec_options *o) {
  bool gpu = false;
  if ((unsigned)o->device > RLX_DEVICE_REFERENCE)
    return status_set(RLX_ERROR_ARGUMENT, "options: device %d does not exist", (int)o->device);
  e->device = o->device;
  if (e->device == RLX_DEVICE_DEFAULT || e->device == RLX_DEVICE_GPU) RLX_TRY(has_gpu(&gpu));
  if (e->device == RLX_DEVICE_GPU && !gpu)
    return status_set(RLX_ERROR_DEVICE, "device gpu: this MLX finds no usable GPU here");
  if (e->device == RLX_DEVICE_DEFAULT) e->device = gpu ? RLX_DEVICE_GPU : RLX_DEVICE_CPU;
  return RLX_OK;
}

static rlx_status choose_kernels(rlx_exec *e, const rlx_exec_options *o) {
  if ((unsigned)o->precision > RLX_PRECISION_BF16)
    return status_set(RLX_ERROR_ARGUMENT, "options: precision %d does not exist",
                      (int)o->precision);
  RLX_TRY(kernels_of_environment(&e->kernels));
  RLX_TRY(exec_threads(o->threads, &e->threads));
  e->kernels = e->kernels && !o->no_kernels && e->device == RLX_DEVICE_CPU;
  e->precision = o->precision;
  return cpu_level_check();
}

/* --- what stays in f32 */

static bool is_called(const ir_node *n, const char *name) {
  return strcmp(n->op->name, name) == 0 || strcmp(n->name, name) == 0;
}

static bool has_node(const rlx_graph *g, const char *name) {
  for (size_t i = 0; i < g->nodes.n; i++)
    if (is_called(&g->nodes.data[i], name)) return true;
  for (size_t i = 0; i < g->graphs.n; i++)
    if (has_node(g->graphs.data[i], name)) return true;
  return false;
}

rlx_status exec_check_kept(const rlx_exec *e) {
  if (e->device == RLX_DEVICE_REFERENCE) return RLX_OK; /* optimises nothing, rounds nothing */
  for (size_t i = 0; i < e->n_keep_f32; i++)
    if (!has_node(e->graph, e->keep_f32[i]))
      return status_set(RLX_ERROR_NOT_FOUND,
                        "options: no operation or node to keep in f32 is called '%s' once the "
                        "graph is optimised",
                        e->keep_f32[i]);
  return RLX_OK;
}

static rlx_status copy_kept(rlx_exec *e, const rlx_exec_options *o) {
  if (o->n_keep_f32 && !o->keep_f32)
    return status_set(RLX_ERROR_ARGUMENT, "options: %zu names to keep in f32, the list is NULL",
                      o->n_keep_f32);
  const char **names = arena_new(&e->mem, o->n_keep_f32 + 1, sizeof *names);
  if (!names) return status_memory(o->n_keep_f32 * sizeof *names);
  for (size_t i = 0; i < o->n_keep_f32; i++) {
    if (!o->keep_f32[i]) return status_set(RLX_ERROR_ARGUMENT, "options: a name to keep is NULL");
    names[i] = arena_strdup(&e->mem, o->keep_f32[i]);
    if (!names[i]) return status_memory(0);
  }
  e->keep_f32 = names;
  e->n_keep_f32 = o->n_keep_f32;
  return RLX_OK;
}

bool exec_is_narrow(const rlx_exec *e, const ir_node *n) {
  if (e->precision != RLX_PRECISION_BF16 || !n->op->hooks->products) return false;
  for (size_t i = 0; i < e->n_keep_f32; i++)
    if (is_called(n, e->keep_f32[i])) return false;
  return true;
}

/* --- all of them */

rlx_status exec_choose(rlx_exec *e, const rlx_exec_options *o) {
  if ((unsigned)o->mode > RLX_MODE_COMPILED)
    return status_set(RLX_ERROR_ARGUMENT, "options: mode %d does not exist", (int)o->mode);
  e->mode = o->mode;
  e->max_variants = o->max_variants ? o->max_variants : DEFAULT_VARIANTS;
  if (e->mode == RLX_MODE_DEFAULT) RLX_TRY(mode_of_environment(&e->mode));
  RLX_TRY(choose_device(e, o));
  RLX_TRY(choose_kernels(e, o));
  return copy_kept(e, o);
}
