/* load/external.c: finding and mapping external data. */
#define _XOPEN_SOURCE 700 /* realpath */
#include "load/external.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"

static rlx_status check_location(const char *location) {
  bool bad = location[0] == 0 || location[0] == '/';
  for (const char *p = location; *p && !bad; p += *p == '/') {
    size_t n = strcspn(p, "/");
    bad = n == 2 && p[0] == '.' && p[1] == '.';
    p += n;
  }
  if (!bad) return RLX_OK;
  return status_set(RLX_ERROR_FORMAT,
                    "external data '%s': only a relative path without '..' is allowed", location);
}

/* The real path of `path` (NULL: errno), to be freed with free. */
static char *real_path(const str *path) {
  if (path->failed) {
    errno = ENOMEM;
    return NULL;
  }
  return realpath(path->data, NULL);
}

static rlx_status find_folder(external_files *e) {
  if (e->folder) return RLX_OK;
  const char *slash = strrchr(e->model_path, '/');
  str path = {NULL, 0, 0, false};
  if (slash) {
    str_add_n(&path, e->model_path, (size_t)(slash - e->model_path) + 1);
  } else {
    str_add(&path, ".");
  }
  e->folder = real_path(&path);
  str_free(&path);
  if (e->folder) return RLX_OK;
  return status_set(RLX_ERROR_IO, "folder of '%s': %s", e->model_path, strerror(errno));
}

/* The real path of a location, checked to be in the folder. To be freed with free. */
static rlx_status resolve(external_files *e, const char *location, char **out_path) {
  RLX_TRY(check_location(location));
  RLX_TRY(find_folder(e));
  str path = {NULL, 0, 0, false};
  str_addf(&path, "%s/%s", e->folder, location);
  char *real = real_path(&path);
  str_free(&path);
  if (!real) return status_set(RLX_ERROR_IO, "external data '%s': %s", location, strerror(errno));
  size_t n = strcmp(e->folder, "/") == 0 ? 0 : strlen(e->folder);
  if (strncmp(real, e->folder, n) != 0 || real[n] != '/') {
    free(real);
    return status_set(RLX_ERROR_FORMAT, "external data '%s' leads out of the model's folder",
                      location);
  }
  *out_path = real;
  return RLX_OK;
}

/* Takes over the map. */
static rlx_status remember(external_files *e, const char *location, io_map *mapped) {
  char *key = mem_strdup(location);
  if (!key) goto fail;
  if (!vec_push(&e->locations, key)) {
    mem_free(key);
    goto fail;
  }
  if (!vec_push(&e->maps, mapped)) goto fail; /* external_free frees the key */
  if (!map_put(&e->index, key, e->maps.n - 1)) return status_memory(sizeof(void *));
  return RLX_OK;
fail:
  io_map_free(mapped);
  return status_memory(strlen(location) + 1);
}

rlx_status external_open(external_files *e, const char *location, io_map **out_file) {
  uint64_t at;
  if (map_get(&e->index, location, &at)) {
    *out_file = e->maps.data[at];
    return RLX_OK;
  }
  char *path = NULL;
  RLX_TRY(resolve(e, location, &path));
  rlx_status status = io_map_open(path, e->max_bytes, out_file);
  free(path);
  RLX_TRY(status);
  return remember(e, location, *out_file);
}

void external_free(external_files *e) {
  for (size_t i = 0; i < e->locations.n; i++) mem_free(e->locations.data[i]);
  for (size_t i = 0; i < e->maps.n; i++) io_map_free(e->maps.data[i]);
  vec_free(&e->locations);
  vec_free(&e->maps);
  map_free(&e->index);
  free(e->folder);
}
