/* load/safetensors.c: reading and writing. */
#include "load/safetensors.h"

#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "load/raw.h"

#define MAX_HEADER 100000000u /* the format's own limit */
#define DATA_ALIGN 64

static const struct {
  const char *name;
  rlx_dtype dtype;
} dtypes[] = {{"BOOL", RLX_BOOL}, {"U8", RLX_U8},   {"U16", RLX_U16}, {"U32", RLX_U32},
              {"U64", RLX_U64},   {"I8", RLX_I8},   {"I16", RLX_I16}, {"I32", RLX_I32},
              {"I64", RLX_I64},   {"F16", RLX_F16}, {"BF16", RLX_BF16}, {"F32", RLX_F32},
              {"F64", RLX_F64},   {"C64", RLX_C64}};
#define N_DTYPES (sizeof dtypes / sizeof dtypes[0])

/* --- reading */

static uint64_t header_bytes(const io_map *file) {
  uint64_t n = 0;
  for (size_t i = 8; i-- > 0;) n = n << 8 | file->data[i];
  return n;
}

bool safetensors_is(const io_map *file) {
  return file->bytes > 8 && header_bytes(file) <= file->bytes - 8 && file->data[8] == '{';
}

typedef struct entry { /* one tensor of the header, checked */
  const char *name;    /* the JSON's */
  rlx_dtype dtype;
  size_t rank, begin, end;
  int64_t dims[RLX_MAX_RANK];
} entry;

static rlx_status read_size(const cJSON *item, const char *what, int64_t *out) {
  const double limit = 9007199254740992.0; /* what a JSON number holds exactly */
  if (!cJSON_IsNumber(item) || !(item->valuedouble >= 0 && item->valuedouble <= limit) ||
      (double)(int64_t)item->valuedouble != item->valuedouble) {
    return status_set(RLX_ERROR_FORMAT, "%s: not a list of sizes", what);
  }
  *out = (int64_t)item->valuedouble;
  return RLX_OK;
}

/* A list of at most `max` sizes. */
static rlx_status read_sizes(const cJSON *object, const char *key, size_t max, int64_t *out,
                             size_t *out_n) {
  const cJSON *list = cJSON_GetObjectItemCaseSensitive(object, key), *item;
  size_t n = 0;
  if (!cJSON_IsArray(list)) return status_set(RLX_ERROR_FORMAT, "%s is missing", key);
  cJSON_ArrayForEach(item, list) {
    if (n == max) return status_set(RLX_ERROR_LIMIT, "%s: more than %zu numbers", key, max);
    RLX_TRY(read_size(item, key, &out[n++]));
  }
  *out_n = n;
  return RLX_OK;
}

static rlx_status read_entry(const cJSON *item, size_t data_bytes, entry *out) {
  const cJSON *text = cJSON_GetObjectItemCaseSensitive(item, "dtype");
  int64_t offsets[2];
  size_t n = 0;
  if (!cJSON_IsString(text)) return status_set(RLX_ERROR_FORMAT, "dtype is missing");
  size_t d = 0;
  while (d < N_DTYPES && strcmp(dtypes[d].name, text->valuestring) != 0) d++;
  if (d == N_DTYPES) {
    return status_set(RLX_ERROR_UNSUPPORTED, "element type '%.40s'", text->valuestring);
  }
  RLX_TRY(read_sizes(item, "shape", RLX_MAX_RANK, out->dims, &out->rank));
  RLX_TRY(read_sizes(item, "data_offsets", 2, offsets, &n));
  if (n != 2 || offsets[0] > offsets[1] || (uint64_t)offsets[1] > data_bytes) {
    return status_set(RLX_ERROR_FORMAT, "data_offsets are not in the file's %zu bytes of data",
                      data_bytes);
  }
  out->name = item->string;
  out->dtype = dtypes[d].dtype;
  out->begin = (size_t)offsets[0];
  out->end = (size_t)offsets[1];
  return RLX_OK;
}

static int by_offset(const void *a, const void *b) {
  const entry *x = a, *y = b;
  if (x->begin != y->begin) return x->begin < y->begin ? -1 : 1;
  return (x->end > y->end) - (x->end < y->end);
}

typedef struct reader {
  io_map *file;
  const uint8_t *data; /* after the header */
  size_t data_bytes;
  cJSON *header;
  VEC(entry) entries;
} reader;

static rlx_status read_header(reader *r) {
  if (!safetensors_is(r->file)) return status_set(RLX_ERROR_FORMAT, "not a safetensors file");
  uint64_t n = header_bytes(r->file);
  if (n > MAX_HEADER) {
    return status_set(RLX_ERROR_LIMIT, "a header of %llu bytes, the limit is %u",
                      (unsigned long long)n, MAX_HEADER);
  }
  r->data = r->file->data + 8 + n;
  r->data_bytes = r->file->bytes - 8 - (size_t)n;
  r->header = cJSON_ParseWithLength((const char *)r->file->data + 8, (size_t)n);
  if (!cJSON_IsObject(r->header)) return status_set(RLX_ERROR_FORMAT, "the header is not JSON");
  return RLX_OK;
}

static rlx_status read_entries(reader *r) {
  const cJSON *item;
  size_t at = 0;
  cJSON_ArrayForEach(item, r->header) {
    if (strcmp(item->string, "__metadata__") == 0) continue;
    entry e;
    rlx_status status = read_entry(item, r->data_bytes, &e);
    if (status != RLX_OK) return status_at(status, "tensor '%.200s'", item->string);
    if (!vec_push(&r->entries, e)) return status_memory(sizeof e);
  }
  if (r->entries.n) qsort(r->entries.data, r->entries.n, sizeof(entry), by_offset);
  for (size_t i = 0; i < r->entries.n; i++) {
    const entry *e = &r->entries.data[i];
    if (e->begin != at) {
      return status_set(RLX_ERROR_FORMAT,
                        "tensor '%.200s': data at %zu, the one before ends at %zu", e->name,
                        e->begin, at);
    }
    at = e->end;
  }
  if (at == r->data_bytes) return RLX_OK;
  return status_set(RLX_ERROR_FORMAT, "%zu bytes of data, the tensors have %zu", r->data_bytes, at);
}

static rlx_status add_tensors(const reader *r, rlx_tensors *out) {
  for (size_t i = 0; i < r->entries.n; i++) {
    const entry *e = &r->entries.data[i];
    rlx_tensor *t = NULL;
    rlx_status status = RLX_OK;
    if (rlx_tensors_get(out, e->name)) status = status_set(RLX_ERROR_FORMAT, "it stands twice");
    if (status == RLX_OK) {
      status = raw_tensor(r->file, e->dtype, e->rank, e->dims, r->data + e->begin,
                          e->end - e->begin, &t);
    }
    if (status == RLX_OK) status = rlx_tensors_set(out, e->name, t);
    rlx_tensor_free(t);
    if (status != RLX_OK) return status_at(status, "tensor '%.200s'", e->name);
  }
  return RLX_OK;
}

static rlx_status read_metadata(const reader *r, const char *key, char **out_value) {
  const cJSON *all = cJSON_GetObjectItemCaseSensitive(r->header, "__metadata__");
  const cJSON *value = key ? cJSON_GetObjectItemCaseSensitive(all, key) : NULL;
  if (!cJSON_IsString(value)) return RLX_OK;
  *out_value = mem_strdup(value->valuestring);
  return *out_value ? RLX_OK : status_memory(strlen(value->valuestring) + 1);
}

rlx_status safetensors_read(io_map *file, rlx_tensors *out, const char *key, char **out_value) {
  reader r = {.file = file};
  if (key) *out_value = NULL;
  rlx_status status = read_header(&r);
  if (status == RLX_OK) status = read_entries(&r);
  if (status == RLX_OK) status = add_tensors(&r, out);
  if (status == RLX_OK) status = read_metadata(&r, key, out_value);
  vec_free(&r.entries);
  cJSON_Delete(r.header);
  return status;
}

/* --- writing */

static const char *dtype_text(rlx_dtype dtype) {
  for (size_t i = 0; i < N_DTYPES; i++) {
    if (dtypes[i].dtype == dtype) return dtypes[i].name;
  }
  return NULL;
}

static rlx_status add_entry(str *s, const char *name, const rlx_tensor *t, size_t begin) {
  str_add(s, ",\n");
  if (!str_add_json(s, name)) {
    return status_set(RLX_ERROR_ARGUMENT, "'%.200s': a name in safetensors is UTF-8", name);
  }
  str_addf(s, ":{\"dtype\":\"%s\",\"shape\":[", dtype_text(t->dtype));
  for (uint32_t i = 0; i < t->rank; i++) {
    str_addf(s, "%s%lld", i ? "," : "", (long long)t->dims[i]);
  }
  str_addf(s, "],\"data_offsets\":[%zu,%zu]}", begin, begin + t->bytes);
  return RLX_OK;
}

/* Tensors with the widest elements first: so all are aligned although there may be no gaps. */
static rlx_status data_order(const rlx_tensors *tensors, size_t **out_order) {
  static const size_t widths[] = {8, 4, 2, 1};
  const size_t n = rlx_tensors_count(tensors);
  for (size_t i = 0; i < n; i++) {
    const rlx_dtype dtype = rlx_tensors_at(tensors, i)->dtype;
    if (dtype_text(dtype)) continue;
    return status_set(RLX_ERROR_UNSUPPORTED, "'%.200s': safetensors has no element type for %s",
                      rlx_tensors_name(tensors, i), dtype_name(dtype));
  }
  size_t *order = mem_new(n, sizeof *order), at = 0;
  if (!order) return status_memory(n * sizeof *order);
  for (size_t w = 0; w < sizeof widths / sizeof widths[0]; w++) {
    for (size_t i = 0; i < n; i++) {
      if (dtype_bytes(rlx_tensors_at(tensors, i)->dtype) == widths[w]) order[at++] = i;
    }
  }
  *out_order = order;
  return RLX_OK;
}

static rlx_status make_header(const rlx_tensors *tensors, const size_t *order,
                              const char *const *keys_values, str *s) {
  str_add(s, "{\"__metadata__\":{");
  for (size_t i = 0; keys_values[i]; i += 2) {
    if (i) str_add(s, ",");
    (void)str_add_json(s, keys_values[i]); /* our own, all ASCII */
    str_add(s, ":");
    (void)str_add_json(s, keys_values[i + 1]);
  }
  str_add(s, "}");
  size_t begin = 0;
  for (size_t i = 0; i < rlx_tensors_count(tensors); i++) {
    const rlx_tensor *t = rlx_tensors_at(tensors, order[i]);
    RLX_TRY(add_entry(s, rlx_tensors_name(tensors, order[i]), t, begin));
    begin += t->bytes;
  }
  str_add(s, "}");
  while ((8 + s->n) % DATA_ALIGN && !s->failed) str_add(s, " ");
  if (s->failed) return status_memory(s->cap);
  if (s->n > MAX_HEADER) return status_set(RLX_ERROR_LIMIT, "a header of %zu bytes", s->n);
  return RLX_OK;
}

static rlx_status write_file(const char *path, const rlx_tensors *tensors, const size_t *order,
                             const str *header) {
  io_write *to;
  uint8_t length[8];
  for (size_t i = 0; i < 8; i++) length[i] = (uint8_t)((uint64_t)header->n >> 8 * i);
  RLX_TRY(io_write_open(path, &to));
  io_write_bytes(to, length, sizeof length);
  io_write_bytes(to, header->data, header->n);
  for (size_t i = 0; i < rlx_tensors_count(tensors); i++) {
    const rlx_tensor *t = rlx_tensors_at(tensors, order[i]);
    io_write_bytes(to, t->data, t->bytes);
  }
  return io_write_commit(to);
}

rlx_status safetensors_write(const char *path, const rlx_tensors *tensors,
                             const char *const *keys_values) {
  size_t *order = NULL;
  str header = {NULL, 0, 0, false};
  rlx_status status = data_order(tensors, &order);
  if (status == RLX_OK) status = make_header(tensors, order, keys_values, &header);
  if (status == RLX_OK) status = write_file(path, tensors, order, &header);
  mem_free(order);
  str_free(&header);
  return status;
}

/* --- files of tensors alone */

rlx_status rlx_tensors_load_safetensors(const char *path, rlx_tensors **out_tensors) {
  if (!path || !out_tensors) {
    return status_set(RLX_ERROR_ARGUMENT,
                      "rlx_tensors_load_safetensors: path or out_tensors is NULL");
  }
  *out_tensors = NULL;
  io_map *file;
  rlx_tensors *list = NULL;
  RLX_TRY(io_map_open(path, 0, &file));
  rlx_status status = rlx_tensors_create(&list);
  if (status == RLX_OK) status = safetensors_read(file, list, NULL, NULL);
  io_map_free(file);
  if (status != RLX_OK) {
    rlx_tensors_free(list);
    return status_at(status, "%s", path);
  }
  *out_tensors = list;
  return RLX_OK;
}

rlx_status rlx_tensors_save_safetensors(const rlx_tensors *tensors, const char *path) {
  if (!tensors || !path) {
    return status_set(RLX_ERROR_ARGUMENT, "rlx_tensors_save_safetensors: tensors or path is NULL");
  }
  const char *const metadata[] = {NULL};
  const rlx_status status = safetensors_write(path, tensors, metadata);
  return status == RLX_OK || status == RLX_ERROR_IO ? status : status_at(status, "%s", path);
}
