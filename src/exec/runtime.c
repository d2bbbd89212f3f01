/* exec/runtime.c: the process-wide runtime as the public API shows it (rlx/runtime.h). */
#define _GNU_SOURCE /* dlinfo */
#include <rlx/runtime.h>

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#if defined(__linux__)
#include <dlfcn.h>
#include <link.h>
#include <sys/stat.h>
#endif

#include "base/mem.h"
#include "base/options.h"
#include "cpu/cpu.h"
#include "exec/exec.h"
#include "mlx/lock.h"
#include "mlx/shim.h"

#if defined(RLX_OPENBLAS)
/* Calling these keeps OpenBLAS among the direct dependencies, where MLX's own calls find it. */
char *openblas_get_config(void);
char *openblas_get_corename(void);
void openblas_set_num_threads(int threads);
#endif

#define TEXT_(x) #x
#define TEXT(x) TEXT_(x)

const char *rlx_version(void) {
  return TEXT(RLX_VERSION_MAJOR) "." TEXT(RLX_VERSION_MINOR) "." TEXT(RLX_VERSION_PATCH);
}

const char *rlx_mlx_version(void) { return mx_version(); }

rlx_status rlx_runtime_lock(void) { return lock_enter(); }

rlx_status rlx_runtime_unlock(void) { return lock_leave(); }

#if defined(__linux__)
/* The directories where the linker looks for what this library needs; NULL if it does not say. */
static Dl_serinfo *search_path(void) {
  static const char here;
  Dl_info self;
  if (dladdr(&here, &self) == 0) return NULL;
  void *handle = dlopen(self.dli_fname, RTLD_LAZY | RTLD_NOLOAD);
  if (handle == NULL) handle = dlopen(NULL, RTLD_LAZY); /* linked statically into the program */
  Dl_serinfo size, *path = NULL;
  if (handle != NULL && dlinfo(handle, RTLD_DI_SERINFOSIZE, &size) == 0) {
    path = mem_new(1, size.dls_size);
    if (path != NULL && (dlinfo(handle, RTLD_DI_SERINFOSIZE, path) != 0 ||
                         dlinfo(handle, RTLD_DI_SERINFO, path) != 0)) {
      mem_free(path);
      path = NULL;
    }
  }
  if (handle != NULL) dlclose(handle);
  return path;
}

/* Is `file`, which was loaded, also the first of its name on our search path? If not, the program
 * (a Python that imported its own mlx) loaded it before us. No file there: nothing to compare. */
static bool is_ours(const char *file) {
  const char *slash = strrchr(file, '/');
  Dl_serinfo *path = slash == NULL ? NULL : search_path();
  struct stat loaded, first;
  bool ours = true;
  for (unsigned i = 0; path != NULL && i < path->dls_cnt; i++) {
    char name[PATH_MAX];
    const int n = snprintf(name, sizeof name, "%s%s", path->dls_serpath[i].dls_name, slash);
    if (n < 0 || (size_t)n >= sizeof name || stat(name, &first) != 0) continue;
    ours =
        stat(file, &loaded) == 0 && loaded.st_dev == first.st_dev && loaded.st_ino == first.st_ino;
    break;
  }
  mem_free(path);
  return ours;
}
#else
/* Elsewhere libraries are loaded by their path. */
static bool is_ours(const char *file) {
  (void)file;
  return true;
}
#endif

rlx_status rlx_runtime_query(rlx_runtime_info *out_info) {
  uint32_t threads;
  RLX_TRY(cpu_level_check());
  RLX_TRY(exec_threads(0, &threads));
  RLX_TRY(lock_enter());
  rlx_runtime_info info = {.threads = threads,
                           .cpu_level = cpu_table()->level,
                           .gpu = mx_gpu_available(),
                           .mlx_path = mx_library_path(),
                           .blas = "",
                           .blas_core = "",
                           .blas_forced = getenv("OPENBLAS_CORETYPE") != NULL};
  enum { LEVELS = sizeof info.cpu_levels / sizeof info.cpu_levels[0] };
  for (size_t i = 0; i + 1 < LEVELS && cpu_level_at(i); i++)
    info.cpu_levels[i] = cpu_level_at(i)->level;
  info.device_name = mx_device_name(info.gpu ? MX_GPU : MX_CPU);
  info.mlx_is_ours = is_ours(info.mlx_path);
#if defined(RLX_OPENBLAS)
  info.blas = openblas_get_config();
  info.blas_core = openblas_get_corename();
#endif
  lock_leave();
  return options_write(out_info, &info, sizeof info);
}

static rlx_status probe(mx_ctx *m) {
  mx sum = mx_add(m, mx_scalar(m, RLX_F32, 1.5), mx_scalar(m, RLX_F32, 2.25));
  mx_event *event = NULL;
  const void *data = NULL;
  float got = 0;
  RLX_TRY(mx_schedule(m, &sum, 1, &event));
  RLX_TRY(mx_event_wait(event));
  RLX_TRY(mx_host_data(m, sum, &data));
  memcpy(&got, data, sizeof got);
  if (got == 3.75f) return RLX_OK;
  return status_set(RLX_ERROR_BACKEND, "1.5 + 2.25 is %g on this device", (double)got);
}

rlx_status rlx_runtime_probe(rlx_device device) {
  if (device == RLX_DEVICE_REFERENCE) return RLX_OK;
  if ((unsigned)device > RLX_DEVICE_REFERENCE)
    return status_set(RLX_ERROR_ARGUMENT, "device %d does not exist", (int)device);
  mx_ctx *m = NULL;
  RLX_TRY(lock_enter());
  const bool gpu = device == RLX_DEVICE_DEFAULT ? mx_gpu_available() : device == RLX_DEVICE_GPU;
  rlx_status status = mx_ctx_create(gpu ? MX_GPU : MX_CPU, &m);
  if (status == RLX_OK) status = probe(m);
  mx_ctx_free(m);
  lock_leave();
  return status;
}

void runtime_blas_threads(uint32_t threads) {
#if defined(RLX_OPENBLAS)
  static uint32_t now; /* under the runtime lock; 0: as OpenBLAS chose */
  if (threads == now) return;
  mx_settle(); /* OpenBLAS must not change its threads while they work */
  openblas_set_num_threads((int)threads);
  now = threads;
#else
  (void)threads; /* the platform's BLAS chooses its threads itself */
#endif
}

rlx_status rlx_runtime_memory(rlx_memory_info *out_info) {
  rlx_memory_info info = {0};
  RLX_TRY(lock_enter());
  mx_memory(&info.active_bytes, &info.cache_bytes, &info.peak_bytes);
  lock_leave();
  return options_write(out_info, &info, sizeof info);
}
