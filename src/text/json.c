/* text/json.c: typed access to cJSON's trees. cJSON itself limits the depth to 1000. */
#include "text/json.h"

#include <string.h>

#include "base/io.h"
#include "base/str.h"

#define MAX_BYTES (64u << 20) /* a tree takes up to 32 times its text */

static rlx_status parse(const char *path, cJSON **out) {
  io_map *file;
  RLX_TRY(io_map_open(path, MAX_BYTES, &file));
  *out = cJSON_ParseWithLength((const char *)file->data, file->bytes);
  io_map_free(file);
  if (cJSON_IsObject(*out) || cJSON_IsArray(*out)) return RLX_OK;
  cJSON_Delete(*out);
  *out = NULL;
  return status_set(RLX_ERROR_FORMAT, "%s: not a JSON object or array", path);
}

rlx_status json_load(const char *dir, const char *name, cJSON **out) {
  *out = NULL;
  if (!dir) return parse(name, out);
  str path = {NULL, 0, 0, false};
  str_addf(&path, "%s/%s", dir, name);
  rlx_status status = RLX_OK;
  if (path.failed) {
    status = status_memory(path.cap);
  } else if (io_is_there(path.data)) {
    status = parse(path.data, out);
  }
  str_free(&path);
  return status;
}

const cJSON *json_get(const cJSON *object, const char *key) {
  const cJSON *value = cJSON_GetObjectItemCaseSensitive(object, key);
  return cJSON_IsNull(value) ? NULL : value;
}

static rlx_status wrong(const char *key, const char *want) {
  return status_set(RLX_ERROR_FORMAT, "\"%s\" is not %s", key, want);
}

rlx_status json_as_int(const cJSON *value, const char *key, int64_t least, int64_t most,
                       int64_t *out) {
  const double number = cJSON_IsNumber(value) ? value->valuedouble : (double)least - 1;
  if (!(number >= (double)least && number <= (double)most) || number != (double)(int64_t)number) {
    return status_set(RLX_ERROR_FORMAT, "\"%s\" is not a whole number from %lld to %lld", key,
                      (long long)least, (long long)most);
  }
  *out = (int64_t)number;
  return RLX_OK;
}

rlx_status json_int(const cJSON *object, const char *key, int64_t least, int64_t most,
                    int64_t missing, int64_t *out) {
  const cJSON *value = json_get(object, key);
  *out = missing;
  return value ? json_as_int(value, key, least, most, out) : RLX_OK;
}

rlx_status json_real(const cJSON *object, const char *key, double missing, double *out) {
  const cJSON *value = json_get(object, key);
  *out = value ? value->valuedouble : missing;
  return !value || cJSON_IsNumber(value) ? RLX_OK : wrong(key, "a number");
}

rlx_status json_flag(const cJSON *object, const char *key, bool missing, bool *out) {
  const cJSON *value = json_get(object, key);
  *out = value ? cJSON_IsTrue(value) : missing;
  return !value || cJSON_IsBool(value) ? RLX_OK : wrong(key, "true or false");
}

rlx_status json_text(const cJSON *object, const char *key, const char *missing, const char **out) {
  const cJSON *value = json_get(object, key);
  *out = value ? value->valuestring : missing;
  return !value || cJSON_IsString(value) ? RLX_OK : wrong(key, "a text");
}

bool json_has_type(const cJSON *object, const char *type) {
  const cJSON *value = json_get(object, "type");
  return cJSON_IsString(value) && strcmp(value->valuestring, type) == 0;
}

rlx_status json_type(const cJSON *object, const char *what, const char *want) {
  const char *type;
  RLX_TRY(json_text(object, "type", "none", &type));
  if (strcmp(type, want) == 0) return RLX_OK;
  return status_set(RLX_ERROR_UNSUPPORTED, "%s of type '%.100s', only '%s' is known", what, type,
                    want);
}
